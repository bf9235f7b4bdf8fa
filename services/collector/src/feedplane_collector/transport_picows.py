"""The `picows` transport: frames are decoded in the C callback that read them, with no queue and no task switch between."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping

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

from feedplane_collector.transport import ConnectFailed, OnFrame, Socket

_OPEN_TIMEOUT_S = 10.0
_PING_TIMEOUT_S = 20.0


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
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY) and frame.fin:
            self._on_frame(frame.get_payload_as_bytes(), self._clock())
        elif kind == WSMsgType.CLOSE:
            message = frame.get_close_reason() or ""
            self.reason = f"closed {frame.get_close_code().value} {message}".rstrip()
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._on_part(transport, frame)

    def _on_part(self, transport: WSTransport, frame: WSFrame) -> None:
        self._parts_bytes += frame.payload_size
        if self._parts_bytes > self._max_bytes or len(self._parts) > self._max_bytes // 64:
            self.reason = "closed 1009 message too large"
            transport.disconnect()
            return
        self._parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            message, self._parts, self._parts_bytes = b"".join(self._parts), [], 0
            self._on_frame(message, self._clock())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class PicowsTransport:
    """`picows`, without compression: inflating is left to its user, and no venue requires it."""

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
        def listener() -> _Listener:
            return _Listener(on_frame, self._clock, max_frame_bytes)

        try:
            transport, made = await ws_connect(
                listener,
                url,
                ssl_context=self._tls if url.startswith("wss:") else None,
                websocket_handshake_timeout=_OPEN_TIMEOUT_S,
                enable_auto_ping=ping_every_ns is not None,
                auto_ping_idle_timeout=_PING_TIMEOUT_S if ping_every_ns is None else ping_every_ns / 1e9,
                auto_ping_reply_timeout=_PING_TIMEOUT_S,
                auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
                max_frame_size=max_frame_bytes,
                extra_headers=dict(headers),
                max_redirects=0,
            )
        except WSInvalidStatusError as e:
            status = int(e.response.status) if e.response is not None else None
            raise ConnectFailed(f"http {status}", status) from e
        except TimeoutError as e:
            raise ConnectFailed("handshake timed out") from e
        except (WSError, OSError) as e:
            raise ConnectFailed(f"{type(e).__name__}: {e}") from e
        assert isinstance(made, _Listener)
        return _PicowsSocket(transport, made)


class _PicowsSocket:
    def __init__(self, transport: WSTransport, listener: _Listener) -> None:
        self._transport = transport
        self._listener = listener

    async def send(self, frame: bytes) -> None:
        if self._transport.is_disconnected:
            return  # `closed` tells; a frame to a dead socket has no reader
        self._transport.send(WSMsgType.TEXT, frame)

    async def closed(self) -> str:
        await asyncio.shield(self._listener.ended)
        return self._listener.reason

    async def close(self) -> None:
        self._transport.send_close(WSCloseCode.OK)
        self._transport.disconnect()

    def abort(self) -> None:
        self._transport.underlying_transport.abort()
