"""Who may start now, who waits, who is sent away; and how many bytes of request bodies may be held."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from feedplane_clickhouse_lite.errors import TOO_MANY_SIMULTANEOUS_QUERIES, ClickHouseError

RETRY_AFTER_S: Final = 1


class Lane:
    """`limit` requests at work, `max_queued` waiting in order. Belongs to one event loop."""

    def __init__(self, name: str, limit: int, max_queued: int) -> None:
        self.name = name
        self.limit = limit
        self.max_queued = max_queued
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def queued(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Take a place, after waiting for one if need be. Whoever enters calls `leave` once.

        Raises:
            ClickHouseError: 202 when the queue is full.
        """
        if self.running < self.limit:
            self.running += 1
            return
        if len(self._waiting) >= self.max_queued:
            raise ClickHouseError(
                TOO_MANY_SIMULTANEOUS_QUERIES,
                f"Too many simultaneous {self.name}. Maximum: {self.limit}, and {self.max_queued} waiting",
                retry_after_s=RETRY_AFTER_S,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place had been handed over already
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give the place to the next one in line."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


class ByteBudget:
    """A bound on bytes held by all requests together."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            ClickHouseError: 202 when they do not fit; nothing is counted then.
        """
        if self.held_bytes + size > self.limit_bytes:
            raise ClickHouseError(
                TOO_MANY_SIMULTANEOUS_QUERIES,
                f"Too many bytes in flight. Maximum: {self.limit_bytes}",
                retry_after_s=RETRY_AFTER_S,
            )
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self.held_bytes -= size
