"""The ClickHouse sink of a writer process: one worker thread per shard, journals as they appear."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any, Final

from feedplane_core.errors import JournalError, JournalLocked, UsageError
from feedplane_core.names import NS_PER_S, Mode
from feedplane_journal.layout import list_segments
from feedplane_journal.reader import JournalReader, Problem
from feedplane_ops.backoff import Backoff
from feedplane_ops.health import Heartbeat

from ..config import ClickHouseConfig
from ..feeds import add_counts
from ..journals import origin_of
from ..runtime import Runtime
from ..words import Trouble, backlog_word, last_word, store_word
from .cursor import SinkCursor
from .cut import Limits
from .http import ShardClient
from .pipe import Pipe, count_ahead
from .remainder import Remainder, declare, remainder_of
from .schema import schema_step
from .sender import Observer, Sender
from .succession import Succession
from .tables import FEED_OF_TABLE
from .telemetry import Telemetry
from .worker import ShardWorker

logger = logging.getLogger(__name__)

_DISCOVER_S: Final = 0.25
_COUNT_S: Final = 0.25
_ANY_AGE_NS: Final = 1 << 62
"""A recording may be of any year: its days are few, whenever they were."""
_HEARTBEAT_SLACK_NS: Final = 120 * NS_PER_S
_LAST_LOOK_NS: Final = 3 * NS_PER_S
_LAST_TRY_NS: Final = 6 * NS_PER_S
"""After the drain: to see what is left, and to have declared it. A pod grants ten seconds beyond its drain bound."""
_LAST_REQUEST_S: Final = 2.0
_ASIDE_S: Final = 0.25
_ASIDE_RETRY_NS: Final = NS_PER_S


class Served:
    """One journal that is being written."""

    def __init__(
        self, path: Path, exchange: str, cursor: SinkCursor, pipes: list[Pipe], succession: Succession
    ) -> None:
        self.succession = succession
        self.path = path
        self.exchange = exchange
        self.cursor = cursor
        self.pipes = pipes
        self.backlog_bytes = 0
        """Bytes of frames that are not settled, as of the last count."""

    def close(self) -> None:
        """Let another writer have the journal."""
        for pipe in self.pipes:
            pipe.close()
        self.succession.close()
        self.cursor.close()


class ClickHouseSink:
    """All that runs for this sink. Drive it with `open_journals`, end it with `drain`."""

    def __init__(self, config: ClickHouseConfig, telemetry: Telemetry) -> None:
        self._config = config
        self.telemetry = telemetry
        self.journals: dict[Path, Served] = {}
        self.locked: set[Path] = set()
        self.heartbeats: list[Heartbeat] = []
        self.workers = [self._worker(shard) for shard in range(len(config.shards))]
        self._ending = threading.Event()
        self._counter = threading.Thread(target=self._count, name="counter", daemon=True)
        self._successor = threading.Thread(target=self._settle_successions, name="succession", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        for worker in self.workers:
            worker.start()
        self._counter.start()
        self._successor.start()

    def open_journals(self, paths: list[Path]) -> None:
        """Take on those of `paths` that are not served yet; one that another writer holds is tried again with the
        next call."""
        self._forget_removed()
        for path in paths:
            if path in self.journals:
                continue
            try:
                self._open(path)
            except JournalLocked as e:
                if path not in self.locked:
                    logger.warning("journal is served by another writer", extra={"journal": path.name, "error": str(e)})
                self.locked.add(path)
            except JournalError as e:
                logger.error("journal cannot be opened", extra={"journal": path.name, "error": str(e)})

    def failed(self) -> bool:
        """Whether a worker has ended by an error."""
        return any(worker.error is not None for worker in self.workers)

    def waiting(self) -> list[str]:
        """Why shards cannot store, one entry for each that cannot."""
        return [f"shard {w.shard}: {w.waiting}" for w in self.workers if w.waiting is not None]

    def trouble(self) -> Trouble | None:
        """Of the shard that has been in trouble longest."""
        return max((t for w in self.workers if (t := w.trouble()) is not None), default=None)

    def committed_ns(self) -> int:
        """When a store took something last; 0 before."""
        return max(worker.committed_ns for worker in self.workers)

    def not_served(self) -> str | None:
        """A readiness check: journals that another writer holds, or that cannot be read."""
        reasons = [f"{path.name} is served by another writer" for path in self.locked]
        reasons += [f"{path.name}: {why}" for worker in self.workers for path, why in worker.abandoned.items()]
        return "; ".join(reasons) or None

    def drain(self, within_ns: int) -> bool:
        """Store what is there for at most so long; whether all of it was stored."""
        self._ending.set()
        for worker in self.workers:
            worker.drain(within_ns)
        deadline_ns = monotonic_ns() + within_ns
        return all(worker.join(max(0, deadline_ns - monotonic_ns()) / NS_PER_S + 0.05) for worker in self.workers)

    def _forget_removed(self) -> None:
        """A journal whose directory was removed may come again under its name."""
        for path, served in list(self.journals.items()):
            if not path.is_dir() and all(path in worker.abandoned for worker in self.workers):
                served.close()
                del self.journals[path]
                for worker in self.workers:
                    worker.abandoned = {p: why for p, why in worker.abandoned.items() if p != path}

    def _worker(self, shard: int) -> ShardWorker:
        config = self._config
        heartbeat = Heartbeat(int(config.request_timeout_s * NS_PER_S) + config.retry_cap_ns + _HEARTBEAT_SLACK_NS)
        self.heartbeats.append(heartbeat)
        return ShardWorker(
            shard,
            lambda pause: self._sender(shard, pause, config.request_timeout_s),
            self.telemetry,
            config.in_flight_bytes,
            heartbeat,
            **({"prepare": schema_step(config.database, config.cluster, shard)} if config.apply_schema else {}),
        )

    def _sender(
        self, shard: int, pause: Callable[[int], bool], timeout_s: float, observer: Observer | None = None
    ) -> Sender:
        config = self._config
        client = ShardClient(
            config.shards[shard],
            user=config.user,
            password_file=config.password_file,
            tls=config.tls,
            timeout_s=timeout_s,
        )
        return Sender(
            client,
            database=config.database,
            table_suffix="" if config.cluster is None else "_local",
            backoff=Backoff(config.retry_base_ns, max(config.retry_base_ns, config.retry_cap_ns)),
            pause=pause,
            observer=observer or self.telemetry.of_shard(shard),
            clock_ns=monotonic_ns,
        )

    def leftovers(self) -> list[Remainder]:
        """What the journals hold that is not stored, after `drain`."""
        ends_ns = monotonic_ns() + _LAST_LOOK_NS
        looked = (
            remainder_of(served.path, served.exchange, served.cursor.positions(), lambda: monotonic_ns() < ends_ns)
            for served in list(self.journals.values())
        )
        return [left for left in looked if not left.is_empty]

    def declare(self, leftovers: list[Remainder]) -> bool:
        """Have the store say that these are missing; whether it did, for all of them."""
        ends_ns = monotonic_ns() + _LAST_TRY_NS
        shards = len(self._config.shards)
        is_told = True
        for shard in range(shards):
            sender = self._sender(shard, lambda _: True, _LAST_REQUEST_S)  # gives up at the first failure
            for left in leftovers:
                is_told &= monotonic_ns() < ends_ns and declare(left, shard, shards, sender, time_ns())
        return is_told

    def settle_successions(self, *, is_last: bool = False) -> bool:
        """Answer for each journal what lies before it, where that is due (`is_last`: due or not); whether every try succeeded."""
        is_well = True
        for served in list(self.journals.values()):
            succession = served.succession
            try:
                if not succession.is_open:
                    continue
                if is_last or succession.is_due(served.cursor):
                    is_well &= succession.check(self._senders_aside())
            except (JournalError, OSError) as e:
                is_well = False
                if self._ending.is_set() or served.path.is_dir():
                    logger.warning("succession not settled", extra={"journal": served.path.name, "error": str(e)})
        return is_well

    def _settle_successions(self) -> None:
        retry_ns = 0
        while not self._ending.wait(_ASIDE_S):
            if monotonic_ns() >= retry_ns and not self.settle_successions():
                retry_ns = monotonic_ns() + _ASIDE_RETRY_NS

    def _senders_aside(self) -> list[Sender]:
        """One a shard, for a request beside the worker's; each gives up at its first failure."""
        quiet = Observer()  # the telemetry is the workers'
        return [
            self._sender(shard, lambda _: True, _LAST_REQUEST_S, quiet) for shard in range(len(self._config.shards))
        ]

    def settle_last(self) -> None:
        """One last try, after `drain`: a journal that dies takes the question with it."""
        self._successor.join(2 * _LAST_REQUEST_S)
        if not self._successor.is_alive() and self.trouble() is None:
            self.settle_successions(is_last=True)

    def _open(self, path: Path) -> None:
        exchange, mode = origin_of(path)
        shards = len(self._config.shards)
        cursor = SinkCursor(path, shards, list_segments(path)[0].start)
        pipes = [self._pipe(path, exchange, mode, cursor, shard) for shard in range(shards)]
        succession = Succession(path, exchange, is_fresh=cursor.is_fresh)
        self.journals[path] = Served(path, exchange, cursor, pipes, succession)
        self.locked.discard(path)
        for worker, pipe in zip(self.workers, pipes, strict=True):
            worker.add(pipe)
        logger.info("journal opened", extra={"journal": path.name, "exchange": exchange})

    def _pipe(self, path: Path, exchange: str, mode: Mode, cursor: SinkCursor, shard: int) -> Pipe:
        config = self._config
        limits = Limits(
            max_rows=config.max_rows,
            l1_interval_ns=config.l1_interval_of(exchange),
            max_event_age_ns=_ANY_AGE_NS if mode is Mode.REPLAY else config.max_event_age_ns,
            compression=config.compression,
        )
        return Pipe(
            path,
            exchange,
            cursor,
            shard,
            len(config.shards),
            limits,
            max_age_ns=config.max_age_ns,
            max_bytes=config.in_flight_bytes // 2,
            clock_ns=monotonic_ns,
            on_problem=lambda problem: self._on_problem(exchange, problem),
        )

    def _on_problem(self, exchange: str, problem: Problem) -> None:
        self.telemetry.unreadable.add((exchange, problem.reason), problem.size_bytes)

    def _count(self) -> None:
        """Keep `pending` true for what no pipe has read: while a store is away, or far behind."""
        readers: dict[Path, JournalReader] = {}
        before: dict[Path, object] = {}
        while not self._ending.wait(_COUNT_S):
            for path, served in list(self.journals.items()):
                reader = readers.setdefault(path, JournalReader(path))
                at = served.cursor.account.counted_to
                if before.get(path) == at:  # no pipe has come on since the last look
                    while not self._ending.is_set() and count_ahead(path, served.cursor, reader):
                        continue
                before[path] = served.cursor.account.counted_to
                served.backlog_bytes = _backlog_bytes(reader, served.cursor)


