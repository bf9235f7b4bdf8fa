"""Addresses and paths of one cluster, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

NODE_NAME: Final = "node1"
NODE_IP: Final = "198.18.0.1"  # 198.18.0.0/15 is set aside for tests of networks (RFC 2544): no real host has it
NODE_PREFIX: Final = 24
POD_CIDR: Final = "198.18.64.0/22"
SERVICE_CIDR: Final = "198.19.0.0/16"
API_SERVICE_IP: Final = "198.19.0.1"  # the first of the range, by rule
API_URL: Final = f"https://{NODE_IP}:6443"
DNS_DOMAIN: Final = "cluster.local"
MAX_PODS: Final = 250


@dataclass(frozen=True)
class Layout:
    """Where one cluster keeps its files: `running` holds configuration, sockets and logs, `data` what is large."""

    running: Path
    data: Path
    binaries: Path

    @property
    def name(self) -> str:
        """Also the name of its cgroup, so that two clusters' node agents leave each other's pods alone."""
        return self.running.name

    @property
    def kubeconfig(self) -> Path:
        """For people and tests: the cluster's administrator."""
        return self.running / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Keys and certificates, new at each start."""
        return self.running / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the daemons."""
        return self.running / "config"

    @property
    def audit_log(self) -> Path:
        """One JSON line for each finished request to the API server."""
        return self.running / "audit.jsonl"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.running / "containerd.sock"

    def binary(self, name: str) -> str:
        """A program that this suite built."""
        return str(self.binaries / name)
