"""The way of a result from the thread that computes it to the client: held back at first, then streamed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final

from feedplane_clickhouse_lite.codec import Encoder
from feedplane_clickhouse_lite.errors import QUERY_WAS_CANCELLED, TIMEOUT_EXCEEDED, ClickHouseError

_QUEUED_PIECES: Final = 4
_END: Final = b""


class Sink:
    """Written to by one thread, read by the event loop.

    Up to `hold_bytes` are kept, so that an error that comes early can still be the status of the response. Beyond
    that `started` is set, and each further piece waits until the client has taken an earlier one.
    """

    def __init__(self, hold_bytes: int, encoder: Encoder | None, send_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._hold_bytes = hold_bytes
        self._encoder = encoder
        self._send_timeout_s = send_timeout_s
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED_PIECES)
        self._closed = False
        self._streams = False
        self.started = asyncio.Event()
        self.sent_bytes = 0
        self.tag = secrets.token_hex(8)
        """By which the client tells an exception inside of the stream from data: whoever made the data cannot know it."""

    @property
    def streams(self) -> bool:
        """Whether the result has outgrown what is held back. Exact in the writing thread."""
        return self._streams

    def write(self, piece: bytes) -> None:
        """Pass on one piece of the result; blocks while the client is slow.

        Raises:
            ClickHouseError: 394 when the client has gone, 159 when it reads nothing for too long.
        """
        if self._closed:
            raise ClickHouseError(QUERY_WAS_CANCELLED, "Query was cancelled: the client has gone")
        self._pass(self._encoder.compress(piece) if self._encoder else piece)

    def finish(self) -> None:
        """Nothing more comes. A result that is being streamed ends here; a held one is read with `held`."""
        if self._encoder:
            self._pass(self._encoder.flush())
        if self._streams:
            self._put(_END)

    def held(self) -> bytes:
        """The whole result, when it was never streamed."""
        return b"".join(self._held)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces of a streamed result, as they come."""
        while (piece := await self._queue.get()) != _END:
            yield piece

    def close(self) -> None:
        """The client has gone: let the writing thread find out instead of waiting. Call it on the event loop."""
        self._closed = True
        while not self._queue.empty():
            self._queue.get_nowait()

    def _pass(self, piece: bytes) -> None:
        if not piece:
            return
        self.sent_bytes += len(piece)
        if self._streams:
            self._put(piece)
            return
        self._held.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > self._hold_bytes:
            self._streams = True
            self._loop.call_soon_threadsafe(self.started.set)
            self._put(self.held())
            self._held.clear()

    def _put(self, piece: bytes) -> None:
        if self._closed:
            raise ClickHouseError(QUERY_WAS_CANCELLED, "Query was cancelled: the client has gone")
        waiting = asyncio.run_coroutine_threadsafe(self._queue.put(piece), self._loop)
        try:
            waiting.result(self._send_timeout_s)
        except FutureTimeout:
            waiting.cancel()
            raise ClickHouseError(TIMEOUT_EXCEEDED, "Timeout: the client does not read the result") from None
        except FutureCancelled:
            raise ClickHouseError(QUERY_WAS_CANCELLED, "Query was cancelled: the server stops") from None
