"""The socket seam: two WebSocket clients behind one interface.

`websockets` is the default; `picows` (13 times cheaper per frame) is a setting where it is installed. Both push whole messages into a callback, stamped before
anything looks at them, and bound what a peer can make us hold.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Protocol

OnFrame = Callable[[bytes, int], None]
"""(message, receive time in ns). Runs on the event loop; must not block."""

_OPEN_TIMEOUT_S = 10.0
_PING_TIMEOUT_S = 20.0
_CLOSE_TIMEOUT_S = 1.0


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

    async def closed(self) -> str:
        """Wait for the end; returns why, in a few words (`closed 1006`, `frame too large`)."""
        ...

    async def close(self) -> None: ...

    def abort(self) -> None:
        """Drop the TCP connection at once."""
        ...


class Transport(Protocol):
    """Opens sockets."""

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
    return WebsocketsTransport(clock, tls)


class WebsocketsTransport:
    """`websockets`: the reference."""

    def __init__(self, clock: Callable[[], int], tls: ssl.SSLContext) -> None:
        self._clock = clock
        self._tls = tls

    async def __call__(
        self,
        url: str,
        on_frame: OnFrame,
        *,
        max_frame_bytes: int,
        headers: Mapping[str, str],
        compression: bool,
        ping_every_ns: int | None,
    ) -> Socket:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus

        try:
            connection = await connect(
                url,
                additional_headers=dict(headers),
                compression="deflate" if compression else None,
                max_size=max_frame_bytes,
                max_queue=1024,
                open_timeout=_OPEN_TIMEOUT_S,
                close_timeout=_CLOSE_TIMEOUT_S,
                ping_interval=None if ping_every_ns is None else ping_every_ns / 1e9,
                ping_timeout=_PING_TIMEOUT_S,
                proxy=None,
                ssl=self._tls if url.startswith("wss:") else None,
            )
        except InvalidStatus as e:
            retry_after = e.response.headers.get("Retry-After")
            raise ConnectFailed(f"http {e.response.status_code}", e.response.status_code, _seconds(retry_after)) from e
        except InvalidHandshake as e:
            raise ConnectFailed(f"handshake: {type(e).__name__}") from e
        except TimeoutError as e:
            raise ConnectFailed("handshake timed out") from e
        except (OSError, EOFError) as e:
            raise ConnectFailed(f"{type(e).__name__}: {e}") from e
        return _WebsocketsSocket(connection, on_frame, self._clock)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None


class _WebsocketsSocket:
    def __init__(self, connection: object, on_frame: OnFrame, clock: Callable[[], int]) -> None:
        from websockets.asyncio.client import ClientConnection

        assert isinstance(connection, ClientConnection)
        self._connection = connection
        self._on_frame = on_frame
        self._clock = clock
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> str:
        from websockets.exceptions import ConnectionClosed

        receive, clock, on_frame = self._connection.recv, self._clock, self._on_frame
        try:
            while True:
                frame = await receive(decode=False)
                on_frame(frame, clock())
        except ConnectionClosed as e:
            # Not close_code: a frame over the limit is closed by us with 1009, and the reader should see why.
            closing = e.sent or e.rcvd
            return f"closed {closing.code} {closing.reason}".rstrip() if closing else "closed 1006"

    async def send(self, frame: bytes) -> None:
        await self._connection.send(frame, text=True)

    async def closed(self) -> str:
        return await asyncio.shield(self._reader)

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        self._connection.transport.abort()
