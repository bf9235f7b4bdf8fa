"""One open socket, what may be set about sockets, and what is counted of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

import msgspec
from feedplane_core.adapter import Adapter, Channel, Connection, Session
from feedplane_core.errors import DecodeError

from feedplane_collector.suspects import suspects
from feedplane_collector.transport import Socket

_socket_ids = count(1)


class SocketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a FeedSet may say about sockets."""

    stale_after_ns: int
    rotate_before_ns: int
    overlap_ns: int


class SocketCounts(msgspec.Struct):
    """What happened to the sockets of a collector."""

    connects: int = 0
    connect_failures: int = 0
    disconnects: int = 0
    rotations: int = 0
    stale_channels: int = 0
    resubscribes: int = 0
    unanswered_pings: int = 0
    frames: int = 0
    bytes: int = 0


class LiveSocket:
    """One open socket and the session that understands it. Times are of the timer's clock."""

    def __init__(self, adapter: Adapter, connection: Connection, opened_ns: int) -> None:
        self.id = next(_socket_ids)
        self.connection = connection
        self.session: Session = adapter.session(connection)
        self.seen: dict[str, int] = {}
        self.opened_ns = opened_ns
        self.subscribed_ns: int | None = None  # when the last frame of the subscription had been sent
        self.frames = 0
        self.decode_errors = 0
        self.socket: Socket | None = None
        self.wake = asyncio.Event()

    def adopt(self, connection: Connection) -> None:
        """Take over what the plan carries by now."""
        self.connection = connection

    def suspects(self, error: DecodeError, frame: bytes) -> Sequence[Channel]:
        """Channels that may have lost something with this frame."""
        return suspects(self.connection.channels, error, frame)

    def lacks(self, elder: LiveSocket, since: dict[str, int]) -> set[str]:
        """Channels that the elder socket has heard since (`since`: what it had heard before) and this one has not."""
        return {key for key, stamp in elder.seen.items() if stamp != since.get(key) and key not in self.seen}
