"""Real processes for tests of the collector: a simulated venue, a collector that follows it, and what the journal holds afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from feedplane_core.names import NS_PER_MS, NS_PER_S
from feedplane_feedset.config import CollectorConfig, write_config
from feedplane_journal.inspect import cat

from feedplane_testing.judge import Verdict, holes_of_journal, issued_of_ledger, judge, kept_of_journal

_START_WITHIN_S = 20.0
FEEDS = ("trades", "l1", "ob_diffs")


async def http(method: str, url: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request on loopback: (status, body). No client library, so that tests share none with what they test."""
    match = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)?", url)
    assert match is not None, url
    reader, writer = await asyncio.open_connection(match[1], int(match[2]))
    head = f"{method} {match[3] or '/'} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2]


async def until(condition: Callable[[], Awaitable[Any]], within_s: float = 10.0, every_s: float = 0.05) -> Any:
    """The first true value that `condition` gives. Raises: TimeoutError."""
    async with asyncio.timeout(within_s):
        while not (found := await condition()):
            await asyncio.sleep(every_s)
    return found


class Process:
    """A child that logs JSON lines on stderr; everything it says is kept for the report of a failed test."""

    def __init__(self, *argv: str, env: dict[str, str] | None = None) -> None:
        self._argv = argv
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("FEEDPLANE_")} | (env or {})
        self.log: list[dict[str, Any]] = []
        self._readers: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *self._argv,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            self._readers.append(asyncio.create_task(self._read(stream)))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            try:
                self.log.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                self.log.append({"message": line.decode(errors="replace").rstrip()})

    def said(self, phrase: str) -> list[dict[str, Any]]:
        """Log lines whose message is this phrase."""
        return [line for line in self.log if phrase in (line.get("message"), line.get("event"), line.get("msg"))]

    async def line(self, phrase: str, within_s: float = _START_WITHIN_S) -> dict[str, Any]:
        """The first log line with this phrase."""

        async def found() -> dict[str, Any] | None:
            assert self.returncode is None or self.said(phrase), f"ended with {self.returncode}: {self.log[-5:]}"
            return next(iter(self.said(phrase)), None)

        line: dict[str, Any] = await until(found, within_s)
        return line

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self, within_s: float = 10.0) -> int:
        assert self._process is not None
        code = await asyncio.wait_for(self._process.wait(), within_s)
        await asyncio.gather(*self._readers)
        return code

    async def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)


class Sim(Process):
    """`python -m feedplane_simex` with a ledger."""

    def __init__(self, exchange: str, directory: Path, *argv: str, rate: int = 200, instruments: int = 2) -> None:
        self.exchange = exchange
        self.ledger_path = directory / "ledger.ndjson"
        common = ["--exchange", exchange, "--rate", str(rate), "--instruments", str(instruments)]
        super().__init__("feedplane_simex", *common, "--ledger", str(self.ledger_path), *argv)
        self.endpoints: dict[str, str] = {}
        self.control = ""
        self.stopped_ns = 0

    async def start(self) -> None:
        await super().start()
        listening = await self.line("listening")
        self.endpoints = listening["endpoints"][self.exchange]
        self.control = listening["control"]

    async def fault(self, spec: str) -> int:
        """Set a fault; returns its number."""
        status, body = await http("POST", f"{self.control}/fault", orjson.dumps({"fault": spec}))
        assert status == 201, body
        number: int = orjson.loads(body)["id"]
        return number

    async def lift(self, number: int | None = None) -> None:
        """End one fault, or all."""
        status, _ = await http("DELETE", f"{self.control}/fault" + ("" if number is None else f"/{number}"))
        assert status == 200

    async def counts(self) -> dict[str, int]:
        _, body = await http("GET", f"{self.control}/counts")
        counts: dict[str, int] = orjson.loads(body)[self.exchange]
        return counts

    async def clients(self) -> list[dict[str, Any]]:
        """What its clients did: `open`, `subscribe`, `unsubscribe`, `end`, each with time, socket and topic."""
        _, body = await http("GET", f"{self.control}/clients/{self.exchange}")
        log: list[dict[str, Any]] = orjson.loads(body)
        return log

    async def truth(self) -> dict[str, Any]:
        """Every instrument's state, by the venue itself."""
        _, body = await http("GET", f"{self.control}/state/{self.exchange}")
        state: dict[str, Any] = orjson.loads(body)
        return state

    async def stop(self) -> None:
        """Close every socket, finish the ledger."""
        self.stopped_ns = time.time_ns()
        self.send(signal.SIGTERM)
        await self.wait()

    def ledger(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.ledger_path.read_bytes().splitlines()]


