"""The control group that holds all pods of a cluster, in both versions of the kernel's interface."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_UNIFIED: Final = "cgroup.controllers"


def make(name: str) -> None:
    """Make the group in every hierarchy: the node agent wants it there."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for key in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset of version 1 is empty and would refuse processes
            if hierarchy.name == "cpuset" and not (group / key).read_text().strip():
                (group / key).write_text((hierarchy / key).read_text())
    if (_ROOT / _UNIFIED).exists():
        enabled = " ".join(f"+{controller}" for controller in (_ROOT / _UNIFIED).read_text().split())
        (_ROOT / name / "cgroup.subtree_control").write_text(enabled)


def remove(name: str) -> None:
    """Remove the groups of pods that no longer run, innermost first."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _hierarchies() -> list[Path]:
    if (_ROOT / _UNIFIED).exists():
        return [_ROOT]
    return [path for path in sorted(_ROOT.iterdir()) if (path / "cgroup.procs").exists()]
