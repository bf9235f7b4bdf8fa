"""A real `clickhouse-lite` process for tests, with the faults that tests need."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

_PREFIX: Final = "FEEDPLANE_CLICKHOUSE_LITE_"
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 10.0


class StartFailed(Exception):
    """The process ended, or said nothing, instead of listening."""

    def __init__(self, exit_code: int | None, stderr: str) -> None:
        super().__init__(f"exit code {exit_code}: {stderr.strip()[-2_000:]}")
        self.exit_code = exit_code
        self.stderr = stderr


class ClickHouseLite:
    """One process over `data_dir`; keeps its data over `stop` or `kill` and `start`, and its port as well.

    `settings` are named as in the service's README, in lower case: `ClickHouseLite(tmp_path, max_threads=2)`. Mappings
    and lists are passed as JSON.
    """

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self.port = 0
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[Any] = []

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`; valid after `start`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def stderr_path(self) -> Path:
        """The log of all runs, one JSON object a line."""
        return self.data_dir.with_name(self.data_dir.name + ".stderr.log")

    def start(self) -> Self:
        """Start and wait until it listens.

        Raises:
            StartFailed: it does not come up; carries the exit code and what it said.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with self.stderr_path.open("a") as log:
            began = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "feedplane_clickhouse_lite"],
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self._first_line()
        if not line:
            self._process.kill()
            exit_code = self._process.wait()
            self._process.stdout.close() if self._process.stdout else None
            self._process = None
            raise StartFailed(exit_code, self.stderr_path.read_text()[began:])
        self.port = json.loads(line)["port"]
        return self

    def stop(self) -> int | None:
        """SIGTERM and wait; the exit code, or None when it was not running."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a crash does."""
        self._end(signal.SIGKILL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP for the length of the block: a server that accepts connections and says nothing."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def client(self, **options: Any) -> Any:
        """A `clickhouse_connect` client of this process, closed with it. `options` go to `get_client`."""
        import clickhouse_connect  # so that tests of other stores need not have it

        options = {"autogenerate_session_id": False, **options}
        client = clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)
        self._clients.append(client)
        return client

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
        given = {"data_dir": self.data_dir, "port": self.port, **self._settings}
        return inherited | {_PREFIX + name.upper(): _text(value) for name, value in given.items()}

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = monotonic() + _START_TIMEOUT_S
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - monotonic()))
        return self._process.stdout.readline() if ready else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int | None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            if process.stdout is not None:
                process.stdout.close()


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list | tuple | bool) else str(value)