def mount(path: Path, text: str) -> None:
    """Put `text` at `path` as the kubelet does with a ConfigMap: a new directory of data, and one symlink that is swapped."""
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"..{time.time_ns()}"
    data.mkdir()
    (data / path.name).write_text(text)
    link = folder / "..new"
    link.symlink_to(data.name)
    link.replace(folder / "..data")
    if not path.is_symlink():
        path.symlink_to(Path("..data") / path.name)


def collector_config(exchange: str, journal: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a collector with short timings; `changes` go to the part that has a field of that name."""
    config: dict[str, Any] = {
        "feedset": "test",
        "entry": exchange.replace("_", "-"),
        "exchange": exchange,
        "markets": [],
        "feeds": list(FEEDS),
        "symbols": {"mode": "discover", "max_symbols": 100, "refresh_ns": 600 * NS_PER_S},
        "shard": 0,
        "shards": 1,
        "cadence": {
            "l1_ns": 200 * NS_PER_MS,
            "ob_top5_ns": 100 * NS_PER_MS,
            "ob_top20_ns": NS_PER_S,
            "advanced_ns": NS_PER_S,
            "open_interest_ns": NS_PER_S,
        },
        "kline_intervals_s": [60],
        "connection": {
            "stale_after_ns": NS_PER_S,
            "rotate_before_ns": 3_600 * NS_PER_S,
            "overlap_ns": 2 * NS_PER_S,
        },
        "journal": {
            "directory": str(journal),
            "max_bytes": 1 << 30,
            "retention_ns": 3_600 * NS_PER_S,
            "on_full": "ShedByPriority",
            "sinks": ["redis"],
        },
    }
    for name, value in changes.items():
        part = next((p for p in ("symbols", "connection", "journal", "cadence") if name in config[p]), None)
        if name in config:
            config[name] = value
        else:
            assert part is not None or name in ("include", "exclude", "quotes"), name
            config[part or "symbols"][name] = value
    return json.loads(write_config(CollectorConfig.model_validate_json(json.dumps(config))))  # type: ignore[no-any-return]


class Collector(Process):
    """`python -m feedplane_collector` in simulation mode."""

    def __init__(
        self,
        sim: Sim,
        directory: Path,
        *,
        library: str = "websockets",
        env: dict[str, str] | None = None,
        symbols_apart: bool = False,
        **changes: Any,
    ) -> None:
        """`symbols_apart`: two files, mounted as a pod has them, each reached over a symlink that is swapped."""
        directory.mkdir(parents=True, exist_ok=True)
        self.exchange = sim.exchange
        self.journal = directory / "journal"
        self.config_path = directory / "collector.json"
        self.symbols_path = directory / "symbols" / "symbols.json" if symbols_apart else None
        self.config = collector_config(sim.exchange, self.journal, **changes)
        self._write()
        settings = {
            "FEEDPLANE_CONFIG": str(self.config_path),
            "FEEDPLANE_MODE": "sim",
            "FEEDPLANE_ENDPOINTS": json.dumps(sim.endpoints),
            "FEEDPLANE_SOCKET_LIBRARY": library,
            "FEEDPLANE_INSTANCE": "test",
        }
        if self.symbols_path is not None:
            settings["FEEDPLANE_SYMBOLS"] = str(self.symbols_path)
        super().__init__("feedplane_collector", env=settings | (env or {}))
        self.url = ""

    def _write(self) -> None:
        standing = self.config
        if self.symbols_path is not None:
            standing = {key: value for key, value in self.config.items() if key != "symbols"}
            mount(self.symbols_path, json.dumps(self.config["symbols"]))
        temporary = self.config_path.with_suffix(".tmp")
        temporary.write_text(json.dumps(standing))
        temporary.replace(self.config_path)

    def edit_symbols(self, **symbols: Any) -> None:
        """Change the config file under the running process, as a ConfigMap does."""
        self.config["symbols"] |= symbols
        self._write()

    async def start(self) -> None:
        await super().start()
        started = await self.line("collector started")
        self.url = f"http://127.0.0.1:{started['port']}"

    async def status(self) -> dict[str, Any]:
        _, body = await http("GET", f"{self.url}/status")
        status: dict[str, Any] = orjson.loads(body)
        return status

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status code and body of `/readyz`."""
        code, body = await http("GET", f"{self.url}/readyz")
        verdict: dict[str, Any] = orjson.loads(body)
        return code, verdict

    async def ready(self, within_s: float = 20.0) -> None:
        """Wait until it may take over from another."""

        async def is_ready() -> bool:
            assert self.returncode is None, f"ended with {self.returncode}: {self.log[-5:]}"
            return (await self.readiness())[0] == 200

        await until(is_ready, within_s)

    async def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples whose labels include these; 0 where there is none."""
        _, body = await http("GET", f"{self.url}/metrics")
        total = 0.0
        for line in body.decode().splitlines():
            if re.match(rf"feedplane_collector_{name}[ {{]", line) and all(
                f'{k}="{v}"' in line for k, v in labels.items()
            ):
                total += float(line.rpartition(" ")[2])
        return total

    async def when(self, condition: Callable[[dict[str, Any]], Any], within_s: float = 15.0) -> dict[str, Any]:
        """The status as soon as `condition` holds for it."""

        async def held() -> dict[str, Any] | None:
            assert self.returncode is None, f"ended with {self.returncode}: {self.log[-5:]}"
            status = await self.status()
            return status if condition(status) else None

        found: dict[str, Any] = await until(held, within_s)
        return found

    async def synced(self, instruments: int = 2, within_s: float = 15.0) -> dict[str, Any]:
        """Wait until every book is synced and every channel that must speak has."""
        return await self.when(
            lambda s: s["instruments"] == instruments and s["books"] == {"synced": instruments, "total": instruments},
            within_s,
        )

    async def stop(self) -> float:
        """SIGTERM; returns how long it took to end, which it must do well."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        assert await self.wait() == 0, self.log[-5:]
        return time.monotonic() - began

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.wait()

    def rows(self, *record_types: str) -> list[dict[str, Any]]:
        """Everything in the journal, in order; nothing before its first group."""
        if not list(self.journal.glob("*.fpj")):
            return []
        return list(cat(self.journal, record_types))

    def final_status(self) -> dict[str, Any]:
        """The closing account."""
        status: dict[str, Any] = json.loads((self.journal / "status.json").read_text())
        return status

    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]

    def peak_rss_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


