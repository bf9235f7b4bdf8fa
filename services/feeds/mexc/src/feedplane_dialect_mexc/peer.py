"""One client socket of either market: subscribe, unsubscribe, ping, and how each says no."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from feedplane_core.dialect import Answer, Close, Handshake, Message, RestReply, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_MS, NS_PER_S

from . import futures, spot
from .listing import is_contract

MAX_STREAMS = 30
_UNASKED_NS = 30 * NS_PER_S
_IDLE_NS = 60 * NS_PER_S


def open_peer(handshake: Handshake, venue: Venue) -> SpotPeer | FuturesPeer | RestReply:
    """`/ws` is spot, `/edge` futures."""
    match handshake.path.rstrip("/"):
        case "/ws":
            return SpotPeer(venue)
        case "/edge":
            return FuturesPeer(venue)
    return RestReply(status=404, body=b"", content_type="text/plain")


def _request(frame: bytes) -> Mapping[str, object]:
    try:
        request = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return {}
    return request if isinstance(request, Mapping) else {}


class SpotPeer:
    """Names of channels are the topics. Every answer has code 0."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._streams: dict[str, None] = {}
        self._opened_ns = 0
        self._spoken_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._opened_ns = self._spoken_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        if not self._streams and now_ns - self._opened_ns > _UNASKED_NS:
            return [Close(1005, "no subscription")]
        return [Close(1005, "no traffic")] if now_ns - self._spoken_ns > _IDLE_NS else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._spoken_ns = now_ns
        request = _request(frame)
        method, params = request.get("method"), request.get("params")
        number = request.get("id", 0)
        if method == "PING":
            return [_told(number, "PONG")]
        if method not in ("SUBSCRIPTION", "UNSUBSCRIPTION") or not isinstance(params, list):
            return [_told(number, "msg format invalid")]
        names = [str(param) for param in params]
        if method == "UNSUBSCRIPTION":
            held = [name for name in names if name in self._streams]
            for name in held:
                del self._streams[name]
            return [*map(Unsubscribe, held), _told(number, ",".join(names))]
        return self._subscribe(names, number)

    def _subscribe(self, names: list[str], number: object) -> list[Step]:
        good = [name for name in names if self._is_known(name)]
        bad = [name for name in names if name not in good]
        room = MAX_STREAMS - len(self._streams)
        new = [name for name in good if name not in self._streams]
        over, new = new[room:], new[:room]
        self._streams.update(dict.fromkeys(new))
        steps: list[Step] = []
        taken = [name for name in good if name not in over]
        if taken:
            steps.append(_told(number, ",".join(taken)))
        if bad:
            steps.append(_told(number, f"Not Subscribed successfully! [{','.join(bad)}].  Reason： Blocked! "))
        if over:
            steps.append(_told(number, f"Not Subscribed successfully! [{','.join(over)}].  Reason： Over limit! "))
        return [*steps, *map(Subscribe, new)]

    def _is_known(self, name: str) -> bool:
        channel, _, symbol = spot.parts_of(name)
        if not channel or symbol not in self._venue.markets or is_contract(symbol):
            return False
        return self._venue.markets.get(symbol) is None or spot.open_stream(name, self._venue) is not None

    def wrap(self, topic: str, message: Message) -> bytes:
        """Frames are the same for all sockets; each sign of life counts."""
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        return []


def _told(number: object, text: str) -> Answer:
    return Answer(orjson.dumps({"id": number, "code": 0, "msg": text}))


class FuturesPeer:
    """One contract a frame; acks name the method alone, and traffic does not replace the ping."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._topics: dict[str, None] = {}
        self._pinged_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._pinged_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        return [Close(1005, "no ping")] if now_ns - self._pinged_ns > _IDLE_NS else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        request = _request(frame)
        method, param = str(request.get("method", "")), request.get("param")
        if method == "ping":
            self._pinged_ns = now_ns
            return [_pushed("pong", now_ns // NS_PER_MS, now_ns)]
        verb, _, name = method.partition(".")
        if verb not in ("sub", "unsub") or not isinstance(param, Mapping):
            return []  # what is not understood is not answered
        topic = futures.topic_of(name, param)
        if not topic:
            return []
        symbol = str(param.get("symbol", ""))
        if symbol not in self._venue.markets or not is_contract(symbol):
            return [_pushed("rs.error", f"Contract [{symbol}] not exists", now_ns)]
        ack = _pushed(f"rs.{method}", "success", now_ns)
        if verb == "unsub":
            return [Unsubscribe(topic), ack] if self._topics.pop(topic, self) is None else [ack]
        if topic in self._topics:
            return [ack]
        self._topics[topic] = None
        return [ack, Subscribe(topic)]

    def wrap(self, topic: str, message: Message) -> bytes:
        """Frames are the same for all sockets."""
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        return []


def _pushed(channel: str, data: object, now_ns: int) -> Answer:
    return Answer(orjson.dumps({"channel": channel, "data": data, "ts": now_ns // NS_PER_MS}))
