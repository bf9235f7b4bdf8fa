"""The Redis writer: tails journals, keeps Redis at the newest state, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any, Final

from feedplane_core.errors import JournalLocked, UsageError
from feedplane_core.names import NS_PER_MS, NS_PER_S
from feedplane_ops.health import Heartbeat
from feedplane_ops.settings import read_secret

from ..config import RedisConfig
from ..runtime import Runtime
from ..words import last_word
from .connection import Login
from .entries import Entry
from .keyspace import Keyspace
from .measures import Measures
from .node import Limits
from .slots import parse_address
from .status import status_of, trouble_of
from .store import ClusterStore, Store
from .tail import JournalTail

logger = logging.getLogger(__name__)

POLL_S: Final = 0.002
_SAVE_EVERY_NS: Final = NS_PER_S
_SETTLE_EVERY_NS: Final = 100 * NS_PER_MS
_LOOK_EVERY_NS: Final = NS_PER_S  # for new journals, and for silence
_TOLD_AFTER_NS: Final = 5 * NS_PER_S
_BLOCKED_NS: Final = 15 * NS_PER_S
_PARTING_NS: Final = 3 * NS_PER_S
_PARTING_SHARE: Final = 10
"""When a collector has stopped, its successor's writer gets so long to take the keys over, and not more than this share of the drain bound: it may be some way behind."""


async def run(runtime: Runtime) -> int:
    """Serve until `runtime.stop` is set, then drain for `drain_ns`; the exit code.

    Raises:
        UsageError: the config has no `redis` part, or its password file cannot be read.
    """
    config = runtime.config.redis
    if config is None:
        raise UsageError("redis", "the config has no part for this sink")
    if config.password_file is not None:
        read_secret(config.password_file)
    writer = RedisWriter(config, runtime)
    await writer.start()
    try:
        await writer.serve()
        await writer.drain(runtime.config.drain_ns)
        runtime.leave_word(writer.last_word())
    finally:
        await writer.close()
    return 0


