"""The `websockets` transport: the reference.

Messages are handed on where the library would queue them for `recv()`: no queue to fill, no task to wake for each message, and nothing held but the fragments of one
message, which are counted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response

from feedplane_collector.transport import (
    CLOSE_TIMEOUT_S,
    MAX_FRAGMENTS,
    OPEN_TIMEOUT_S,
    PONG_TIMEOUT_S,
    ConnectFailed,
    OnFrame,
    Socket,
    seconds_of,
)


class _Connection(ClientConnection):
    """Hands whole messages to `on_frame` as they are parsed."""

    def __init__(self, *args: Any, on_frame: OnFrame, clock: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_frame = on_frame
        self._clock = clock
        self._parts: list[bytes] = []
        self._is_refused = False

    def process_event(self, event: Frame | Request | Response) -> None:
        if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            super().process_event(event)
        elif self._is_refused:
            return
        elif event.fin and not self._parts:
            self._on_frame(bytes(event.data), self._clock())
        else:
            self._on_part(event)

    def _on_part(self, frame: Frame) -> None:
        self._parts.append(bytes(frame.data))
        if len(self._parts) > MAX_FRAGMENTS:
            self._is_refused = True
            self._parts.clear()
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.send_data()
            self.transport.close()
        elif frame.fin:
            message, self._parts = b"".join(self._parts), []
            self._on_frame(message, self._clock())


class WebsocketsTransport:
    """Opens sockets with `websockets`."""

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
        def connection(*args: Any, **kwargs: Any) -> _Connection:
            return _Connection(*args, on_frame=on_frame, clock=self._clock, **kwargs)

        try:
            made = await connect(
                url,
                additional_headers=dict(headers),
                compression="deflate" if compression else None,
                max_size=max_frame_bytes,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None if ping_every_ns is None else ping_every_ns / 1e9,
                ping_timeout=PONG_TIMEOUT_S,
                proxy=None,
                ssl=self._tls if url.startswith("wss:") else None,
                create_connection=connection,  # type: ignore[arg-type]
            )
        except InvalidStatus as e:
            status = e.response.status_code
            raise ConnectFailed(f"http {status}", status, seconds_of(e.response.headers.get("Retry-After"))) from e
        except InvalidHandshake as e:
            raise ConnectFailed(f"handshake: {type(e).__name__}") from e
        except TimeoutError as e:
            raise ConnectFailed("handshake timed out") from e
        except (OSError, EOFError) as e:
            raise ConnectFailed(f"{type(e).__name__}: {e}") from e
        return _WebsocketsSocket(made)


class _WebsocketsSocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: bytes) -> None:
        await self._connection.send(frame, text=True)

    async def is_answered(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await (await self._connection.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return True

    async def closed(self) -> str:
        await self._connection.wait_closed()
        # What we sent before what we got: a frame over the limit is closed by us with 1009, and the reader should see why.
        protocol = self._connection.protocol
        closing = protocol.close_sent or protocol.close_rcvd
        return f"closed {int(closing.code)} {closing.reason}".rstrip() if closing else "closed 1006"

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        self._connection.transport.abort()
