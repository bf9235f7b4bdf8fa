"""A machine inside the machine: process, mount and (if wanted) network namespaces with daemons in them.

Everything in it ends with its first process, so `stop` is one kill and works after any crash.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from feedplane_cluster.commands import ClusterError, run, wait_until

_START_TIMEOUT_S: Final = 20.0


class Machine:
    """Namespaces of one name; the object holds no state of its own: any process may make one and find it running."""

    def __init__(self, folder: Path, *, own_network: bool) -> None:
        self.folder = folder
        self._own_network = own_network
        self._pidfile = folder / "init.pid"

    @property
    def pid(self) -> int | None:
        """The first process, as numbered outside, while it runs."""
        try:
            pid = int(self._pidfile.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._pidfile).encode() in command else None

    def start(self) -> None:
        """Make the namespaces; what an earlier run left is ended first."""
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._pidfile.unlink(missing_ok=True)
        spaces = ["--pid", "--mount", "--fork", "--propagation", "slave", *(["--net"] if self._own_network else [])]
        loopback = ["--loopback"] if self._own_network else []
        with self.log("init").open("ab") as log:
            subprocess.Popen(
                ["unshare", *spaces, sys.executable, "-m", "feedplane_cluster.init", str(self._pidfile), *loopback],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until("namespaces", lambda: self.pid is not None, timeout_s=_START_TIMEOUT_S, every_s=0.02)

    def stop(self) -> None:
        """End every process in it; returns when they are gone."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_until("end of namespaces", lambda: self.pid is None, timeout_s=_START_TIMEOUT_S, every_s=0.02)
        self._pidfile.unlink(missing_ok=True)

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside.

        Raises:
            ClusterError: it does not run.
        """
        pid = self.pid
        if pid is None:
            raise ClusterError(f"{self.folder.name} is not running")
        net = ["--net"] if self._own_network else []
        return ["nsenter", "--target", str(pid), "--mount", "--pid", *net, "--", *argv]

    def log(self, name: str) -> Path:
        """What a daemon printed, over all its starts."""
        return self.folder / f"{name}.log"

    def spawn(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start a daemon inside; it outlives this process and is found again by name."""
        script = f"echo $$ > {shlex.quote(str(self._inner_pidfile(name)))}; exec {shlex.join(argv)}"
        with self.log(name).open("ab") as log:
            subprocess.Popen(
                self.inside(["sh", "-c", script]),
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(name, self._inner_pidfile(name).exists, timeout_s=_START_TIMEOUT_S, every_s=0.02)

    def is_alive(self, name: str) -> bool:
        """Whether a daemon runs."""
        return self.pid is not None and self._signal(name, "0")

    def end(self, name: str, signal_name: str = "TERM", *, timeout_s: float = 20.0) -> None:
        """Send a signal and wait for the end; SIGKILL after `timeout_s`."""
        if self._signal(name, signal_name):
            deadline = time.monotonic() + timeout_s
            while self._signal(name, "0"):
                if time.monotonic() > deadline:
                    self._signal(name, "KILL")
                time.sleep(0.05)
        self._inner_pidfile(name).unlink(missing_ok=True)

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a daemon's log, for error messages."""
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _inner_pidfile(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _signal(self, name: str, signal_name: str) -> bool:
        try:
            inner_pid = int(self._inner_pidfile(name).read_text())
            run(self.inside(["kill", f"-{signal_name}", str(inner_pid)]))
        except (OSError, ValueError, ClusterError):
            return False
        return True
