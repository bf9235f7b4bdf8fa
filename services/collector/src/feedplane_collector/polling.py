"""REST work beside the sockets: book snapshots where books come by REST, and feeds that exist only by REST."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from feedplane_core.adapter import Poll
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed
from feedplane_ops.backoff import Backoff

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.rest import RestClient, RestFailed

logger = logging.getLogger(__name__)

_SCAN_EVERY_S = 0.02
_CONCURRENT_SNAPSHOTS = 4
_FIRST_DIFF_WAIT_S = 0.5
"""A snapshot is asked for after the first diff is held, or after so long without one."""

_FIRST_SNAPSHOT_WAIT_S = 3.0
_REFUSED_WAIT_S = 60.0
"""After a refusal: asking faster does not change it."""

Resubscribe = Callable[[str, Feed], bool]


class SnapshotFetcher:
    """Brings a new snapshot to every book that asks for one, a few at a time, each with its own backoff."""

    def __init__(
        self,
        pipeline: Pipeline,
        rest: RestClient,
        resubscribe: Resubscribe,
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._pipeline = pipeline
        self._wants = pipeline.books.wants_snapshot
        self._rest = rest
        self._resubscribe = resubscribe
        self._on_failed = on_failed
        self._slots = asyncio.Semaphore(_CONCURRENT_SNAPSHOTS)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self.failures = 0

    async def run(self) -> None:
        """Ends by cancellation."""
        try:
            while True:
                await asyncio.sleep(_SCAN_EVERY_S)
                for name in self._wants - self._busy.keys():
                    self._wants.discard(name)
                    self._busy[name] = task = asyncio.create_task(self._serve_and_leave(name))
                    task.add_done_callback(self._on_done)
        finally:
            for task in list(self._busy.values()):
                task.cancel()

    async def _serve_and_leave(self, name: str) -> None:
        try:
            await self._serve(name)
        finally:
            self._busy.pop(name, None)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)

    async def _serve(self, name: str) -> None:
        state = self._pipeline.states.get(name)
        if state is None or state.sync is None:
            return
        backoff = Backoff(250 * NS_PER_MS, 10 * NS_PER_S)
        if self._pipeline.adapter.book_snapshot_request(state.instrument) is None:
            await self._serve_by_socket(name, backoff)
            return
        waited_s = 0.0
        while state.sync.needs_snapshot and not state.sync.held and waited_s < _FIRST_DIFF_WAIT_S:
            await asyncio.sleep(_SCAN_EVERY_S)
            waited_s += _SCAN_EVERY_S
        while self._pipeline.states.get(name) is state and state.sync.needs_snapshot:
            request = self._pipeline.adapter.book_snapshot_request(state.instrument)
            assert request is not None
            try:
                async with self._slots:
                    body, recv_ns = await self._rest.fetch(request)
            except RestFailed as e:
                self.failures += 1
                logger.warning("snapshot failed", extra={"symbol": name, "error": str(e)})
                if not e.retryable and e.status is not None and e.status not in (418, 429):
                    await asyncio.sleep(_REFUSED_WAIT_S)
            else:
                self._pipeline.on_body(request.tag, body, recv_ns)
            if state.sync.needs_snapshot:
                await asyncio.sleep(backoff.next_delay_ns(50 * NS_PER_MS) / NS_PER_S)

    async def _serve_by_socket(self, name: str, backoff: Backoff) -> None:
        """Where the socket sends snapshots: ask it to start the channel anew, unless a fresh socket is about to."""
        state = self._pipeline.states[name]
        assert state.sync is not None
        if not state.owner:  # a new socket sends its snapshot by itself
            await asyncio.sleep(_FIRST_SNAPSHOT_WAIT_S)
        while self._pipeline.states.get(name) is state and state.sync.needs_snapshot:
            self._resubscribe(name, Feed.OB_DIFFS)
            await asyncio.sleep(_FIRST_SNAPSHOT_WAIT_S + backoff.next_delay_ns() / NS_PER_S)


class Poller:
    """Feeds that exist only by REST, each on its own beat, spread over the interval."""

    def __init__(
        self,
        pipeline: Pipeline,
        rest: RestClient,
        clock: Callable[[], int],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._pipeline = pipeline
        self._rest = rest
        self._clock = clock
        self._on_failed = on_failed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failures = 0

    def set(self, polls: Iterable[Poll]) -> None:
        """Run exactly these from now on; those that go on are not disturbed."""
        wanted = {f"{poll.channel.name} {poll.request.url}": poll for poll in polls}
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
        for key, poll in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = task = asyncio.create_task(self._run(poll))
                task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, poll: Poll) -> None:
        every_s = poll.every_ns / NS_PER_S
        await asyncio.sleep(random.random() * min(every_s, 2.0))  # noqa: S311 - spreads calls, guards nothing
        channel = poll.channel
        failed = False
        while True:
            try:
                body, recv_ns = await self._rest.fetch(poll.request)
            except RestFailed as e:
                self.failures += 1
                if not failed:
                    logger.warning("poll failed", extra={"channel": channel.name, "error": str(e)})
                failed = True
                self._pipeline.interrupt(channel.instrument, channel.feed, "poll_failed", self._clock())
            else:
                failed = not self._pipeline.on_body(poll.request.tag, body, recv_ns)
                if failed:
                    self._pipeline.interrupt(channel.instrument, channel.feed, "rejected", self._clock())
            await asyncio.sleep(every_s)
