"""`python -m feedplane_cluster`: the engine and the cluster from a shell."""

from __future__ import annotations

import sys
from typing import Final

import typer

from feedplane_cluster import base
from feedplane_cluster.commands import ClusterError
from feedplane_cluster.engine import Engine

app: Final = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
engine_app: Final = typer.Typer(no_args_is_help=True, help="The container engine that builds images.")
app.add_typer(engine_app, name="engine")


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
