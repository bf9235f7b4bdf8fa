"""A whole plane on one machine: the operator's rendering, fed to a process supervisor instead of an API server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feedplane_core.errors import UsageError
from feedplane_core.names import DATABASES, Mode
from feedplane_feedset.config import (
    ClickHouseWriterConfig,
    CollectorConfig,
    RedisWriterConfig,
    WriterConfig,
    write_config,
)
from feedplane_feedset.model import FeedSet
from feedplane_feedset.render import Stores, render_collectors, render_writers
from feedplane_ops.settings import read_secret
from feedplane_ops.supervisor import ChildSpec, ChildState, Status, Supervisor

from feedplane_cli import engines
from feedplane_cli.accounts import merge_accounts
from feedplane_cli.datadir import DataDir
from feedplane_cli.http import get_json

logger = logging.getLogger(__name__)

COLLECTORS, WRITERS, VENUES = "collectors", "writers", "venues"
STOP_ORDER = (COLLECTORS, WRITERS, VENUES, engines.STORES)
FINAL_STATUS = "status.json"
"""A collector's last word, in its journal directory."""
_KEPT_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PYTHONDONTWRITEBYTECODE",
)
_START_TIMEOUT_S = 30.0
_CAPTURE_S = 1.2
_DRAIN_S = 2.4
_WRITER_DRAIN_NS = 2_200_000_000  # leaves it time to save its cursors; the rest waits in the data directory
_STOP_S = 4.6
"""Ctrl-C to the last process gone: collectors, then writers with what is left to drain, then the stores."""


@dataclass(frozen=True, kw_only=True)
class PlaneOptions:
    """What `feedplane up` was told beside the FeedSet."""

    mode: Mode
    endpoints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # exchange -> endpoint name -> base URL
    redis_port: int = 0
    clickhouse_port: int = 0
    socket_library: str = "websockets"
    simulate_rate: int | None = None  # start simulated venues at so many messages a second


