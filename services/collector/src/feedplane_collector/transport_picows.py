"""The `picows` transport: frames are decoded in the C callback that read them, with no queue and no task switch between."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

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

logger = logging.getLogger(__name__)

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION


class _Listener(WSListener):
    """Gathers fragments up to the limit and hands on whole messages."""

    def __init__(self, on_frame: OnFrame, clock: Callable[[], int], max_frame_bytes: int) -> None:
        super().__init__()
        self._on_frame = on_frame
        self._clock = clock
        self._max_bytes = max_frame_bytes
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self.reason = "closed 1006"
        self.log = _ParserLog(self._on_parser_error)
        self._transport: WSTransport | None = None
        self.pongs = asyncio.Event()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def _on_parser_error(self, text: str) -> None:
        """A frame over the limit, or none at all. The library would go on reading for a moment, and a peer that sends fast fills the memory in it."""
        self.reason = "closed 1009 frame too large" if "exceeding max" in text else "closed 1002 no websocket frame"
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind in (_TEXT, _BINARY) and frame.fin:
            self._on_frame(frame.get_payload_as_bytes(), self._clock())
        elif kind == WSMsgType.CLOSE:
            self.reason = _close_text(frame.get_payload_as_bytes())
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind == WSMsgType.PONG:
            self.pongs.set()
        elif kind in (_TEXT, _BINARY, _CONTINUATION):
            self._on_part(transport, frame)

    def _on_part(self, transport: WSTransport, frame: WSFrame) -> None:
        self._parts_bytes += frame.payload_size
        if self._parts_bytes > self._max_bytes or len(self._parts) >= MAX_FRAGMENTS:
            self.reason = "closed 1009 too many fragments"
            self._parts = []
            transport.send_close(WSCloseCode.MESSAGE_TOO_BIG)
            transport.disconnect()
            return
        self._parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            message, self._parts, self._parts_bytes = b"".join(self._parts), [], 0
            self._on_frame(message, self._clock())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class _ParserLog(logging.LoggerAdapter[logging.Logger]):
    """What the library logs, through our logger; its errors are told to the listener as well: they come by no other way in time."""

    def __init__(self, on_error: Callable[[str], None]) -> None:
        super().__init__(logger, {})
        self._on_error = on_error

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        text = str(msg) % args if args else str(msg)
        self.debug("%s", text)
        self._on_error(text)


def _close_text(payload: bytes) -> str:
    """Of a close frame: any code, also those of the venue's own (4000 and above), which the library's enum does not have."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return f"closed {code} {payload[2:].decode(errors='replace')}".rstrip()


class PicowsTransport:
    """Opens sockets with `picows`, without compression: inflating is left to its user, and no venue requires it."""

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
        made = _Listener(on_frame, self._clock, max_frame_bytes)
        try:
            transport, _ = await ws_connect(
                lambda: made,
                url,
                logger_name=made.log,
                ssl_context=self._tls if url.startswith("wss:") else None,
                websocket_handshake_timeout=OPEN_TIMEOUT_S,
                enable_auto_ping=ping_every_ns is not None,
                auto_ping_idle_timeout=PONG_TIMEOUT_S if ping_every_ns is None else ping_every_ns / 1e9,
                auto_ping_reply_timeout=PONG_TIMEOUT_S,
                auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
                max_frame_size=max_frame_bytes,
                extra_headers=dict(headers),
                max_redirects=0,
            )
        except WSInvalidStatusError as e:
            answer = e.response
            status = int(answer.status) if answer is not None else None
            asked = answer.headers.get("Retry-After") if answer is not None else None
            raise ConnectFailed(f"http {status}", status, seconds_of(asked)) from e
        except TimeoutError as e:
            raise ConnectFailed("handshake timed out") from e
        except (WSError, OSError) as e:
            raise ConnectFailed(f"{type(e).__name__}: {e}") from e
        return _PicowsSocket(transport, made, pings_by_itself=ping_every_ns is not None)


class _PicowsSocket:
    def __init__(self, transport: WSTransport, listener: _Listener, *, pings_by_itself: bool) -> None:
        self._transport = transport
        self._listener = listener
        self._pings_by_itself = pings_by_itself  # then pongs are its own, and it ends a socket that sends none

    async def send(self, frame: bytes) -> None:
        if self._transport.is_disconnected:
            return  # `closed` tells; a frame to a dead socket has no reader
        self._transport.send(WSMsgType.TEXT, frame)

    async def is_answered(self, within_s: float) -> bool:
        if self._transport.is_disconnected:
            return False
        if self._pings_by_itself:
            return True
        self._listener.pongs.clear()
        self._transport.send_ping()
        try:
            async with asyncio.timeout(within_s):
                await self._listener.pongs.wait()
        except TimeoutError:
            return False
        return True

    async def closed(self) -> str:
        await asyncio.shield(self._listener.ended)
        with suppress(WSError):  # told by the reason already
            await self._transport.wait_disconnected()
        return self._listener.reason

    async def close(self) -> None:
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            await asyncio.wait({self._listener.ended}, timeout=CLOSE_TIMEOUT_S)
        self._transport.disconnect(graceful=False)

    def abort(self) -> None:
        self._transport.underlying_transport.abort()
