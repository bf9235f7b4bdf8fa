"""The socket seam: two WebSocket clients behind one interface.

`websockets` is the default; `picows` (13 times cheaper per frame) is a setting where it is installed. Both push whole messages into a callback, stamped before
anything looks at them, and bound what a peer can make us hold.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Protocol

OnFrame = Callable[[bytes, int], None]
"""(message, receive time in ns). Runs on the event loop; must not block, and must not raise."""

OPEN_TIMEOUT_S = 10.0
PONG_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 1.0
MAX_FRAGMENTS = 4_096
"""Of one message. Venues send messages whole; a million fragments of a byte would cost 100 bytes each."""


class SocketLibrary(StrEnum):
    """Which client carries the sockets."""

    WEBSOCKETS = "websockets"
    PICOWS = "picows"


class ConnectFailed(Exception):
    """The handshake did not succeed. `status` is the venue's HTTP answer, if there was one; `retry_after_s` what it asked for."""

    def __init__(self, reason: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s


class Socket(Protocol):
    """A live socket."""

    async def send(self, frame: bytes) -> None: ...

    async def is_answered(self, within_s: float) -> bool:
        """Whether the peer answers a WebSocket ping in time: silence of the network, not of the venue."""
        ...

    async def closed(self) -> str:
        """Wait for the end; returns why, in a few words (`closed 1006`, `closed 1009 ...`). All that came before has been handed on."""
        ...

    async def close(self) -> None:
        """Say goodbye, go on reading until the peer has answered, at most for a second."""
        ...

    def abort(self) -> None:
        """Drop the TCP connection at once."""
        ...


class Transport(Protocol):
    """Opens sockets. Frames may be handed on before the socket is."""

    def __call__(
        self,
        url: str,
        on_frame: OnFrame,
        *,
        max_frame_bytes: int,
        headers: Mapping[str, str],
        compression: bool,
        ping_every_ns: int | None,
    ) -> Awaitable[Socket]: ...


def choose_transport(library: SocketLibrary, clock: Callable[[], int], tls: ssl.SSLContext) -> Transport:
    """The transport of a setting. Raises: ImportError if the library is not installed."""
    if library is SocketLibrary.PICOWS:
        from feedplane_collector.transport_picows import PicowsTransport

        return PicowsTransport(clock, tls)
    from feedplane_collector.transport_websockets import WebsocketsTransport

    return WebsocketsTransport(clock, tls)


def seconds_of(text: str | None) -> float | None:
    """A Retry-After header; `None` where it is missing or a date."""
    return float(text) if text is not None and text.isdecimal() else None
