"""Base images for tests, made from Debian packages alone, since a test machine may reach no image registry.

`feedplane-test/base` is what a slim Python image is: Debian's minimal system with Python and root certificates.
`feedplane-test/builder` adds a compiler, pip and venv for the stages that build.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from feedplane_cluster.commands import ClusterError, run
from feedplane_cluster.engine import Engine
from feedplane_cluster.folders import cache

RELEASE: Final = "bookworm"  # the oldest Debian whose Python is 3.11
BASE: Final = f"feedplane-test/base:{RELEASE}"
BUILDER: Final = f"feedplane-test/builder:{RELEASE}"
_LEFT_OUT: Final = (
    "./var/cache/apt/*.bin ./var/cache/apt/archives/*.deb ./var/lib/apt/lists/* ./var/log/* ./usr/share/doc/*/* "
    "./usr/share/man/* ./usr/share/locale/* ./usr/share/info/* ./dev/*"
).split()
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILDER_RECIPE: Final = f"""\
FROM {BASE}
RUN apt-get update -q \\
 && apt-get install -q -y --no-install-recommends gcc libc6-dev python3-dev python3-pip python3-venv \\
 && rm -rf /var/lib/apt/lists/*
"""


def ensure(engine: Engine) -> tuple[str, str]:
    """Names of the base and the builder image, present in the engine; made if missing (about two minutes, network).

    Raises:
        ClusterError: debootstrap or the build fails.
    """
    if not _is_present(engine, BASE):
        _import_base(engine)
    if not _is_present(engine, BUILDER):
        engine.docker("build", "--network", "host", "--tag", BUILDER, "-", input_text=_BUILDER_RECIPE)
    return BASE, BUILDER


def _is_present(engine: Engine, image: str) -> bool:
    return bool(engine.docker("image", "ls", "--quiet", image).strip())


def _import_base(engine: Engine) -> None:
    archive = cache("base") / f"{RELEASE}.tar"
    if not archive.exists():
        _bootstrap(archive)
    settings = [f"ENV {_PATH}", "ENV LANG=C.UTF-8", 'CMD ["python3"]']
    changes = [option for setting in settings for option in ("--change", setting)]
    engine.docker("import", *changes, str(archive), BASE)


def _bootstrap(archive: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix="root-", dir=archive.parent))
    try:
        include = "--include=ca-certificates,python3"
        run(["debootstrap", "--variant=minbase", include, RELEASE, str(root)], timeout_s=900)
        (root / "usr/bin/python").symlink_to("python3")  # what official Python images call it
        partial = archive.with_suffix(".new")
        excluded = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        order = ["--sort=name", "--numeric-owner"]
        run(["tar", *order, "-C", str(root), *excluded, "-cf", str(partial), "."], timeout_s=120)
        partial.rename(archive)
    finally:
        subprocess.run(["umount", "-q", str(root / "proc"), str(root / "sys")], check=False, capture_output=True)
        if _is_mounted_below(root):
            raise ClusterError(f"{root} still has mounts: not removed")
        shutil.rmtree(root, ignore_errors=True)


def _is_mounted_below(root: Path) -> bool:
    return any(str(root) in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
