"""One client socket: two dialects of control frames, pings that are owed an answer, and gzip around everything."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Message, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .books import ANSWER, SPOT_EVERY_NS
from .channel import PERIOD_S

PING_EVERY_NS = 5 * NS_PER_S
REQUEST_GAP_NS = 100 * NS_PER_MS
REQUEST_SLACK_NS = 10 * NS_PER_MS
"""Frames may come closer together than they were sent."""
SUBSCRIPTIONS_A_SECOND = 40

_SPOT_KINDS = frozenset({"trade.detail", "bbo", "ticker", "detail", *(f"depth.step{n}" for n in range(6))})
_BOOK_KINDS = frozenset({*(f"mbp.{n}" for n in SPOT_EVERY_NS), *(f"mbp.refresh.{n}" for n in (5, 10, 20))})
_LINEAR_KINDS = frozenset(
    {"trade.detail", "bbo", "detail", *(f"depth.step{n}" for n in range(14))}
    | {"depth.size_20.high_freq", "depth.size_150.high_freq"}
)
_KLINES = frozenset(f"kline.{period}" for period in PERIOD_S)
_PRICES = frozenset(f"{name}.{period}" for name in ("mark_price", "index") for period in PERIOD_S)
KINDS = {
    "/ws": _SPOT_KINDS | _KLINES,
    "/feed": _BOOK_KINDS,
    "/linear-swap-ws": _LINEAR_KINDS | _KLINES,
    "/ws_index": _PRICES,
}
"""Topics of each address: `market.<symbol>.<kind>`."""
NOTICES = "/linear-swap-notification"
_NOTICE_KINDS = frozenset({"funding_rate", "liquidation_orders", "contract_info"})


def zipped(body: object) -> Answer:
    return Answer(_zip(orjson.dumps(body)), is_binary=True)


def _zip(payload: bytes) -> bytes:
    return gzip.compress(payload, 1, mtime=0)


class BasePeer:
    """What both dialects share: pings every 5 s, and the end of a client that answers none."""

    patience = 2  # unanswered pings in a row

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._unanswered = 0
        self._pinged_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._pinged_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        if now_ns - self._pinged_ns < PING_EVERY_NS:
            return []
        self._pinged_ns = now_ns
        if self._unanswered >= self.patience:
            return [Close(1000, "ping check expired")]
        self._unanswered += 1
        return [self._ping(now_ns // NS_PER_MS)]

    def _ping(self, at_ms: int) -> Answer:
        return zipped({"ping": at_ms})

    def wrap(self, topic: str, message: Message) -> bytes:
        return _zip(message.payload)

    def notice(self, now_ns: int) -> list[Step]:
        return []

    def _is_listed(self, symbol: str, *, is_contract: bool) -> bool:
        return symbol in self._venue.markets and ("-" in symbol) is is_contract


class MarketPeer(BasePeer):
    """`{"sub":...}`, `{"unsub":...}`, `{"req":...}` of the spot and contract hosts."""

    def __init__(self, venue: Venue, path: str) -> None:
        super().__init__(venue)
        self._kinds = KINDS[path]
        self._is_contract = path in ("/linear-swap-ws", "/ws_index")
        self._is_books = path == "/feed"
        self.patience = 5 if self._is_contract else 2
        self._asked_ns = -NS_PER_S
        self._request_ids: dict[str, object] = {}
        self._second, self._subscribed = 0, 0

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, Mapping):
            return [self._error("", "not json string", now_ns)]
        if "pong" in request:
            self._unanswered = 0
            return []
        if "ping" in request:
            return [zipped({"pong": request["ping"]})]
        for verb in ("sub", "unsub", "req"):
            if verb in request:
                return self._on_verb(verb, request, now_ns)
        return [self._error(request.get("id", ""), "invalid command", now_ns)]

    def _on_verb(self, verb: str, request: Mapping[str, Any], now_ns: int) -> list[Step]:
        """Spot takes a list of topics as well; each gets an answer of its own."""
        wanted = request[verb]
        topics = wanted if isinstance(wanted, list) and not self._is_contract else [wanted]
        steps: list[Step] = []
        for topic in topics:
            fault = self._fault_of(topic)
            if fault:
                steps.append(self._error(request.get("id", ""), fault, now_ns))
            elif verb == "req":
                steps += self._answer(topic, request.get("id", ""), now_ns)
            elif verb == "unsub":
                steps += [Unsubscribe(topic), self._ack(request, "unsubbed", topic, now_ns)]
            elif not self._has_room(now_ns):
                steps.append(self._error(request.get("id", ""), "429 too many request", now_ns))
            else:
                steps += [self._ack(request, "subbed", topic, now_ns), Subscribe(topic)]
        return steps

    def _fault_of(self, topic: object) -> str:
        if not isinstance(topic, str) or not topic.startswith("market."):
            return f"invalid topic {topic}"[:64]
        symbol, _, kind = topic.removeprefix("market.").partition(".")
        if kind not in self._kinds:
            return f"invalid topic {topic}"[:64]
        return "" if self._is_listed(symbol, is_contract=self._is_contract) else "invalid symbol"

    def _has_room(self, now_ns: int) -> bool:
        """The contract host takes 40 subscriptions in a second."""
        if now_ns - self._second >= NS_PER_S:
            self._second, self._subscribed = now_ns, 0
        self._subscribed += 1
        return not self._is_contract or self._subscribed <= SUBSCRIPTIONS_A_SECOND

    def _answer(self, topic: str, request_id: object, now_ns: int) -> list[Step]:
        """A channel that speaks once. In a replay it stays open: what was recorded of it comes when it comes."""
        if not self._is_books or ".refresh." in topic:
            return [self._error(request_id, f"invalid topic {topic}", now_ns)]
        if now_ns - self._asked_ns < REQUEST_GAP_NS - REQUEST_SLACK_NS:
            return [self._error(request_id, "429 too many request", now_ns)]
        self._asked_ns = now_ns
        self._request_ids[topic] = request_id
        symbol = topic.removeprefix("market.").partition(".")[0]
        is_replay = self._venue.markets.get(symbol) is None
        return [Subscribe(ANSWER + topic), *([] if is_replay else [Unsubscribe(ANSWER + topic)])]

    def wrap(self, topic: str, message: Message) -> bytes:
        payload = message.payload
        if topic.startswith(ANSWER) and payload.startswith(b"{"):
            request_id = self._request_ids.get(topic.removeprefix(ANSWER), "")
            payload = b'{"id":%b,%b' % (orjson.dumps(request_id), payload[1:])
        return _zip(payload)

    def _ack(self, request: Mapping[str, Any], verb: str, topic: str, now_ns: int) -> Answer:
        body = {"id": request["id"]} if "id" in request else {}
        return zipped(body | {"status": "ok", verb: topic, "ts": now_ns // NS_PER_MS})

    def _error(self, request_id: object, text: str, now_ns: int) -> Answer:
        body = {"status": "error", "ts": now_ns // NS_PER_MS, "id": request_id}
        return zipped(body | {"err-code": "bad-request", "err-msg": text})


class NoticePeer(BasePeer):
    """`{"op":...}` of the notification address."""

    patience = 5

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._held: set[str] = set()

    def _ping(self, at_ms: int) -> Answer:
        return zipped({"op": "ping", "ts": str(at_ms)})

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, Mapping):
            return [zipped({"op": "error", "err-code": 2002, "err-msg": "invalid request", "ts": now_ns // NS_PER_MS})]
        match request.get("op"):
            case "pong":
                self._unanswered = 0
                return []
            case "ping":
                return [zipped({"op": "pong", "ts": request.get("ts")})]
            case "sub" | "unsub" as verb:
                return self._on_verb(verb, request, now_ns)
        return [zipped({"op": "error", "err-code": 2001, "err-msg": "invalid command", "ts": now_ns // NS_PER_MS})]

    def _on_verb(self, verb: str, request: Mapping[str, Any], now_ns: int) -> list[Step]:
        topic = request.get("topic")
        code, text = self._fault_of(verb, topic, request.get("business_type", "swap"))
        body = {"op": verb, "cid": request.get("cid", ""), "topic": topic, "ts": now_ns // NS_PER_MS, "err-code": code}
        answer = zipped(body | {"err-msg": text} if code else body)
        if code or not isinstance(topic, str):
            return [answer]
        if verb == "sub":
            self._held.add(topic)
            return [answer, Subscribe(topic)]
        self._held.discard(topic)
        return [Unsubscribe(topic), answer]

    def _fault_of(self, verb: str, topic: object, business: object) -> tuple[int, str]:
        if not isinstance(topic, str) or not topic.startswith("public."):
            return 2010, "topic error"
        code, _, kind = topic.removeprefix("public.").partition(".")
        if kind not in _NOTICE_KINDS:
            return 2010, "topic error"
        is_dated = code.count("-") == 2
        if code != "*" and (not self._is_listed(code, is_contract=True) or (is_dated and business == "swap")):
            return 2011, "the contract doesn't exist"
        if verb == "sub" and topic in self._held:
            return 2014, "repeated subscription"
        return (2012, "not subscribed") if verb == "unsub" and topic not in self._held else (0, "")


def open_peer(path: str, venue: Venue) -> MarketPeer | NoticePeer | None:
    """The peer of an address; `None` for a path that the venue does not have."""
    if path == NOTICES:
        return NoticePeer(venue)
    return MarketPeer(venue, path) if path in KINDS else None
