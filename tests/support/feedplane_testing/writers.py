"""A real writer process for tests, and a TCP proxy that hurts what passes through it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

KILL_AT: Final = "FEEDPLANE_WRITER_KILL_AT"
_START_TIMEOUT_S: Final = 20.0
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WriterProcess:
    """`python -m feedplane_writer --sink clickhouse` over the journals under `root`."""

    def __init__(self, folder: Path, root: Path, endpoints: list[str], **clickhouse: Any) -> None:
        """`endpoints` are `host:port`, one a shard; `clickhouse` are further settings of that part."""
        settings = {
            "database": "marketdata",
            "retry_base_ns": 20_000_000,
            "retry_cap_ns": 200_000_000,
            "max_age_ns": 50_000_000,
        }
        part = {"shards": [[endpoint] for endpoint in endpoints], **settings, **clickhouse}
        folder.mkdir(parents=True, exist_ok=True)
        self.config_path = folder / "writer.json"
        self.config_path.write_text(json.dumps({"clickhouse": part}))
        self.log_path = folder / "writer.log"
        self._root = root
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self, kill_at: str = "", environment: Mapping[str, str] | None = None) -> Self:
        """Start and wait for its port. `kill_at` names a stage at which the process kills itself, `stage:n` for the n-th time."""
        arguments = ["--sink", "clickhouse", "--config", str(self.config_path), "--journal-root", str(self._root)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FEEDPLANE_")}
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "feedplane_writer", *arguments],
                env={**clean, **({KILL_AT: kill_at} if kill_at else {}), **(environment or {})},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"writer did not start: {self.log_path.read_text()[-2_000:]}")
        self.port = json.loads(line)["port"]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET on its port."""
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def status(self) -> dict[str, Any]:
        """The JSON of `/status`."""
        found: dict[str, Any] = json.loads(self.get("/status")[1])
        return found

    def account(self, feed: str) -> dict[str, int]:
        """The account of a feed; empty before the journal was opened."""
        return next((row for row in self.status()["accounts"] if row["feed"] == feed), {})

    def settle(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until everything in the journals is settled; the status then."""

        def is_settled() -> bool:
            journals = self.status()["journals"]
            return bool(journals) and all(j["pending"] == 0 and j["is_idle"] for j in journals)

        wait_until(is_settled, f"settled journals: {self.log_path}", timeout_s)
        return self.status()

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the end of the process; its exit code."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._close()
        return code

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Raises: AssertionError naming what did not come true."""
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError(f"not in {timeout_s} s: {what}")


class Harm(StrEnum):
    """What happens to a connection that carries an INSERT."""

    NONE = "none"
    DROP_REPLY = "drop_reply"  # the store does it, and nobody hears of it
    RESET_BODY = "reset_body"  # the connection breaks in the middle of the body


class HarmingProxy:
    """Forwards TCP to `target_port`; does `harm` to the next `times` connections on which an INSERT comes along."""

    def __init__(self, target_port: int) -> None:
        self.harm = Harm.NONE
        self.times = 0
        self.harmed = 0
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def set(self, harm: Harm, times: int) -> None:
        """Do `harm` to the next `times` inserts."""
        self.harm, self.times, self.harmed = harm, times, 0

    def close(self) -> None:
        """Refuse connections from now on."""
        self._is_open = False
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._target) as server:
            self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        """Copies both ways. Harm starts with the first bytes of an INSERT."""
        harm = Harm.NONE
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(65_536)
                    if not data:
                        return
                    if source is client and harm is Harm.NONE and b"INSERT" in data[:400]:
                        harm = self._next_harm()
                    if harm is Harm.RESET_BODY:
                        server.sendall(data[: max(1, len(data) // 2)])
                        _reset(server)
                        _reset(client)
                        return
                    if source is server and harm is Harm.DROP_REPLY:
                        _reset(client)
                        return
                    (server if source is client else client).sendall(data)

    def _next_harm(self) -> Harm:
        if self.harmed >= self.times:
            return Harm.NONE
        self.harmed += 1
        return self.harm


def _reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