class RedisWriter:
    """Journals on one side, Redis on the other, the keys between them."""

    def __init__(self, config: RedisConfig, runtime: Runtime) -> None:
        self._runtime = runtime
        self._config = config
        self.tails: dict[Path, JournalTail] = {}
        self._held: dict[Entry, None] | None = None  # what is due, while nothing is to be sent yet
        self._parting_ns = min(_PARTING_NS, runtime.config.drain_ns // _PARTING_SHARE)
        self._parting: deque[tuple[int, Entry]] = deque()  # by when
        self.keyspace = Keyspace(
            config.key_style, self._on_due, monotonic_ns, config.market_in_keys, on_parting=self._on_parting
        )
        tls = ssl.create_default_context() if config.tls else None
        self.measures = Measures(runtime.metrics)
        make = ClusterStore if config.mode == "Cluster" else Store
        self.store = make(
            [parse_address(endpoint) for endpoint in config.endpoints],
            Login(config.user, config.password_file, tls),
            Limits(config.max_rows, config.max_age_ns / NS_PER_S, config.ttl_ns),
            self.keyspace.entries,
            self.measures.on_pipeline,
        )
        self._saving: asyncio.Task[None] | None = None
        self._heartbeat = Heartbeat(_BLOCKED_NS)
        self._due_ns = {"look": 0, "save": 0, "settle": 0}
        self.measures.observe(self.store)
        runtime.health.add_liveness("tail", self._heartbeat.check)
        runtime.health.add_note("store", self._store_note)
        runtime.set_status(self._status)

    async def start(self) -> None:
        await self.store.start()
        self._look()
        await self._catch_up()

    async def serve(self) -> None:
        """Until told to stop."""
        stop, failed = self._runtime.stop, self.store.failed
        assert failed is not None
        while not stop.is_set():
            if failed.done():
                failed.result()
            rows = self._step_all()
            self._heartbeat.beat()
            self._keep_house()
            await asyncio.sleep(0 if rows else POLL_S)

    async def drain(self, drain_ns: int) -> None:
        """Empty the journals and what waits for Redis, for `drain_ns` at most; what is left stays in the journals."""
        deadline_ns = monotonic_ns() + drain_ns
        while (now_ns := monotonic_ns()) < deadline_ns:
            self._part(now_ns)
            if not self._step_all() and self.store.is_idle and not self._parting:
                break
            await asyncio.sleep(POLL_S)
        if self._saving is not None:
            await self._saving
        for tail in self.tails.values():
            candidate = tail.settled(last=True)
            if candidate is not None:
                await asyncio.to_thread(tail.write, candidate)

    def last_word(self) -> dict[str, Any]:
        """What Redis was not told of. Nothing is lost by it: the newest values are what a successor writes."""
        trouble = self.store.trouble(monotonic_ns())
        left = [
            {"exchange": tail.exchange, "feed": feed, "records": records}
            for tail in self.tails.values()
            for feed, records in tail.account.pending().items()
            if records
        ]
        return last_word("redis", left, None if trouble is None else trouble_of(*trouble), is_declared=False)

    async def close(self) -> None:
        await self.store.close()
        for tail in self.tails.values():
            tail.close()

    def _status(self) -> dict[str, Any]:
        trouble = self.store.trouble(monotonic_ns())
        return status_of(self.tails.values(), len(self.keyspace), trouble, self.measures.committed_ns)

    def _store_note(self) -> str | None:
        trouble = self.store.trouble(monotonic_ns())
        if trouble is None or trouble[0] < _TOLD_AFTER_NS:
            return None
        age_s = trouble[0] / NS_PER_S
        gone = ", keys have expired" if trouble[0] > self._config.ttl_ns else ""
        return f"no writes for {age_s:.0f} s: {trouble[1]}{gone}"

    def _down_s(self) -> float:
        trouble = self.store.trouble(monotonic_ns())
        return 0.0 if trouble is None else trouble[0] / NS_PER_S

    # Work

    def _on_due(self, entry: Entry) -> None:
        if self._held is None:
            self.store.add(entry)
        else:
            self._held[entry] = None

    def _on_parting(self, entry: Entry) -> None:
        self._parting.append((monotonic_ns() + self._parting_ns, entry))

    def _part(self, now_ns: int) -> None:
        """Say of what nobody has taken over that it is stale."""
        while self._parting and self._parting[0][0] <= now_ns:
            self._on_due(self._parting.popleft()[1])

    def _step_all(self) -> int:
        return sum(tail.step() for tail in self.tails.values())

    def _keep_house(self) -> None:
        now_ns = monotonic_ns()
        self._part(now_ns)
        if now_ns >= self._due_ns["settle"]:
            self._due_ns["settle"] = now_ns + _SETTLE_EVERY_NS
            for tail in self.tails.values():
                tail.settle()
        if now_ns >= self._due_ns["save"]:
            self._due_ns["save"] = now_ns + _SAVE_EVERY_NS
            if self._saving is None or self._saving.done():
                if self._saving is not None:
                    self._saving.result()
                self._saving = asyncio.create_task(self._save(), name="cursors")
        if now_ns >= self._due_ns["look"]:
            self._due_ns["look"] = now_ns + _LOOK_EVERY_NS
            self._look()
            for tail in self.tails.values():
                tail.check_silence()
            self.measures.note(self.tails.values(), len(self.keyspace), self._down_s())

    async def _save(self) -> None:
        for tail in list(self.tails.values()):
            candidate = tail.settled()
            if candidate is not None:
                await asyncio.to_thread(tail.write, candidate)

    def _look(self) -> None:
        """Take up journals that have appeared."""
        for path in self._runtime.journals():
            if path in self.tails:
                continue
            try:
                self.tails[path] = JournalTail(
                    path,
                    self.keyspace,
                    stale_after_ns=self._config.stale_after_ns,
                    clock=monotonic_ns,
                    wall_ms=lambda: time_ns() // NS_PER_MS,
                    on_stored=self.measures.on_stored,
                )
            except JournalLocked as e:
                logger.error("journal has another redis writer", extra={"journal": path.name, "error": str(e)})
                raise
            logger.info("journal taken up", extra={"journal": path.name})

    async def _catch_up(self) -> None:
        """Read what lies behind without sending it; each key then starts with its newest value."""
        if not any(tail.is_behind() for tail in self.tails.values()):
            return
        started_ns, rows = monotonic_ns(), 0
        self._held = {}
        while (read := self._step_all()) and not self._runtime.stop.is_set():
            rows += read
            self._heartbeat.beat()
            await asyncio.sleep(0)
        held, self._held = self._held, None
        for entry in held:
            self.store.add(entry)
        superseded = sum(sum(tail.books.superseded.values()) for tail in self.tails.values())
        took_s = (monotonic_ns() - started_ns) / NS_PER_S
        logger.info(
            "backlog passed over",
            extra={"rows": rows, "superseded": superseded, "keys": len(held), "took_s": round(took_s, 3)},
        )
