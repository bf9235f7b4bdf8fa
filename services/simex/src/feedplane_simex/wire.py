"""WebSocket frames as bytes, server side, and one live socket's outgoing queue.

Frames are built here and written to the transport in one piece per tick: an order of magnitude cheaper than a coroutine per frame, and it allows frames that no
library would send (broken UTF-8, deflate bombs).
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

TEXT: Final = 1
BINARY: Final = 2
PING: Final = 9
_FIN = 0x80
_RSV1 = 0x40
MAX_BACKLOG_BYTES = 16 << 20
"""Unsent bytes above which a reader counts as too slow."""


def frame_header(length: int, opcode: int, *, compressed: bool = False) -> bytes:
    """Header of an unmasked, final frame."""
    first = _FIN | opcode | (_RSV1 if compressed else 0)
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def deflate_bomb(inflated_bytes: int) -> bytes:
    """A text frame of `inflated_bytes` spaces, compressed about a thousand times (permessage-deflate, no context)."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b" " * (1 << 20)
    parts = [squeeze.compress(block) for _ in range(inflated_bytes >> 20)]
    parts.append(squeeze.flush(zlib.Z_SYNC_FLUSH))
    payload = b"".join(parts)[:-4]
    return frame_header(len(payload), TEXT, compressed=True) + payload


class Outbox:
    """Frames on their way to one client."""

    __slots__ = ("_parts", "_transport", "is_frozen", "sent_frames")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self.is_frozen = False  # half-open: nothing leaves any more, and nobody is told
        self.sent_frames = 0

    def push(self, payload: bytes, opcode: int = TEXT) -> None:
        if not self.is_frozen:
            self._parts.append(frame_header(len(payload), opcode))
            self._parts.append(payload)
            self.sent_frames += 1

    def push_raw(self, data: bytes) -> None:
        """Bytes that are a whole frame already."""
        if not self.is_frozen:
            self._parts.append(data)
            self.sent_frames += 1

    def flush(self) -> bool:
        """Hand everything to the transport; false if the client reads too slowly to go on."""
        if not self._parts:
            return True
        data = b"".join(self._parts)
        self._parts.clear()
        if self._transport.is_closing():
            return True
        self._transport.write(data)
        return self._transport.get_write_buffer_size() <= MAX_BACKLOG_BYTES

    @property
    def backlog_bytes(self) -> int:
        """Bytes that the network has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()
