"""Debian packages that the cluster and the engine need; installed only where their program is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from feedplane_cluster.commands import ClusterError, run

ENGINE: Final[Mapping[str, str]] = {
    "docker.io": "/usr/sbin/dockerd",
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "debootstrap": "/usr/sbin/debootstrap",
}
"""Package -> a file of it."""
CLUSTER: Final[Mapping[str, str]] = {
    **ENGINE,
    "etcd-server": "/usr/bin/etcd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "/usr/sbin/iptables",
    "iproute2": "/usr/sbin/ip",
    "openssl": "/usr/bin/openssl",
}


def ensure(packages: Mapping[str, str]) -> list[str]:
    """Install what is missing; the packages that were.

    Raises:
        ClusterError: not root, no apt-get, or the installation fails.
    """
    missing = [package for package, file in packages.items() if not Path(file).exists()]
    if missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise ClusterError(f"the cluster needs root and these Debian packages: {' '.join(missing)}")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], env=quiet, timeout_s=300)
        # Services of these packages are never wanted: the suite runs its own, in namespaces of its own.
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], env=quiet, timeout_s=900)
    return missing
