"""One client socket of Kraken Futures."""

from __future__ import annotations

import orjson
from feedplane_core.dialect import Answer, Close, Message, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S, MarketType

from .text import ms

PATIENCE_NS = 60 * NS_PER_S
REQUESTS_PER_SECOND = 100
_FEEDS = frozenset({"trade", "book", "ticker"})


class FuturesPeer:
    """A topic is `futures/feed:product`."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._topics: set[str] = set()
        self._beats = False
        self._beaten_ns = self._heard_ns = 0
        self._second = self._in_second = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        return [Answer(b'{"event":"info","version":1}')]

    def on_tick(self, now_ns: int) -> list[Step]:
        if now_ns - self._heard_ns > PATIENCE_NS:
            return [Close(1000, "No ping")]
        if self._beats and now_ns - self._beaten_ns >= NS_PER_S:
            self._beaten_ns = now_ns
            return [Answer(b'{"feed":"heartbeat","time":%d}' % ms(now_ns))]
        return []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            return [_error("Bad websocket message")]
        if self._is_too_fast(now_ns):
            return [Answer(b'{"event":"alert","message":"rate_limited"}')]
        match request:
            case {"event": "ping"}:
                return [Answer(b'{"event":"pong"}')]
            case {"event": "subscribe" | "unsubscribe" as event, "feed": "heartbeat"}:
                self._beats = event == "subscribe"
                return [Answer(orjson.dumps({"event": f"{event}d", "feed": "heartbeat"}))]
            case {"event": "subscribe" | "unsubscribe" as event, "feed": str() as feed, "product_ids": list() as names}:
                return self._change(event, feed, names)
        return [_error("Invalid request")]

    def _is_too_fast(self, now_ns: int) -> bool:
        second = now_ns // NS_PER_S
        self._in_second = self._in_second + 1 if second == self._second else 1
        self._second = second
        return self._in_second > REQUESTS_PER_SECOND

    def _change(self, event: str, feed: str, names: list[object]) -> list[Step]:
        if feed not in _FEEDS:
            return [_error("Invalid feed")]
        if not names or not all(isinstance(name, str) and self._lists(name) for name in names):
            return [_error("Invalid product id")]
        topics = [f"futures/{feed}:{name}" for name in names]
        ack = Answer(orjson.dumps({"event": f"{event}d", "feed": feed, "product_ids": names}))
        if event == "subscribe":
            fresh = [topic for topic in topics if topic not in self._topics]
            self._topics.update(fresh)
            return [ack, *(Subscribe(topic) for topic in fresh)]
        held = [topic for topic in topics if topic in self._topics]
        self._topics.difference_update(held)
        return [ack, *(Unsubscribe(topic) for topic in held)]

    def _lists(self, product: str) -> bool:
        market = self._venue.markets.get(product)
        return product in self._venue.markets and (market is None or market.listing.market_type is not MarketType.SPOT)

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        """The venue gives no warning."""
        return []


def _error(text: str) -> Answer:
    return Answer(orjson.dumps({"event": "error", "message": text}))