class Plane:
    """Starts, watches and stops every process of one FeedSet."""

    def __init__(self, feedset: FeedSet, data: DataDir, options: PlaneOptions) -> None:
        self.feedset = feedset
        self.options = options
        self._data = data
        self._supervisor = Supervisor(STOP_ORDER, on_change=self._on_change)
        self._is_up = False
        self._ports: dict[str, int] = {}
        self._endpoints: Mapping[str, Mapping[str, str]] = options.endpoints
        self.collectors: tuple[CollectorConfig, ...] = ()
        self.writers: tuple[WriterConfig, ...] = ()
        self.stores: dict[str, str] = {}

    async def start(self) -> None:
        """Everything up, in order: stores, tables, simulated venues, writers, collectors. Raises: UsageError."""
        stores = await self._start_stores()
        self.collectors = render_collectors(self.feedset, stores)
        self.writers = render_writers(self.feedset, stores)
        self.stores = self._store_urls()
        await asyncio.to_thread(self._apply_ddl)
        if self.options.simulate_rate is not None:
            await self._start_simulator(self.options.simulate_rate)
        for writer in self.writers:
            await self._start_writer(writer)
        for collector in self.collectors:
            await self._start_collector(collector)
        self._is_up = True
        self._data.write_note(self.note())

    def _on_change(self, _: ChildState) -> None:
        if self._is_up:
            self._data.write_note(self.note())

    def note(self) -> dict[str, Any]:
        """Where everything listens."""
        return {
            "pid": os.getpid(),
            "mode": self.options.mode,
            "feedset": self.feedset.metadata.name,
            "stores": self.stores,
            "database": DATABASES[self.options.mode],
            "collectors": {c.name: self._status_url(c.name) for c in self.collectors},
            "writers": {w.sink: self._status_url(_writer_name(w)) for w in self.writers},
            "metrics": {name: f"http://127.0.0.1:{port}/metrics" for name, port in self._ports.items()},
            "data": str(self._data.path.resolve()),
            "processes": {
                state.name: {"pid": state.pid, "status": state.status.value, "restarts": state.restarts}
                for state in self._supervisor.states()
            },
        }

    def failed(self) -> ChildState | None:
        """A child that will not come back, if there is one."""
        return next((state for state in self._supervisor.states() if state.status is Status.FAILED), None)

    def restarts(self) -> dict[str, int]:
        return {state.name: state.restarts for state in self._supervisor.states() if state.restarts}

    async def status(self) -> dict[str, Any]:
        """Collectors' and writers' own words, and the merged account; a process that does not answer is left out."""
        return await read_status(self.note())

    async def stop(self) -> dict[str, Any]:
        """Ends it: collectors first, then writers with what was left to drain, then the stores; returns the closing status. Under five seconds."""
        self._is_up = False
        await asyncio.gather(
            *(self._supervisor.stop_child(c.name, _CAPTURE_S) for c in self.collectors if self._runs(c.name))
        )
        await asyncio.gather(
            *(self._supervisor.stop_child(n, _DRAIN_S) for n in map(_writer_name, self.writers) if self._runs(n))
        )
        status = await self.status()
        await self._supervisor.stop(_STOP_S - _CAPTURE_S - _DRAIN_S)
        return status

    def _runs(self, name: str) -> bool:
        return any(state.name == name for state in self._supervisor.states())

    # Starting

    async def _start_stores(self) -> Stores:
        wanted = self.feedset.spec.sinks
        redis = clickhouse = ""
        if wanted.redis is None or not wanted.redis.endpoints:
            redis = await self._start_redis()
        if wanted.clickhouse is None or not wanted.clickhouse.shards:
            clickhouse = await self._start_clickhouse()
        return Stores(
            redis_endpoints=(redis,) if redis else (),
            clickhouse_shards=((clickhouse,),) if clickhouse else (),
            database=DATABASES[self.options.mode],
            drain_ns=_WRITER_DRAIN_NS,
            journal_root=str(self._data.path / "journal"),
        )

    async def _start_redis(self) -> str:
        port = engines.claim_port(self.options.redis_port, "--redis-port")
        folder = self._data.path / "redis"
        self._supervisor.start(engines.redis_spec(folder, port, self._log("redis"), self._environment()))
        await engines.wait_for(self._supervisor, "redis", lambda: engines.redis_answers(port), _START_TIMEOUT_S)
        return f"127.0.0.1:{port}"

    async def _start_clickhouse(self) -> str:
        port = engines.claim_port(self.options.clickhouse_port, "--clickhouse-port")
        spec = engines.clickhouse_spec(
            self._data.path / "clickhouse", port, "default", self._log("clickhouse"), self._environment()
        )
        self._supervisor.start(spec)
        url = f"http://127.0.0.1:{port}"
        await engines.wait_for(
            self._supervisor, "clickhouse", lambda: engines.clickhouse_answers(url), _START_TIMEOUT_S
        )
        return f"127.0.0.1:{port}"

    def _store_urls(self) -> dict[str, str]:
        urls: dict[str, str] = {}
        for writer in self.writers:
            if isinstance(writer, RedisWriterConfig):
                urls["redis"] = f"{'rediss' if writer.tls else 'redis'}://{writer.endpoints[0]}"
            else:
                urls["clickhouse"] = f"{'https' if writer.tls else 'http'}://{writer.shards[0][0]}"
        return urls

    def _apply_ddl(self) -> None:
        from feedplane_cli.tables import bring_forward

        for writer in self.writers:
            if not isinstance(writer, ClickHouseWriterConfig) or not writer.apply_schema:
                continue
            for replicas in writer.shards:
                host, _, port = replicas[0].rpartition(":")
                bring_forward(
                    host,
                    int(port),
                    writer.database,
                    writer.cluster,
                    user=writer.user,
                    password=read_secret(writer.password_file).get_secret_value() if writer.password_file else "",
                    secure=writer.tls,
                )
                if writer.cluster is not None:
                    break  # ON CLUSTER reaches the other shards

    async def _start_simulator(self, rate: int) -> None:
        ready = self._data.path / "config" / "simex.json"
        ready.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "feedplane_simex", "--rate", str(rate), "--ready-file", str(ready)]
        for exchange in sorted({c.exchange for c in self.collectors}):
            argv += ["--exchange", exchange]
        symbols = sorted({f"{c.exchange}:{name}" for c in self.collectors for name in c.symbols.include})
        for symbol in symbols:
            argv += ["--symbols", symbol]
        self._supervisor.start(
            ChildSpec(name="simex", group=VENUES, argv=argv, env=self._environment(), log_path=self._log("simex"))
        )
        await engines.wait_for(self._supervisor, "simex", ready.is_file, _START_TIMEOUT_S)
        self._endpoints = json.loads(ready.read_text())["endpoints"]

    async def _start_writer(self, config: WriterConfig) -> None:
        name = _writer_name(config)
        path = self._write_config(name, config)
        argv = [sys.executable, "-m", "feedplane_writer", "--sink", config.sink, "--config", str(path)]
        for source in config.sources:
            argv += ["--journal", source.journal_directory]
        last_word = {"FEEDPLANE_STATUS_FILE": str(self._last_word(name))}
        self._last_word(name).unlink(missing_ok=True)
        await self._start_service(name, WRITERS, argv, last_word)

    async def _start_collector(self, config: CollectorConfig) -> None:
        path = self._write_config(config.name, config)
        argv = [sys.executable, "-m", "feedplane_collector", "--config", str(path), "--mode", self.options.mode]
        extra = {
            "FEEDPLANE_ENDPOINTS": json.dumps(dict(self._endpoints.get(config.exchange, {}))),
            "FEEDPLANE_STRICT_SYMBOLS": "true",
            "FEEDPLANE_SOCKET_LIBRARY": self.options.socket_library,
        }
        if self.options.mode is not Mode.LIVE and not self._endpoints.get(config.exchange):
            raise UsageError("--endpoints", f"no simulated venue for {config.exchange}")
        (Path(config.journal.directory) / FINAL_STATUS).unlink(missing_ok=True)
        await self._start_service(config.name, COLLECTORS, argv, extra)

    async def _start_service(self, name: str, group: str, argv: list[str], extra: dict[str, str]) -> None:
        self._ports[name] = engines.free_port()
        env = {
            **self._environment(),
            **extra,
            "FEEDPLANE_METRICS_PORT": str(self._ports[name]),
            "FEEDPLANE_INSTANCE": name,
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        }
        self._supervisor.start(ChildSpec(name=name, group=group, argv=argv, env=env, log_path=self._log(name)))

    def _write_config(self, name: str, config: CollectorConfig | WriterConfig) -> Path:
        path = self._data.path / "config" / f"{name}.json"
        path.write_text(write_config(config))
        return path

    def _environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
        return {**kept, **{key: value for key, value in os.environ.items() if key.startswith("FEEDPLANE_")}}

    def _last_word(self, name: str) -> Path:
        return self._data.path / "config" / f"{name}.status.json"

    def _log(self, name: str) -> Path:
        return self._data.path / "logs" / f"{name}.log"

    def _status_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports.get(name, 0)}/status"


