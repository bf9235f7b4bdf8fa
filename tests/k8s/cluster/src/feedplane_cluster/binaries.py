"""The programs that no Debian package has, built from Go modules at pinned versions and kept in the cache by content."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from feedplane_cluster.commands import ClusterError, run
from feedplane_cluster.folders import SOURCES, cache, content_hash

KUBERNETES: Final = "1.34.4"
"""The release in kube/go.mod. 1.35's node agent refuses control groups of version 1, which test machines may have."""
_HELM: Final = "v3.19.4"
"""The release in tools/go.mod: helm does not know its own."""
_BUILD_TIMEOUT_S: Final = 2_400.0
_KUBE_PROGRAMS: Final = "kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl".split()


@dataclass(frozen=True)
class Program:
    """One main package, built in a Go module of this checkout whose go.sum pins everything."""

    module: str
    package: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables set by the linker: versions that programs tell and clients compare."""

    @property
    def folder(self) -> Path:
        """The module."""
        return SOURCES / self.module

    @property
    def key(self) -> str:
        """Changes when the result would."""
        sources = [self.folder / "go.mod", self.folder / "go.sum", *sorted(self.folder.rglob("*.go"))]
        return content_hash([*sources, self.package, *self.linker_flags])

    @property
    def linker_flags(self) -> list[str]:
        """For `-ldflags`: no symbols, which halves the size, and the settings."""
        return ["-s", "-w", *(f"-X={key}={value}" for key, value in self.settings.items())]


def _kubernetes_version(*packages: str) -> dict[str, str]:
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    return {f"{package}.{key}": value for package in packages for key, value in values.items()}


def _helm_settings() -> dict[str, str]:
    major, minor, _ = KUBERNETES.split(".")
    version = {"Major": major, "Minor": minor}
    packages = ["helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules"]
    known = {f"{package}.k8sVersion{part}": value for package in packages for part, value in version.items()}
    return {"helm.sh/helm/v3/internal/version.version": _HELM, **known}


PROGRAMS: Final[Mapping[str, Program]] = {
    "kube": Program("kube", ".", _kubernetes_version("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")),
    "pause": Program("kube", "./pause"),
    "coredns": Program("tools", "./coredns"),
    "helm": Program("tools", "helm.sh/helm/v3/cmd/helm", _helm_settings()),
    "kubeconform": Program("tools", "github.com/yannh/kubeconform/cmd/kubeconform"),
}


def ensure(tell: Callable[[str], None] = lambda _: None) -> Mapping[str, Path]:
    """Name -> file of every program; builds what the cache lacks (about eight minutes on two cores for all).

    Raises:
        ClusterError: no Go toolchain, or a build fails.
    """
    folder = cache("bin")
    found = {name: folder / f"{name}-{program.key}" for name, program in PROGRAMS.items()}
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two suites at once build once
        for name, path in found.items():
            if not path.exists():
                began = time.monotonic()
                _build(PROGRAMS[name], path)
                tell(f"built {name} in {time.monotonic() - began:.0f} s")
    return found


def link(folder: Path) -> None:
    """Fill a folder for PATH: links to all programs, by the names that people type."""
    found = ensure()
    folder.mkdir(parents=True, exist_ok=True)
    names = {**dict.fromkeys(_KUBE_PROGRAMS, found["kube"]), **found}
    for name, target in names.items():
        link_path = folder / name
        link_path.unlink(missing_ok=True)
        link_path.symlink_to(target)


def _build(program: Program, target: Path) -> None:
    if shutil.which("go") is None:
        raise ClusterError("the cluster's programs are built with Go 1.24 or newer: no `go` in PATH")
    partial = target.with_suffix(".new")
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", " ".join(program.linker_flags)]
    command = ["go", "build", *flags, "-o", str(partial), program.package]
    run(command, env=env, cwd=str(program.folder), timeout_s=_BUILD_TIMEOUT_S)
    partial.rename(target)
