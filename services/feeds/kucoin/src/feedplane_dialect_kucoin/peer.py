"""One client socket of either system: greeting, subscriptions, pings, and the patience of the venue."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import orjson
from feedplane_core.dialect import Answer, Close, Message, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S

from . import uta
from .channel import INTERVALS_S
from .classic import FUTURES_HEADS, SPOT_HEADS

PING_INTERVAL_MS = 18_000
PATIENCE_NS = 60 * NS_PER_S
"""Of the classic system without frames of the client, of the UTA system without a subscription."""
MAX_UTA_TOPICS = 600
MAX_SPOT_TOPICS = 400
MAX_SYMBOLS = 100
_CLASSIC_FRAMES, _CLASSIC_WINDOW_NS = 100, 10 * NS_PER_S


class UtaPeer:
    """`x-push-spot`, `x-push-futures`: every frame is binary. What does not exist is acknowledged and stays silent."""

    def __init__(self, kind: str, number: int) -> None:
        self._kind = kind
        self._session = f"{number:032x}"
        self._topics: dict[str, None] = {}
        self._opened_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._opened_ns = now_ns
        return [_binary({"sessionId": self._session, "message": "welcome", "pingInterval": PING_INTERVAL_MS})]

    def on_tick(self, now_ns: int) -> list[Step]:
        is_idle = not self._topics and now_ns - self._opened_ns > PATIENCE_NS
        return [Close(1000, "Bye")] if is_idle else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [_binary({"result": False, "message": "invalid request data"})]
        if not isinstance(request, Mapping):
            return [_binary({"result": False, "message": "invalid request data"})]
        number = request.get("id")
        if request.get("type") == "ping":
            return [_binary({"type": "pong", "id": number, "ts": now_ns})]
        action, topic = str(request.get("action", "")).lower(), self._topic_of(request)
        if action not in ("subscribe", "unsubscribe") or topic is None:
            return [_binary({"id": number, "result": False, "message": "invalid request data"})]
        done = _binary({"id": number, "result": True})
        if action == "unsubscribe":
            return [Unsubscribe(topic), done] if self._topics.pop(topic, self) is None else [done]
        if topic in self._topics:
            return [done]
        if len(self._topics) >= MAX_UTA_TOPICS:
            return [_binary({"id": number, "result": False, "message": "too many topics"})]
        self._topics[topic] = None
        return [done, Subscribe(topic)]

    def _topic_of(self, request: Mapping[str, object]) -> str | None:
        """`uta|SPOT|obu|BTC-USDT|increment@10ms`; on the other book's host a kind that no symbol has. `None` for a request that is refused."""
        channel, kind, symbol = (request.get(key) for key in ("channel", "tradeType", "symbol"))
        if channel not in uta.CHANNELS or kind not in ("SPOT", "FUTURES") or not isinstance(symbol, str) or not symbol:
            return None
        parameter = ""
        if channel == "obu":
            parameter = str(request.get("depth", ""))
            if parameter not in uta.DEPTHS:
                return None
        elif channel == "kline":
            parameter = str(request.get("interval", ""))
            if parameter not in INTERVALS_S:
                return None
        return f"uta|{kind if kind == self._kind else 'OTHER'}|{channel}|{symbol}|{parameter}"

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        """The venue gives none: a socket may be cut at any time."""
        return []


def _binary(body: object) -> Answer:
    return Answer(orjson.dumps(body), is_binary=True)


class ClassicPeer:
    """A topic names up to 100 symbols; frames above 100 in 10 s are ignored without a word."""

    def __init__(self, kind: str, connect_id: str, venue: Venue) -> None:
        self._is_spot = kind == "SPOT"
        self._connect_id = connect_id
        self._venue = venue
        self._topics: dict[str, None] = {}
        self._heard_ns = 0
        self._recent: deque[int] = deque()

    def greet(self, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        return [_text({"id": self._connect_id, "type": "welcome"})]

    def on_tick(self, now_ns: int) -> list[Step]:
        return [Close(1000, "Bye")] if now_ns - self._heard_ns > PATIENCE_NS else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        while self._recent and now_ns - self._recent[0] >= _CLASSIC_WINDOW_NS:
            self._recent.popleft()
        if len(self._recent) >= _CLASSIC_FRAMES:
            return []
        self._recent.append(now_ns)
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [_error("", 400, "invalid json")]
        if not isinstance(request, Mapping):
            return [_error("", 400, "invalid request")]
        number, kind, topic = str(request.get("id", "")), request.get("type"), request.get("topic")
        if kind == "ping":
            return [_text({"id": number, "type": "pong"})]
        if kind not in ("subscribe", "unsubscribe") or not isinstance(topic, str):
            return [_error(number, 406, "type or topic is missing")]
        head, _, joined = topic.partition(":")
        symbols = joined.split(",") if joined else []
        if head not in (SPOT_HEADS if self._is_spot else FUTURES_HEADS) or not symbols:
            return [_error(number, 404, f"topic {head} is not found")]
        if len(symbols) > MAX_SYMBOLS:
            return [_error(number, 400, f"exceed max subscription count limit of {MAX_SYMBOLS} per time")]
        topics = [f"classic|{head}:{symbol}" for symbol in symbols]
        steps = self._unsubscribe(topics) if kind == "unsubscribe" else self._subscribe(topics)
        if steps is None:
            return [_error(number, 400, f"exceed max subscription count limit of {MAX_SPOT_TOPICS} per session")]
        return [_text({"id": number, "type": "ack"}), *steps] if request.get("response") else steps

    def _subscribe(self, topics: list[str]) -> list[Step] | None:
        fresh = [topic for topic in topics if topic not in self._topics]
        if self._is_spot and len(self._topics) + len(fresh) > MAX_SPOT_TOPICS:
            return None
        self._topics.update(dict.fromkeys(fresh))
        return [Subscribe(topic) for topic in fresh]

    def _unsubscribe(self, topics: list[str]) -> list[Step]:
        return [Unsubscribe(topic) for topic in topics if self._topics.pop(topic, self) is None]

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        return []


def _text(body: object) -> Answer:
    return Answer(orjson.dumps(body))


def _error(number: str, code: int, text: str) -> Answer:
    return _text({"id": number, "type": "error", "code": code, "data": text})
