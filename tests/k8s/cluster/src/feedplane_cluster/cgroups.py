"""The control group that holds all pods of a cluster, in both versions of the kernel's interface."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_UNIFIED: Final = "cgroup.controllers"
_SHARES: Final = {"cpu.shares": "16384", "cpu.weight": "600"}
"""All pods are one group beside the machine's other processes; by default it would weigh as much as one of those."""


def make(name: str) -> None:
    """Make the group in every hierarchy: the node agent wants it there."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for key in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset of version 1 is empty and would refuse processes
            if hierarchy.name == "cpuset" and not (group / key).read_text().strip():
                (group / key).write_text((hierarchy / key).read_text())
        for key, value in _SHARES.items():
            if (group / key).exists():
                (group / key).write_text(value)
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