def _writer_name(config: WriterConfig) -> str:
    return f"writer-{config.sink}"


async def read_status(note: Mapping[str, Any]) -> dict[str, Any]:
    """Status of the plane that a note describes; a process that has ended is read from its last word."""
    data = Path(note["data"])

    async def ask(url: str) -> Any:
        try:
            return await asyncio.to_thread(get_json, url)
        except OSError:
            return None

    names = list(note["collectors"])
    answers = await asyncio.gather(*(ask(url) for url in note["collectors"].values()))
    collectors = [
        answer or _read(data / "journal" / name / FINAL_STATUS) for name, answer in zip(names, answers, strict=True)
    ]
    sinks = list(note["writers"])
    answered = await asyncio.gather(*(ask(url) for url in note["writers"].values()))
    answered = [
        a or _read(data / "config" / f"writer-{sink}.status.json") for sink, a in zip(sinks, answered, strict=True)
    ]
    writers = {sink: status for sink, status in zip(sinks, answered, strict=True) if status is not None}
    alive = [status for status in collectors if status is not None]
    return {
        "collectors": alive,
        "writers": writers,
        "silent": [name for name, status in zip(names, collectors, strict=True) if status is None]
        + [f"writer-{sink}" for sink in sinks if sink not in writers],
        "accounts": merge_accounts(alive, writers),
        "stores": note["stores"],
        "mode": note["mode"],
    }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
