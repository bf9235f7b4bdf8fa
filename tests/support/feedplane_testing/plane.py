"""A whole plane for tests: `feedplane up` and simulated venues as a stranger starts them, and the means to hurt them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

FEEDPLANE = str(Path(sys.executable).with_name("feedplane"))
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", "COLUMNS": "140"}


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Raises: AssertionError naming what did not come true."""
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError(f"not in {timeout_s} s: {what}")


class Simulator:
    """`feedplane simex` as a process."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.ledger_path = folder / "ledger.ndjson"
        self.ready_path = folder / "ready.json"
        self._log = (folder / "simex.log").open("wb")
        self.process = subprocess.Popen(
            [FEEDPLANE, "simex", "--ledger", str(self.ledger_path), "--ready-file", str(self.ready_path), *args],
            stdout=self._log,
            stderr=self._log,
            env=_ENVIRONMENT,
        )
        wait_until(self.ready_path.is_file, "simex ready", 20)
        self.control = json.loads(self.ready_path.read_text())["control"]

    def endpoints(self) -> dict[str, dict[str, str]]:
        """Base URLs by exchange and name."""
        found: dict[str, dict[str, str]] = json.loads(self.ready_path.read_text())["endpoints"]
        return found

    def fault(self, spec: str) -> None:
        """Lay a fault: `cut:code=0`."""
        request = urllib.request.Request(
            f"{self.control}/fault", data=json.dumps({"fault": spec}).encode(), method="POST"
        )
        _OPENER.open(request, timeout=5).read()

    def lift_faults(self) -> None:
        _OPENER.open(urllib.request.Request(f"{self.control}/fault", method="DELETE"), timeout=5).read()

    def ledger(self, wanted: Callable[[dict[str, Any]], bool] = lambda _line: True) -> list[dict[str, Any]]:
        """The lines issued that are wanted; call it after the simulator has ended."""
        with self.ledger_path.open("rb") as lines:
            return [line for line in map(json.loads, lines) if wanted(line)]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Plane:
    """`feedplane up --json` as a process."""

    def __init__(self, folder: Path, feedset: Path, *args: str, environment: Mapping[str, str] | None = None) -> None:
        self.data = folder / "data"
        self._err_path = folder / "up.err"
        self._err = self._err_path.open("wb")
        self._out_path = folder / "up.out"
        self._out = self._out_path.open("wb")
        self.process = subprocess.Popen(
            [FEEDPLANE, "up", "-f", str(feedset), "--data", str(self.data), "--json", *args],
            stdout=self._out,
            stderr=self._err,
            env={**_ENVIRONMENT, **(environment or {})},
        )

    def note(self) -> dict[str, Any]:
        """Where everything listens and which processes run."""
        mode = (self.data / "current").read_text().strip()
        note: dict[str, Any] = json.loads((self.data / mode / "plane.json").read_text())
        return note

    def wait_ready(self, timeout_s: float = 40.0) -> None:
        def is_up() -> bool:
            assert self.process.poll() is None, self.stderr()
            try:
                return bool(self.note()["processes"])
            except (OSError, ValueError):
                return False

        wait_until(is_up, "plane is up", timeout_s)

    def kill(self, name: str) -> int:
        """`kill -9` of one process by its name (`redis`, `writer-clickhouse`, `binance-futures-0`); returns its pid."""
        pid: int = self.note()["processes"][name]["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, old_pid: int, timeout_s: float = 10.0) -> None:
        def is_back() -> bool:
            process = self.note()["processes"][name]
            return process["pid"] not in (None, old_pid) and process["status"] == "running"

        wait_until(is_back, f"{name} is back", timeout_s)

    def status(self) -> dict[str, Any]:
        answer = subprocess.run(
            [FEEDPLANE, "status", "--data", str(self.data), "--json"], capture_output=True, env=_ENVIRONMENT, check=True
        )
        document: dict[str, Any] = json.loads(answer.stdout)
        return document

    def wait_drained(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Until nothing that was journalled waits for any sink; returns the status."""
        seen: dict[str, Any] = {}

        def is_drained() -> bool:
            nonlocal seen
            seen = self.status()
            if seen["silent"]:
                return False
            return all(count == 0 for row in seen["accounts"] for count in row["pending"].values())

        wait_until(is_drained, "writers have drained", timeout_s)
        return seen

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a statement; 64-bit integers as numbers, decimals as text."""
        note = self.note()
        settings = "output_format_json_quote_64bit_integers=0&output_format_json_quote_decimals=1"
        url = f"{note['stores']['clickhouse']}/?database={note['database']}&{settings}"
        request = urllib.request.Request(url, data=f"{sql} FORMAT JSONEachRow".encode(), method="POST")
        with _OPENER.open(request, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def redis_port(self) -> int:
        return int(self.note()["stores"]["redis"].rpartition(":")[2])

    def stop(self, timeout_s: float = 15.0) -> dict[str, Any]:
        """Ctrl-C; returns the closing account (the last line on standard output)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout_s)
        self._out.close()
        self._err.close()
        lines = self._out_path.read_text().splitlines()
        assert lines, self.stderr()
        account: dict[str, Any] = json.loads(lines[-1])
        return account

    def stderr(self) -> str:
        return self._err_path.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()


def write_feedset(
    path: Path, exchanges: Mapping[str, Iterable[str]], feeds: Mapping[str, list[str]], **spec: Any
) -> Path:
    """A FeedSet of these exchanges and symbols."""
    document = {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "metadata": {"name": "test"},
        "spec": {
            "exchanges": [
                {"exchange": exchange, "feeds": feeds[exchange], "symbols": {"include": sorted(symbols)}, **spec}
                for exchange, symbols in exchanges.items()
            ]
        },
    }
    path.write_text(json.dumps(document))
    return path
