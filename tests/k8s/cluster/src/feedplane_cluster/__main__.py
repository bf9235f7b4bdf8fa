"""`python -m feedplane_cluster`: the engine and the cluster from a shell."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final

import typer

from feedplane_cluster import base, binaries
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import ClusterError
from feedplane_cluster.engine import Engine

app: Final = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Name = Annotated[str, typer.Option(help="several clusters may run side by side")]
Load = Annotated[list[str] | None, typer.Option(help="an image of the engine to give the node; may be repeated")]
engine_app: Final = typer.Typer(no_args_is_help=True, help="The container engine that builds images.")
app.add_typer(engine_app, name="engine")


@app.command()
def build() -> None:
    """Build every program of the cluster that the cache lacks."""
    for path in binaries.ensure(typer.echo).values():
        typer.echo(path)


@app.command()
def start(name: Name = "cluster", load: Load = None) -> None:
    """Start a new, empty cluster; prints how to reach it."""
    cluster = Cluster(name, tell=typer.echo)
    cluster.start()
    if load:
        cluster.load(load, Engine())
    typer.echo(f"kubeconfig {cluster.layout.kubeconfig}; reach it by `python -m feedplane_cluster shell`")


@app.command()
def stop(name: Name = "cluster") -> None:
    """End it and remove its state."""
    Cluster(name).stop()


@app.command()
def status(name: Name = "cluster") -> None:
    """Each daemon on a line; exit 1 unless the node is ready."""
    cluster = Cluster(name)
    for daemon, is_alive in cluster.status().items():
        typer.echo(f"{daemon:24} {'runs' if is_alive else 'does not run'}")
    if not cluster.is_running():
        raise typer.Exit(1)


@app.command()
def load(images: list[str], name: Name = "cluster") -> None:
    """Give the node images of the engine."""
    Cluster(name).load(images, Engine())


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def shell(command: Annotated[list[str] | None, typer.Argument()] = None, name: Name = "cluster") -> None:
    """Run a command (default a shell) inside the cluster's network, with kubectl and helm in PATH."""
    cluster = Cluster(name)
    path = f"{cluster.layout.binaries}:{os.environ['PATH']}"
    argv = cluster.inside(command or [os.environ.get("SHELL", "/bin/sh")])
    os.execvpe(argv[0], argv, {**os.environ, "KUBECONFIG": str(cluster.layout.kubeconfig), "PATH": path})


@engine_app.command("start")
def engine_start() -> None:
    """Start the engine if it does not run; prints the setting that `docker` needs, for `eval`."""
    typer.echo(f"export DOCKER_HOST={Engine().start()}")


@engine_app.command("stop")
def engine_stop() -> None:
    """Stop it; images stay in the cache."""
    Engine().stop()


@engine_app.command("base")
def engine_base() -> None:
    """Make the base images for tests if they are missing; prints their names, the one for builds last."""
    engine = Engine()
    engine.start()
    for image in base.ensure(engine):
        typer.echo(image)


def main() -> None:
    """Run a command; what goes wrong is told in one paragraph and exits 1."""
    try:
        app()
    except ClusterError as e:
        typer.echo(f"error: {e}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
