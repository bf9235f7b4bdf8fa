"""One client socket: ping and pong in plain text, subscriptions acknowledged one by one, errors that leave the rest alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Message, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S

from .channels import KEYED, topic_of

IDLE_NS = 30 * NS_PER_S
REQUESTS_PER_HOUR = 480
_HOUR_NS = 3_600 * NS_PER_S
_MAX_REQUEST_BYTES = 64 << 10


class OkxPeer:
    """A socket of one path. Frames are `{"arg":{...},` and then what the payload has behind its first brace."""

    def __init__(self, path: str, number: int, venue: Venue) -> None:
        self._path = path
        self._venue = venue
        self._connection = f"{number:08x}"
        self._args: dict[str, bytes] = {}  # by topic, as the client spelled them
        self._requests = 0
        self._hour = 0
        self._alive_ns = 0
        self._has_pushed = False

    def greet(self, now_ns: int) -> list[Step]:
        self._alive_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        """Nothing pushed and nothing asked for 30 s: closed."""
        if self._has_pushed:
            self._alive_ns, self._has_pushed = now_ns, False
        return [Close(4004, "No data received in 30s.")] if now_ns - self._alive_ns > IDLE_NS else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._alive_ns = now_ns
        if frame == b"ping":
            return [Answer(b"pong")]
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [self._error("60012", f"Invalid request: {frame[:64].decode(errors='replace')}", None)]
        if not isinstance(request, Mapping) or len(frame) > _MAX_REQUEST_BYTES:
            return [self._error("60012", "Invalid request", None)]
        number, args = request.get("id"), request.get("args")
        if number is not None and not (isinstance(number, str) and number.isalnum() and len(number) <= 32):
            return [self._error("60012", "Invalid request: id", None)]
        if request.get("op") not in ("subscribe", "unsubscribe"):
            return [self._error("60012", "Invalid request: op", number)]
        if not isinstance(args, list) or not args or not all(isinstance(arg, Mapping) for arg in args):
            return [self._error("60013", "Invalid args", number)]
        if not self._admits(now_ns):
            return [self._error("60014", "Requests too frequent", number)]
        one = self._subscribe if request["op"] == "subscribe" else self._unsubscribe
        return [step for arg in args for step in one(arg, number)]

    def _admits(self, now_ns: int) -> bool:
        if now_ns // _HOUR_NS != self._hour:
            self._hour, self._requests = now_ns // _HOUR_NS, 0
        self._requests += 1
        return self._requests <= REQUESTS_PER_HOUR

    def _subscribe(self, arg: Mapping[str, Any], number: str | None) -> list[Step]:
        if arg.get("channel") in KEYED:
            text = "Your trading fee tier doesn't meet the requirement to access this channel"
            return [self._error("64003", text, number)]
        topic = topic_of(arg, self._path, self._venue)
        if topic is None:
            named = ",".join(f"{key}:{value}" for key, value in arg.items())
            text = f"Wrong URL or {named} doesn't exist. Please use the correct URL, channel and parameters referring to API document."
            return [self._error("60018", text, number)]
        self._args[topic] = orjson.dumps(arg)
        return [self._event("subscribe", arg, number), Subscribe(topic)]

    def _unsubscribe(self, arg: Mapping[str, Any], number: str | None) -> list[Step]:
        topic = topic_of(arg, self._path, self._venue)
        steps: list[Step] = [] if topic is None else [Unsubscribe(topic)]
        return [*steps, self._event("unsubscribe", arg, number)]

    def wrap(self, topic: str, message: Message) -> bytes:
        self._has_pushed = True
        return b'{"arg":' + self._args[topic] + b"," + message.payload[1:]

    def notice(self, now_ns: int) -> list[Step]:
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return [self._answer({"event": "notice", "code": "64008", "msg": text}, None)]

    def _event(self, event: str, arg: Mapping[str, Any], number: str | None) -> Answer:
        return self._answer({"event": event, "arg": arg}, number)

    def _error(self, code: str, text: str, number: str | None) -> Answer:
        return self._answer({"event": "error", "code": code, "msg": text}, number)

    def _answer(self, body: Mapping[str, Any], number: str | None) -> Answer:
        echoed = {} if number is None else {"id": number}
        return Answer(orjson.dumps({**echoed, **body, "connId": self._connection}))