def assert_books_balance(status: dict[str, Any]) -> None:
    """The accounting identity, of every feed."""
    for feed, a in status["feeds"].items():
        assert a["received"] == a["normalised"] + a["rejected"] + a["ignored"] + a["held"], (feed, a)
        assert a["normalised"] == a["journalled"] + a["shed"] + a["buffered"], (feed, a)


def verdict_of(
    sim: Sim,
    collector: Collector,
    *,
    ignore: Callable[[dict[str, Any]], bool] = lambda line: False,
    rows: list[dict[str, Any]] | None = None,
    **options: Any,
) -> Verdict:
    """The judge's word on a run that is over, over the feeds that were asked for. Ledger lines that `ignore` names are no obligations;
    `rows` is what a reader got, where the journal has since let go of it.
    """
    rows = collector.rows() if rows is None else rows
    feeds = set(collector.config["feeds"])
    return judge(
        issued_of_ledger(line for line in sim.ledger() if line["feed"] in feeds and not ignore(line)),
        kept_of_journal((row for row in rows if not ignore(row)), sim.exchange),
        holes_of_journal(rows, sim.exchange),
        **options,
    )


async def finish(sim: Sim, collector: Collector, **options: Any) -> Verdict:
    """End the venue first, so that all it sent has been read, then the collector; its books must balance and its journal be fit to judge."""
    await sim.stop()
    await asyncio.sleep(0.2)
    assert await collector.stop() < 2.0
    assert_books_balance(collector.final_status())
    return verdict_of(sim, collector, **options)


@asynccontextmanager
async def plane(
    directory: Path, exchange: str, *argv: str, rate: int = 200, instruments: int = 2, **collector: Any
) -> AsyncIterator[tuple[Sim, Collector]]:
    """A simulated venue and a collector that follows all it lists, both running; neither outlives the block."""
    sim = Sim(exchange, directory, *argv, rate=rate, instruments=instruments)
    processes: list[Process] = [sim]
    try:
        await sim.start()
        follower = Collector(sim, directory, **collector)
        processes.append(follower)
        await follower.start()
        yield sim, follower
    finally:
        for process in reversed(processes):
            await process.end()


def messages(log: Iterable[dict[str, Any]]) -> list[str]:
    """What was said, for assertions on the whole log."""
    return [str(line.get("message") or line.get("event") or line.get("msg")) for line in log]
