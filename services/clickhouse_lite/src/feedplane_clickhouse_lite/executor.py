"""Runs jobs in threads: admission, sessions, cancellation, and the count of all that happened."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

from feedplane_ops.waiting import set_within

from feedplane_clickhouse_lite.admission import Lane
from feedplane_clickhouse_lite.engine import Connection, Engine, Stats
from feedplane_clickhouse_lite.errors import (
    LOGICAL_ERROR,
    QUERY_WAS_CANCELLED,
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
    ClickHouseError,
)
from feedplane_clickhouse_lite.job import Job, lock_readonly, prepare, run_alone, run_in_session
from feedplane_clickhouse_lite.request import Session
from feedplane_clickhouse_lite.sessions import Sessions
from feedplane_clickhouse_lite.settings import Settings
from feedplane_clickhouse_lite.sink import Sink
from feedplane_clickhouse_lite.statement import Kind

logger = logging.getLogger(__name__)


@dataclass
class Running:
    """A query at work. `marker` is what the engine knows its connection by.

    `lock` is held while it is being killed and while it ends: the connection of a session goes on to the next query,
    which must not be the one that dies.
    """

    marker: str
    job: Job
    sink: Sink
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Executor:
    """Owns the threads. Reads and inserts have lanes of their own, so that slow reads never hold up inserts."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._sessions = Sessions(settings.max_sessions)
        self._running: dict[str, Running] = {}
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.lanes = {
            False: Lane("queries", settings.max_concurrent_queries, settings.max_queued),
            True: Lane("inserts", settings.max_concurrent_inserts, settings.max_queued),
        }
        self._pools = {
            is_insert: ThreadPoolExecutor(lane.limit, thread_name_prefix=lane.name)
            for is_insert, lane in self.lanes.items()
        }
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="kill")

    async def start(
        self, query_id: str, job: Job, session: Session | None, user: str, sink: Sink
    ) -> asyncio.Future[Stats]:
        """Wait for a place and start `job`. The future ends when its thread does, whatever becomes of the caller.

        Raises:
            ClickHouseError: 202 when too many wait, 216 when `query_id` is in use, 394 while stopping.
        """
        if query_id in self._running:
            raise ClickHouseError(
                QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, f"Query with id = {query_id} is already running."
            )
        is_insert = job.statement.kind is Kind.INSERT_DATA
        running = self._running[query_id] = Running(f"query-{uuid4()}", job, sink)
        self._idle.clear()
        lane = self.lanes[is_insert]
        try:
            await lane.enter()
        except BaseException:
            self._forget(query_id)
            raise
        if self._stopping:
            lane.leave()
            self._forget(query_id)
            raise ClickHouseError(QUERY_WAS_CANCELLED, "Query was cancelled: the server stops")
        work = partial(self._work, running, session, user)
        future = asyncio.get_running_loop().run_in_executor(self._pools[is_insert], work)
        future.add_done_callback(partial(self._on_done, query_id, lane))
        return future

    def cancel(self, query_id: str) -> None:
        """The client has gone: stop its query. An insert whose data is complete goes on, as on a server."""
        running = self._running.get(query_id)
        if running is None:
            return
        running.sink.close()
        if running.job.statement.kind is not Kind.INSERT_DATA:
            self._helper.submit(self._kill, running)

    async def stop(self, timeout_s: float) -> None:
        """Cancel reads, give inserts `timeout_s` to finish, and let the engine go."""
        self._stopping = True
        for query_id in list(self._running):
            self.cancel(query_id)
        await set_within(self._idle, timeout_s)
        if self._running:
            logger.warning("queries still running at stop", extra={"queries": len(self._running)})
        for pool in (*self._pools.values(), self._helper):
            pool.shutdown(wait=False, cancel_futures=True)
        if not self._running:  # a thread inside of the engine forbids closing it; the process ends all the same
            self._sessions.close_all()
            self._engine.close()

    @property
    def running(self) -> int:
        """Requests at work or waiting."""
        return len(self._running)

    @property
    def sessions(self) -> int:
        """Open sessions."""
        return len(self._sessions)

    def close_idle_sessions(self) -> None:
        """Close the sessions whose time is over; call it now and then."""
        self._sessions.close_idle()

    def _work(self, running: Running, session: Session | None, user: str) -> Stats:
        sink = running.sink
        try:
            stats = self._run(running, session, user)
        except ClickHouseError as e:
            if sink.streams:
                with suppress(ClickHouseError):
                    sink.write(exception_block(e, self._engine.version, sink.tag))
                    sink.finish()
            raise
        except Exception as e:
            logger.exception("query failed in an unforeseen way")
            raise ClickHouseError(LOGICAL_ERROR, f"{type(e).__name__} while running the query") from e
        sink.finish()
        return stats

    def _run(self, running: Running, session: Session | None, user: str) -> Stats:
        job, sink = running.job, running.sink
        if session is not None:
            with self._sessions.use(user, session, partial(self._open_session, job)) as opened:
                running.marker = opened.marker
                try:
                    return run_in_session(opened.connection, job, sink.write)
                finally:
                    with running.lock:
                        running.over = True
        connection = self._engine.connect()
        try:
            return run_alone(connection, job, running.marker, sink.write)
        finally:
            connection.close()

    def _open_session(self, job: Job, marker: str) -> Connection:
        connection = self._engine.connect()
        try:
            prepare(connection, job.caller, marker)
            lock_readonly(connection, job.caller)
        except BaseException:
            connection.close()
            raise
        return connection

    def _kill(self, running: Running) -> None:
        try:
            with running.lock:
                if not running.over:
                    self._engine.kill(running.marker)
        except ClickHouseError as e:
            logger.warning("query not cancelled", extra={"error_code": e.code, "error": e.text[:200]})

    def _forget(self, query_id: str) -> None:
        del self._running[query_id]
        if not self._running:
            self._idle.set()

    def _on_done(self, query_id: str, lane: Lane, future: asyncio.Future[Stats]) -> None:
        self._forget(query_id)
        lane.leave()
        if not future.cancelled():
            future.exception()  # a caller that has gone does not ask; told in the log by whoever does


def exception_block(error: ClickHouseError, version: str, tag: str) -> bytes:
    """What a server writes into a result that it has begun to send and cannot finish (since 25.11)."""
    message = error.body(version)
    size = len(message.encode())
    return f"\r\n__exception__\r\n{tag}\r\n{message}\r\n{size} {tag}\r\n__exception__\r\n".encode()
