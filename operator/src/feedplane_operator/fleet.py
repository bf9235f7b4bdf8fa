"""One worker per FeedSet: passes one after the other, never two at once, as few as the changes allow.

A pass always looks at everything there is (level-triggered), so it does not matter which change woke it, how many came
together, or which was missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import random
from time import monotonic_ns
from typing import Final

from feedplane_ops.backoff import Backoff
from feedplane_ops.waiting import set_within

from feedplane_operator.errors import ApiError, Unavailable
from feedplane_operator.store import FeedSetKey, version_of
from feedplane_operator.surroundings import Object

logger = logging.getLogger(__name__)

SETTLE_S: Final = 0.1
"""A change seldom comes alone: so long the next ones are waited for."""
PAUSE_S: Final = 0.4
"""Between two passes over one FeedSet."""
MAX_PASSES: Final = 8
"""At once, over all FeedSets."""

_BASE_NS: Final = 1_000_000_000
_CAP_NS: Final = 10_000_000_000
"""Low, since each call to the API server has had its own retries before a pass fails."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass ended."""

    result: str  # a metric label
    again_s: float  # the next pass comes after so long even when nothing happens
    body: Object | None  # the FeedSet as the pass left it; None: it is gone


Pass = Callable[[Object, int], Awaitable[Outcome]]
"""Given the FeedSet as last seen, and when that was on the monotonic clock, in ns."""


class Worker:
    """Brings one FeedSet to what it says."""

    def __init__(self, key: FeedSetKey, body: Object, run_pass: Pass, slots: asyncio.Semaphore) -> None:
        self.key = key
        self.body = body
        self.lock = asyncio.Lock()
        """Held during a pass; who holds it otherwise keeps passes away."""
        self.is_closed = False
        self.started_ns: int | None = None
        self._heard_ns = monotonic_ns()
        self._pass = run_pass
        self._slots = slots
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._backoff = Backoff(_BASE_NS, _CAP_NS)

    def wake(self, body: Object | None = None) -> None:
        """Ask for a pass, with a newer body if there is one."""
        if body is not None:
            self._heard_ns = monotonic_ns()
            if version_of(body) > version_of(self.body):
                self.body = body
        self._wanted.set()

    async def run(self) -> None:
        """Until the FeedSet is gone or being deleted."""
        again_s = 0.0
        while not self.is_closed:
            await set_within(self._wanted, again_s or None)  # 0: nothing is due by itself
            await asyncio.sleep(SETTLE_S)
            self._wanted.clear()
            async with self._slots, self.lock:
                if not self.is_closed:
                    again_s = await self._run_pass()
            await asyncio.sleep(PAUSE_S)

    async def _run_pass(self) -> float:
        """Returns when the next is due at the latest."""
        self.started_ns = monotonic_ns()
        try:
            outcome = await self._pass(self.body, self._heard_ns)
        except ApiError as e:
            level = logging.WARNING if isinstance(e, Unavailable) else logging.ERROR
            return self._later(level, "pass not finished", error=str(e))
        except Exception:  # a worker's boundary: one FeedSet's trouble must not end the others
            logger.exception("pass failed", extra=self._place())
            return self._backoff.next_delay_ns() / 1e9
        finally:
            self.started_ns = None
        self._backoff.reset()
        if outcome.body is None:
            self.is_closed = True
        elif version_of(outcome.body) >= version_of(self.body):
            self.body = outcome.body
        return outcome.again_s * (0.9 + 0.2 * random())  # noqa: S311  # spreads FeedSets over time

    def _later(self, level: int, event: str, **fields: str) -> float:
        delay_s = self._backoff.next_delay_ns() / 1e9
        logger.log(level, event, extra=self._place() | fields | {"retry_s": delay_s})
        return max(delay_s, PAUSE_S)

    def _place(self) -> dict[str, str]:
        return {"namespace": self.key[0], "feedset": self.key[1]}


class Fleet:
    """All workers."""

    def __init__(self, run_pass: Pass, forget: Callable[[FeedSetKey], None] = lambda _: None) -> None:
        self._pass = run_pass
        self._forget = forget
        self._slots = asyncio.Semaphore(MAX_PASSES)
        self._workers: dict[FeedSetKey, Worker] = {}
        self._tasks: dict[FeedSetKey, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers.values()))

    def notice(self, body: Object) -> None:
        """A FeedSet is there, is new or has changed."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        worker = self._workers.get(key)
        if worker is not None and worker.body["metadata"]["uid"] != metadata["uid"]:
            self.forget(key)
            worker = None
        if worker is not None:
            worker.wake(body)
        elif "deletionTimestamp" not in metadata:
            self._start(key, body)

    def wake(self, key: FeedSetKey) -> None:
        """Something that belongs to a FeedSet has changed."""
        worker = self._workers.get(key)
        if worker is not None:
            worker.wake()

    def forget(self, key: FeedSetKey) -> None:
        """The FeedSet is gone."""
        worker = self._workers.pop(key, None)
        task = self._tasks.pop(key, None)
        if worker is not None:
            worker.is_closed = True
        if task is not None:
            task.cancel()
        self._forget(key)

    async def close(self, key: FeedSetKey) -> None:
        """Let the running pass end and allow no other: the FeedSet is being deleted."""
        worker = self._workers.get(key)
        if worker is None:
            return
        async with worker.lock:
            worker.is_closed = True
        self.forget(key)

    async def stop(self) -> None:
        """End all workers in the middle of what they do; the next start takes it up."""
        tasks = list(self._tasks.values())
        for key in list(self._workers):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def stuck_for_ns(self) -> int:
        """Age of the oldest running pass."""
        now = monotonic_ns()
        return max((now - worker.started_ns for worker in self if worker.started_ns is not None), default=0)

    def _start(self, key: FeedSetKey, body: Object) -> None:
        worker = Worker(key, body, self._pass, self._slots)
        self._workers[key] = worker
        task = asyncio.create_task(worker.run(), name=f"feedset {key[0]}/{key[1]}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._ended(key, worker))

    def _ended(self, key: FeedSetKey, worker: Worker) -> None:
        if self._workers.get(key) is worker:
            self.forget(key)