def _backlog_bytes(reader: JournalReader, cursor: SinkCursor) -> int:
    try:
        return reader.backlog(cursor.lowest()).bytes
    except (JournalError, OSError):  # the journal is being removed
        return 0


def status_of(sink: ClickHouseSink, now_ns: int) -> dict[str, Any]:
    """The JSON of `/status`: the account per (exchange, feed), rows stored per table, and what holds a shard up."""
    accounts = []
    stored: dict[str, int] = {}
    journals = []
    for served in list(sink.journals.values()):
        account = served.cursor.account
        by_feed: dict[str, int] = {}
        for table, rows in account.stored().items():
            add_counts(stored, {table: rows})
            add_counts(by_feed, {FEED_OF_TABLE[table]: rows})
        accounts += [
            {"exchange": served.exchange, "feed": feed, **counts, "stored": by_feed.get(feed, 0)}
            for feed, counts in account.rows().items()
        ]
        pending = sum(account.pending().values())
        journals.append(
            {
                "path": served.path.name,
                "exchange": served.exchange,
                "pending": pending,
                "backlog_bytes": served.backlog_bytes,
                "is_idle": all(pipe.is_idle for pipe in served.pipes) if pending == 0 else False,
                "newest_written_ns": account.newest_recv_ns,
                "lag_ns": lag_ns(served, now_ns),
            }
        )
    return {
        "sink": "clickhouse",
        "accounts": _merged(accounts),
        "stored": stored,
        "journals": journals,
        "store": store_word(sink.trouble(), sink.committed_ns()),
        "backlog": backlog_word(journals),
        "waiting": sink.waiting(),
    }


