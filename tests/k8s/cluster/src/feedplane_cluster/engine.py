"""A container engine of the suite's own for building images: Debian's dockerd with its own data, socket and namespaces.

Containers get no bridge: a build that needs the network says `--network host`, a run `--network none`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from feedplane_cluster import debian
from feedplane_cluster.commands import ClusterError, run, wait_until
from feedplane_cluster.folders import cache, running
from feedplane_cluster.machine import Machine

_START_TIMEOUT_S: Final = 60.0


class Engine:
    """One engine a machine; images and build cache outlive it in the cache folder."""

    def __init__(self) -> None:
        self._machine = Machine(running("engine"), own_network=False)

    @property
    def host(self) -> str:
        """What DOCKER_HOST must say."""
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        return self._machine.folder / "docker.sock"

    def start(self) -> str:
        """DOCKER_HOST of the running engine, started if it is not.

        Raises:
            ClusterError: it does not answer; carries the end of its log.
        """
        debian.ensure(debian.ENGINE)
        if not self.is_running():
            self._launch()
        return self.host

    def _launch(self) -> None:
        machine = self._machine
        machine.start()
        exec_root = machine.folder / "exec"
        run(["rm", "-rf", str(exec_root)])
        options = {
            "data-root": str(cache("engine")),
            "exec-root": str(exec_root),
            "pidfile": str(machine.folder / "docker.pid"),
            "host": self.host,
            "bridge": "none",
            "iptables": "false",
            "ip-forward": "false",
            "ip-masq": "false",
            "log-level": "warn",
        }
        machine.log("dockerd").write_text("")
        (machine.folder / "docker.pid").unlink(missing_ok=True)
        machine.spawn("dockerd", ["dockerd", *(f"--{key}={value}" for key, value in options.items())])
        try:
            wait_until("container engine", self.is_running, timeout_s=_START_TIMEOUT_S)
        except ClusterError as e:
            raise ClusterError(f"{e}\n{machine.tail('dockerd')}") from e

    def stop(self) -> None:
        """End the engine and whatever it runs."""
        if self._machine.pid is not None:
            self._machine.end("dockerd")
        self._machine.stop()

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            return self._socket.exists() and bool(
                self.docker("version", "--format", "{{.Server.Version}}", timeout_s=10)
            )
        except ClusterError:
            return False

    def image_ids(self, images: Sequence[str]) -> dict[str, str]:
        """Name -> identity of the image's content.

        Raises:
            ClusterError: an image is missing.
        """
        ids = self.docker("image", "inspect", "--format", "{{.Id}}", *images).split()
        return dict(zip(images, ids, strict=True))

    def docker(self, *arguments: str, input_text: str | None = None, timeout_s: float = 600.0) -> str:
        """Output of a docker command against this engine."""
        env = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0", "DOCKER_CLI_HINTS": "false"}
        return run(["docker", *arguments], input_text=input_text, env=env, timeout_s=timeout_s)
