"""The image of the process that holds a pod's namespaces, as an archive that containerd imports."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from feedplane_cluster.binaries import ensure
from feedplane_cluster.commands import run
from feedplane_cluster.engine import Engine
from feedplane_cluster.folders import cache

IMAGE: Final = "docker.io/feedplane-test/pause:1"


def archive(engine: Engine) -> Path:
    """The image's archive, made if the cache lacks it."""
    program = ensure()["pause"]
    path = cache("images") / f"{program.name}.tar"
    if not path.exists():
        engine.start()
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(program, Path(folder) / "pause")
            layer = Path(folder) / "layer.tar"
            run(["tar", "-C", folder, "--owner=0", "--group=0", "-cf", str(layer), "pause"])
            engine.docker("import", "--change", 'ENTRYPOINT ["/pause"]', str(layer), IMAGE)
        partial = path.with_suffix(".new")
        engine.docker("save", "--output", str(partial), IMAGE)
        partial.rename(path)
    return path
