"""One client socket: routes, envelope, SUBSCRIBE and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from feedplane_core.dialect import Answer, Close, Handshake, Message, RestReply, Step, Subscribe, Unsubscribe
from feedplane_core.names import NS_PER_MS

PUBLIC, MARKET = "public", "market"
MAX_STREAMS = 1024
_PUBLIC_KINDS = ("bookTicker", "depth", "rpiDepth", "trade")


def route_of(stream: str) -> str:
    """The route that carries this stream. Source: General Info, Important WebSocket Change Notice (read 2026-11)."""
    kind = stream.partition("@")[2] if "@" in stream else stream.lstrip("!")
    return PUBLIC if kind.startswith(_PUBLIC_KINDS) else MARKET


def open_peer(handshake: Handshake) -> BinancePeer | RestReply:
    """`/public/ws/...`, `/market/stream?streams=...`; the un-routed forms open, acknowledge and stay silent."""
    parts = handshake.path.strip("/").split("/")
    route = parts.pop(0) if parts[0] in (PUBLIC, MARKET, "private") else ""
    if not parts or parts[0] not in ("ws", "stream"):
        return RestReply(status=404, body=b"", content_type="text/plain")
    is_combined = parts.pop(0) == "stream"
    names = handshake.query.get("streams", "").split("/") if is_combined else parts
    return BinancePeer(route, is_combined, [name for name in names if name])


class BinancePeer:
    """Streams are named as the client spelled them; the topic is the stream name."""

    def __init__(self, route: str, is_combined: bool, streams: Sequence[str]) -> None:
        self._route = route
        self._is_combined = is_combined
        self._streams: dict[str, None] = dict.fromkeys(streams)

    def greet(self, now_ns: int) -> list[Step]:
        return [Subscribe(name) for name in self._streams if self._carries(name)]

    def _carries(self, name: str) -> bool:
        return bool(self._route) and route_of(name) == self._route

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [_error(3, "Invalid JSON: expected value at line 1 column 1", None)]
        if not isinstance(request, Mapping):
            return [_error(2, "Invalid request: request must be an object", None)]
        request_id = request.get("id")
        params = request.get("params", [])
        match request.get("method"):
            case "SUBSCRIBE" if _are_names(params):
                return self._subscribe(params, request_id)
            case "UNSUBSCRIBE" if _are_names(params):
                return self._unsubscribe(params, request_id)
            case "LIST_SUBSCRIPTIONS":
                return [_result(list(self._streams), request_id)]
            case "GET_PROPERTY":
                return [_result(self._is_combined, request_id)]
            case "SET_PROPERTY" if isinstance(params, list) and len(params) == 2 and isinstance(params[1], bool):
                self._is_combined = params[1]
                return [_result(None, request_id)]
        return [_error(2, "Invalid request: unknown method or parameters", request_id)]

    def _subscribe(self, names: Sequence[str], request_id: object) -> list[Step]:
        fresh = [name for name in names if name not in self._streams]
        if len(self._streams) + len(fresh) > MAX_STREAMS:
            return [_error(2, "Invalid request: too many streams", request_id), Close(1008, "Too many streams")]
        self._streams.update(dict.fromkeys(fresh))
        # A name of another route, or of nothing at all, is acknowledged like any other and never speaks.
        return [_result(None, request_id), *(Subscribe(name) for name in fresh if self._carries(name))]

    def _unsubscribe(self, names: Sequence[str], request_id: object) -> list[Step]:
        known = [name for name in names if self._streams.pop(name, self) is None]
        return [*(Unsubscribe(name) for name in known), _result(None, request_id)]

    def on_tick(self, now_ns: int) -> list[Step]:
        return []

    def wrap(self, topic: str, message: Message) -> bytes:
        if not self._is_combined:
            return message.payload
        return b'{"stream":"' + topic.encode() + b'","data":' + message.payload + b"}"

    def notice(self, now_ns: int) -> list[Step]:
        body = b'{"e":"serverShutdown","E":%d}' % (now_ns // NS_PER_MS)
        return [Answer(b'{"stream":"!serverShutdown","data":' + body + b"}" if self._is_combined else body)]


def _are_names(params: object) -> bool:
    return isinstance(params, list) and all(isinstance(name, str) for name in params)


def _result(result: object, request_id: object) -> Answer:
    return Answer(orjson.dumps({"result": result, "id": request_id}))


def _error(code: int, text: str, request_id: object) -> Answer:
    return Answer(orjson.dumps({"code": code, "msg": text, "id": request_id}))