def _merged(accounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per (exchange, feed): several journals may be of one exchange."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in accounts:
        held = merged.setdefault(
            (entry["exchange"], entry["feed"]), {"exchange": entry["exchange"], "feed": entry["feed"]}
        )
        for key, value in entry.items():
            if isinstance(value, int):
                held[key] = held.get(key, 0) + value
    return list(merged.values())


def lag_ns(served: Served, now_ns: int) -> int:
    """Age of the newest record that is written, 0 when nothing is pending: a quiet feed is not a late one."""
    account = served.cursor.account
    if account.newest_recv_ns == 0 or not any(account.pending().values()):
        return 0
    return max(0, now_ns - account.newest_recv_ns)


async def run(runtime: Runtime) -> int:
    """Write until `runtime.stop`; exit code 0, or 1 if a worker failed.

    Raises: UsageError if the configuration has no part for ClickHouse.
    """
    config = runtime.config.clickhouse
    if config is None:
        raise UsageError("clickhouse", "the configuration has no such part", "sink clickhouse needs it")
    telemetry = Telemetry(runtime.metrics)
    sink = ClickHouseSink(config, telemetry)
    telemetry.watch(sink.journals, lambda: lag_by_exchange(sink))
    for number, heartbeat in enumerate(sink.heartbeats):
        runtime.health.add_liveness(f"shard-{number}", heartbeat.check)
    runtime.health.add_note("store", lambda: "; ".join(sink.waiting()) or None)
    runtime.health.add_readiness("journals", sink.not_served)
    runtime.set_status(lambda: status_of(sink, time_ns()))
    sink.start()
    while not runtime.stop.is_set():
        await asyncio.to_thread(sink.open_journals, runtime.journals())
        if sink.failed():
            return 1
        await runtime.stop.sleep(_DISCOVER_S)
    await asyncio.to_thread(sink.drain, runtime.config.drain_ns)
    await asyncio.to_thread(_leave, sink, runtime)
    return 1 if sink.failed() else 0


def _leave(sink: ClickHouseSink, runtime: Runtime) -> None:
    """The last word; in a journal that dies, nothing may be missing without notice."""
    sink.settle_last()
    leftovers = sink.leftovers()
    is_declared = bool(leftovers) and runtime.spool_dies and sink.declare(leftovers)
    told = [entry for left in leftovers for entry in left.told()]
    runtime.leave_word(last_word("clickhouse", told, sink.trouble(), is_declared=is_declared))
    logger.info("writer stopped", extra={"remaining": told, "is_declared": is_declared, "waiting": sink.waiting()})


def lag_by_exchange(sink: ClickHouseSink) -> dict[tuple[str, ...], float]:
    """Seconds of lag by exchange."""
    now_ns = time_ns()
    return {(served.exchange,): lag_ns(served, now_ns) / NS_PER_S for served in list(sink.journals.values())}
