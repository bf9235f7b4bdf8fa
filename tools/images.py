"""Builds the container images: `make images`, `make wheels`; `images.py list` tells them as JSON.

Wheels are fetched here, by the hashes of `requirements/images/`, into `build/wheels/`; a build gets only what its image needs as its context and runs without a
network. So an image is a function of the checkout and of its two base images.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from feedplane_ops.version import __version__
from image_plan import FOLDER, Image, images, listing

ROOT: Final = Path(__file__).resolve().parents[1]
WHEELS: Final = ROOT / "build" / "wheels"
LABEL: Final = "org.opencontainers.image."
_MB: Final = 1_000_000
_SHOWN: Final = 4_000
"""Characters of a failed build's output that are shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 well, 1 where a build fails, 2 on wrong use."""
    given = parser().parse_args(arguments)
    if given.do == "list":
        print(listing(ROOT))
        return 0
    known = {image.name: image for image in images(ROOT)}
    if unknown := [name for name in given.only if name not in known]:
        print(f"only: there is no image {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in given.only or known]
    try:
        for layer in sorted({"build", *(layer for image in chosen for layer in image.layers)}):
            fetch_wheels(layer)
        if given.do == "build":
            for image in chosen:
                build(image, given)
            print_sizes(chosen, given)
    except subprocess.CalledProcessError as e:
        print(f"{' '.join(map(str, e.cmd[:3]))} ended with {e.returncode}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("do", choices=("build", "wheels", "list"))
    made.add_argument("--only", type=str.split, default=[], metavar="NAMES", help="image names, e.g. 'writer feed-okx'")
    made.add_argument("--base-image", default="", help="a slim image with Python 3.11, instead of the Dockerfiles' own")
    made.add_argument("--build-image", default="", help="an image with Python 3.11, its headers and a C compiler")
    made.add_argument("--prefix", default="feedplane", help="what image names begin with: a registry, an organisation")
    made.add_argument("--tag", default=__version__)
    made.add_argument("--source", default="", help="URL of the sources, for the image's label")
    made.add_argument("--docker", default=os.environ.get("DOCKER", "docker"), help="the client that builds")
    made.add_argument("--no-cache", action="store_true", help="build every step again")
    return made


def fetch_wheels(layer: str) -> None:
    """Have the wheels of a layer in `build/wheels/<layer>`, with the requirements that name their hashes. Raises: CalledProcessError."""
    wanted, folder = (ROOT / FOLDER / f"{layer}.txt").read_text(encoding="utf-8"), WHEELS / layer
    stamp = folder / "requirements.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pip = (
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
    )
    platform = ("--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp")
    tags = [part for minor in range(36, 16, -1) for part in ("--platform", f"manylinux_2_{minor}_x86_64")]
    subprocess.run([*pip, *platform, *tags, "-r", ROOT / FOLDER / f"{layer}.txt", "-d", folder], check=True)  # noqa: S603
    stamp.write_text(wanted, encoding="utf-8")  # last: a folder without it is fetched again


def build(image: Image, given: argparse.Namespace) -> None:
    """Raises: CalledProcessError."""
    print(f"== {image.name}", flush=True)
    arguments = {"BASE_IMAGE": given.base_image, "BUILD_IMAGE": given.build_image, "EXCHANGE": image.exchange}
    command = ["build", "--network", "none", "--file", image.dockerfile, "--tag", reference(image, given)]
    command += [part for name, value in arguments.items() if value for part in ("--build-arg", f"{name}={value}")]
    command += [part for name, value in labels(given).items() for part in ("--label", f"{LABEL}{name}={value}")]
    command += ["--no-cache"] if given.no_cache else []
    docker(given, *command, "-", stdin=context(image))


def docker(given: argparse.Namespace, *arguments: str, stdin: bytes | None = None) -> str:
    """What the client printed. Raises: CalledProcessError, after the end of its output was shown."""
    command = (given.docker, *arguments)
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    told = done.stdout.decode(errors="replace")
    if done.returncode:
        print(told[-_SHOWN:], file=sys.stderr)
        done.check_returncode()
    return told


def reference(image: Image, given: argparse.Namespace) -> str:
    return f"{given.prefix}/{image.name}:{given.tag}"


def labels(given: argparse.Namespace) -> dict[str, str]:
    """What a checkout knows of itself; a commit's time instead of the clock's."""
    made = {"version": __version__, "source": given.source}
    if revision := git("rev-parse", "HEAD"):
        is_changed = git("status", "--porcelain", "--untracked-files=no")
        made["revision"] = revision + ("-dirty" if is_changed else "")
        made["created"] = git("show", "--no-patch", "--format=%cI", "HEAD")
    return {name: value for name, value in made.items() if value}


def git(*arguments: str) -> str:
    """Its answer, or nothing where this is no checkout."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip() if done.returncode == 0 else ""


def context(image: Image) -> bytes:
    """A tar of what the image is made from and nothing else: its recipe, its folders, the wheels of its layers."""
    paths = [Path(image.dockerfile), Path("tools/image_layer.py")]
    paths += [path for folder in image.folders for path in sources(folder)]
    wheels = [WHEELS / layer for layer in ("build", *image.layers)]
    paths += [path.relative_to(ROOT) for folder in wheels for path in sorted(folder.iterdir())]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in paths:
            tar.add(ROOT / path, arcname=str(path), recursive=False, filter=anonymous)
    return buffer.getvalue()


def sources(folder: str) -> list[Path]:
    """Files of a distribution that git knows or would take; without git all but caches. Recordings and their events stay behind."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", folder).splitlines()
    found = [Path(name) for name in listed] or [path.relative_to(ROOT) for path in sorted((ROOT / folder).rglob("*"))]
    left = {"fixtures", "__pycache__"}
    return [path for path in found if (ROOT / path).is_file() and left.isdisjoint(path.parts)]


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nobody's file of no time, so that a cached step is found again in another clone."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


def print_sizes(chosen: Sequence[Image], given: argparse.Namespace) -> None:
    """Unpacked size of each image, and what it adds to the layers of those above it: what a node really stores."""
    stored: set[str] = set()
    names = [reference(image, given) for image in chosen]
    width = max(map(len, names))
    print(f"{'image':<{width}}      MB  new MB")
    for name, found in zip(names, json.loads(docker(given, "image", "inspect", *names)), strict=True):
        sizes = layer_sizes(found, given)
        new = sum(size for layer, size in sizes.items() if layer not in stored)
        stored.update(found["RootFS"]["Layers"])
        print(f"{name:<{width}}  {found['Size'] / _MB:6.1f}  {f'{new / _MB:6.1f}' if sizes else '     -'}")


def layer_sizes(found: dict[str, Any], given: argparse.Namespace) -> dict[str, int]:
    """Digest -> bytes of each layer, lowest first; empty where the history does not tell which step made which.

    A step that only sets metadata has no layer. One that changes no file has one with BuildKit alone.
    """
    told = docker(given, "history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", found["Id"])
    steps = [(int(size), by) for size, _, by in (line.partition(" ") for line in reversed(told.splitlines()))]
    for makers in ((), ("RUN", "COPY", "ADD", "WORKDIR")):
        sizes = [size for size, by in steps if size or by.startswith(makers)]
        if len(sizes) == len(found["RootFS"]["Layers"]):
            return dict(zip(found["RootFS"]["Layers"], sizes, strict=True))
    return {}


if __name__ == "__main__":
    sys.exit(main())
