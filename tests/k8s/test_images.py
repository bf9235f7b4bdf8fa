"""The images as they are built: what starts, what is inside, what is shared, and that the same checkout gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from feedplane_cluster import base
from feedplane_cluster.engine import Engine
from feedplane_ops.version import __version__

ROOT = Path(__file__).resolve().parents[2]
TOOL = (sys.executable, str(ROOT / "tools" / "images.py"))
IMAGES = {image["name"]: image for image in json.loads(subprocess.check_output([*TOOL, "list"], timeout=60))}
FEEDS = [name for name, image in IMAGES.items() if image["exchange"]]
SITE = "opt/feedplane/lib/"
BUILD_TIMEOUT_S = 1_800
CONFINED = "run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 512m".split()
ADDED_MB = {"clickhouse-lite": 680, "feed": 170, "operator": 70, "redis": 12, "simex": 45, "writer": 165}
"""What an image may add to its base; a tenth above what was measured."""
UNUSED = {
    "clickhouse-lite": ("feedplane_journal", "feedplane_feedset"),
    "operator": ("feedplane_journal",),
    "simex": ("feedplane_journal", "feedplane_feedset", "feedplane_ops"),
}
"""Packages of the shared distribution whose libraries an image does without."""
IMPORT_ALL = """
import importlib, pkgutil, sys
for package in pkgutil.iter_modules():
    if package.name.startswith("feedplane_") and package.name not in sys.argv[1:]:
        path = importlib.import_module(package.name).__path__
        for module in pkgutil.walk_packages(path, package.name + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
                print(module.name)
"""
FAMILIAR = {"clickhouse-lite": [], "operator": [], "redis": ["--version"]}
"""Arguments with which a process says something and ends, where that is not `--help`."""


def family(name: str) -> str:
    return "feed" if name in FEEDS else name


def build(engine: Engine, names: list[str], *options: str) -> None:
    """As `make images` does. Raises: CalledProcessError."""
    bases = ("--base-image", base.BASE, "--build-image", base.BUILDER)
    environment = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "0"}
    command = [*TOOL, "build", *bases, "--only", " ".join(names), *options]
    subprocess.run(command, env=environment, check=True, timeout=BUILD_TIMEOUT_S)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The suite's own engine with every image in it; left as it was found."""
    if os.geteuid() != 0:
        pytest.skip("an engine of the suite's own needs root")
    made = Engine()
    was_running = made.is_running()
    made.start()
    base.ensure(made)
    build(made, list(IMAGES))
    yield made
    if not was_running:
        made.stop()


def reference(name: str, prefix: str = "feedplane") -> str:
    return f"{prefix}/{name}:{__version__}"


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    return dict(json.loads(engine.docker("image", "inspect", name))[0])


def layers(engine: Engine, name: str) -> list[str]:
    return list(inspected(engine, name)["RootFS"]["Layers"])


@cache
def contents(host: str, name: str) -> dict[str, tarfile.TarInfo]:
    """Path -> entry, of everything in an image."""
    command = ["docker", "--host", host]
    made = subprocess.check_output([*command, "create", reference(name)], text=True).strip()
    try:
        with subprocess.Popen([*command, "export", made], stdout=subprocess.PIPE) as export:
            assert export.stdout is not None
            with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
                return {member.name: member for member in tar}
    finally:
        subprocess.run([*command, "rm", made], check=True, capture_output=True)


@pytest.mark.timeout(BUILD_TIMEOUT_S)  # the first builds all of them
@pytest.mark.parametrize("name", IMAGES)
def test_it_starts_confined(engine: Engine, name: str) -> None:
    """As its real command, as nobody, without network, capabilities or a writable root."""
    arguments = FAMILIAR.get(name, ["--help"])
    done = subprocess.run(
        ["docker", "--host", engine.host, *CONFINED, reference(name), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr

    if name == "clickhouse-lite":  # it asks for its directory
        assert (done.returncode, "FEEDPLANE_CLICKHOUSE_LITE_DATA_DIR" in told) == (2, True), told
    elif name == "operator":  # it is in no cluster
        assert done.returncode in (1, 2), told
        assert "Traceback" not in told
        assert "kube" in told.lower(), told
    else:
        assert done.returncode == 0, told
        assert ("Redis server v=" if name == "redis" else "usage: feedplane") in told


@pytest.mark.parametrize("name", IMAGES)
def test_it_says_what_it_is(engine: Engine, name: str) -> None:
    config = inspected(engine, reference(name))["Config"]
    prefix = "org.opencontainers.image."
    labels = {key.removeprefix(prefix): value for key, value in config["Labels"].items() if key.startswith(prefix)}
    head = subprocess.check_output(["git", "-C", ROOT, "rev-parse", "HEAD"], text=True).strip()

    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == "/tmp"
    assert labels.keys() >= {"title", "description", "licenses", "version", "revision", "created"}
    assert labels["version"] == __version__
    assert labels["revision"].removesuffix("-dirty") == head
    assert not config.get("ExposedPorts")
    assert not config.get("Volumes")


@pytest.mark.parametrize("name", IMAGES)
def test_nothing_is_inside_that_does_not_run(engine: Engine, name: str) -> None:
    files = contents(engine.host, name)
    programs = {Path(path).name for path, entry in files.items() if entry.mode & 0o100 and not entry.isdir()}
    ours = {path: entry for path, entry in files.items() if path.startswith(SITE)}
    modules = {path.removeprefix(SITE).partition("/")[0] for path in ours}

    assert not programs & {"pip", "pip3", "gcc", "cc", "ld", "make", "git", "pytest", "curl", "wget"}
    assert not modules & {"pip", "setuptools", "wheel", "pytest", "_pytest", "hypothesis", "mypy", "pandas", "numpy"}
    assert ("pyarrow" in modules) == (family(name) in {"feed", "writer"})
    assert ("chdb" in modules) == (name == "clickhouse-lite")
    assert ("kopf" in modules) == (name == "operator")
    assert not [path for path in ours if path.endswith((".c", ".h", ".pyx")) or "/tests/" in path]
    assert not [path for path in ours if path.endswith(("/direct_url.json", ".key", ".env")) or "fixtures" in path]
    assert not [path for path in files if path.startswith(("build", "work", "repo", "wheels"))]


@pytest.mark.parametrize("name", IMAGES)
def test_nobody_can_change_it(engine: Engine, name: str) -> None:
    ours = {path: entry for path, entry in contents(engine.host, name).items() if path.startswith("opt/feedplane")}

    assert [path for path, entry in ours.items() if entry.uid or entry.gid or entry.mode & 0o7022] == []


@pytest.mark.parametrize("name", [*FEEDS, "simex", "writer"])
def test_a_venue_is_only_where_it_belongs(engine: Engine, name: str) -> None:
    """A feed image has its own adapter and no simulated side; simex has all simulated sides and no adapter."""
    modules = {
        path.removeprefix(SITE).partition("/")[0] for path in contents(engine.host, name) if path.startswith(SITE)
    }
    adapters = {
        module.removeprefix("feedplane_adapter_") for module in modules if module.startswith("feedplane_adapter_")
    }
    dialects = {
        module.removeprefix("feedplane_dialect_") for module in modules if module.startswith("feedplane_dialect_")
    }

    assert adapters == ({IMAGES[name]["exchange"]} - {""})
    assert dialects == ({IMAGES[feed]["exchange"] for feed in FEEDS} if name == "simex" else set())


@pytest.mark.parametrize("name", ["writer", FEEDS[0]])
def test_the_compiled_core_is_inside(engine: Engine, name: str) -> None:
    code = "from feedplane_core.cores import CORE_NAME; print(CORE_NAME)"

    assert engine.docker(*CONFINED, "--entrypoint", "python3", reference(name), "-c", code).strip() == "native"


@pytest.mark.parametrize("name", [name for name in IMAGES if IMAGES[name]["folders"]])
def test_every_module_of_ours_finds_what_it_imports(engine: Engine, name: str) -> None:
    """Neither a declared dependency nor a pruned file is missing; the shared parts that an image does not use are left out."""
    told = engine.docker(*CONFINED, "--entrypoint", "python3", reference(name), "-c", IMPORT_ALL, *UNUSED.get(name, ()))

    assert "feedplane_core.events" in told.split()
    assert len(told.split()) > 40


@pytest.mark.parametrize("name", IMAGES)
def test_it_stays_small(engine: Engine, name: str) -> None:
    added = inspected(engine, reference(name))["Size"] - inspected(engine, base.BASE)["Size"]

    assert added < ADDED_MB[family(name)] * 1_000_000


def test_a_further_venue_costs_a_layer(engine: Engine) -> None:
    """All collectors share every layer but the last; writers share base, common packages and Arrow with them."""
    of_feeds = [layers(engine, reference(name)) for name in FEEDS]
    of_writer = layers(engine, reference("writer"))

    assert len({tuple(each[:-1]) for each in of_feeds}) == 1
    assert len({each[-1] for each in of_feeds}) == len(FEEDS)
    assert of_writer[:3] == of_feeds[0][:3]


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_same_checkout_gives_the_same_bytes(engine: Engine) -> None:
    """Built again from the first step on, with wheels unpacked, byte code and extension compiled anew: equal digests."""
    names = ["writer", FEEDS[0]]
    build(engine, names, "--prefix", "feedplane-again", "--no-cache")
    try:
        for name in names:
            assert layers(engine, reference(name, "feedplane-again")) == layers(engine, reference(name)), name
    finally:
        engine.docker("image", "rm", *(reference(name, "feedplane-again") for name in names))


def test_an_unknown_name_is_refused() -> None:
    done = subprocess.run([*TOOL, "build", "--only", "writr"], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "only: there is no image writr" in done.stderr
