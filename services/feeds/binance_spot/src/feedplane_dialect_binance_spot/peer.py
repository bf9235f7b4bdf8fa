"""One client socket: envelope, time unit, SUBSCRIBE and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from feedplane_core.dialect import Answer, Close, Handshake, Message, RestReply, Step, Subscribe, Unsubscribe
from feedplane_core.names import NS_PER_MS, NS_PER_US

MAX_STREAMS = 1024
MICROSECONDS = "#us"
"""Suffix of topics whose times are in microseconds: another channel, since the payload differs."""


def open_peer(handshake: Handshake) -> SpotPeer | RestReply:
    """`/ws`, `/ws/<a>/<b>`, `/stream?streams=<a>/<b>`; `timeUnit=MICROSECOND` on either."""
    parts = handshake.path.strip("/").split("/")
    if parts[0] not in ("ws", "stream"):
        return RestReply(status=404, body=b"", content_type="text/plain")
    is_combined = parts[0] == "stream"
    names = handshake.query.get("streams", "").split("/") if is_combined else parts[1:]
    is_micro = handshake.query.get("timeUnit", "").upper() == "MICROSECOND"
    return SpotPeer(is_combined, [name for name in names if name], MICROSECONDS if is_micro else "")


class SpotPeer:
    """A topic is the stream name and the suffix of its time unit."""

    def __init__(self, is_combined: bool, streams: Sequence[str], suffix: str) -> None:
        self._is_combined = is_combined
        self._suffix = suffix
        self._streams: dict[str, None] = dict.fromkeys(streams)

    def greet(self, now_ns: int) -> list[Step]:
        return [Subscribe(name + self._suffix) for name in self._streams]

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [Answer(orjson.dumps({"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}))]
        if not isinstance(request, Mapping):
            return [_error(2, "Invalid request: request must be an object", None)]
        request_id, params = request.get("id"), request.get("params", [])
        match request.get("method"):
            case "SUBSCRIBE" if _are_names(params):
                return self._subscribe(params, request_id)
            case "UNSUBSCRIBE" if _are_names(params):
                known = [name for name in params if self._streams.pop(name, self) is None]
                return [*(Unsubscribe(name + self._suffix) for name in known), _result(None, request_id)]
            case "LIST_SUBSCRIPTIONS":
                return [_result(list(self._streams), request_id)]
            case "GET_PROPERTY":
                return [_result(self._is_combined, request_id)]
            case "SET_PROPERTY":
                return [self._set_property(params, request_id)]
        return [_error(2, "Invalid request: unknown method or parameters", request_id)]

    def _subscribe(self, names: Sequence[str], request_id: object) -> list[Step]:
        fresh = [name for name in names if name not in self._streams]
        if len(self._streams) + len(fresh) > MAX_STREAMS:
            return [_error(2, "Invalid request: too many streams", request_id), Close(1008, "Too many streams")]
        self._streams.update(dict.fromkeys(fresh))
        return [_result(None, request_id), *(Subscribe(name + self._suffix) for name in fresh)]

    def _set_property(self, params: object, request_id: object) -> Answer:
        match params:
            case ["combined", bool() as value]:
                self._is_combined = value
                return _result(None, request_id)
            case ["combined", _]:
                return _error(1, "Invalid value type: expected Boolean", request_id)
        return _error(0, "Unknown property", request_id)

    def on_tick(self, now_ns: int) -> list[Step]:
        return []

    def wrap(self, topic: str, message: Message) -> bytes:
        if not self._is_combined:
            return message.payload
        return b'{"stream":"' + topic.removesuffix(MICROSECONDS).encode() + b'","data":' + message.payload + b"}"

    def notice(self, now_ns: int) -> list[Step]:
        unit_ns = NS_PER_US if self._suffix else NS_PER_MS
        body = b'{"e":"serverShutdown","E":%d}' % (now_ns // unit_ns)
        return [Answer(b'{"stream":"!serverShutdown","data":' + body + b"}" if self._is_combined else body)]


def _are_names(params: object) -> bool:
    return isinstance(params, list) and all(isinstance(name, str) for name in params)


def _result(result: object, request_id: object) -> Answer:
    return Answer(orjson.dumps({"result": result, "id": request_id}))


def _error(code: int, text: str, request_id: object) -> Answer:
    return Answer(orjson.dumps({"code": code, "msg": text, "id": request_id}))
