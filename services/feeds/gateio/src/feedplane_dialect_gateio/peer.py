"""One client socket: subscribe, unsubscribe, pings, and what a futures socket owes its settle currency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Handshake, Message, RestReply, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .streams import FUTURES_ONLY, symbol_in, topic_of

FUTURES_PATH = "/v4/ws/"
SPOT_PATH = "/ws/v4"
SETTLES = ("usdt", "btc", "usd1")
SIZE_HEADER = "x-gate-size-decimal"
CLOCK_TOLERANCE_S = 60
IDLE_NS = 30_500_000_000
"""A socket that neither has a subscription nor sends is closed after so long (probe of 2026-09)."""
_LISTS = frozenset({"trades", "book_ticker", "tickers", "public_liquidates"})
_SINGLES = frozenset({"obu", "order_book_update", "candlesticks"})


def open_peer(handshake: Handshake, venue: Venue) -> GatePeer | RestReply:
    path = handshake.path.rstrip("/")
    if path == SPOT_PATH:
        return GatePeer("spot", venue, has_texts=True)
    settle = path.removeprefix(FUTURES_PATH)
    if path.startswith(FUTURES_PATH) and settle in SETTLES:
        return GatePeer(settle, venue, has_texts=handshake.headers.get(SIZE_HEADER) == "1")
    return RestReply(status=404, body=b"", content_type="text/plain")


class GatePeer:
    """`market` is `spot` or the settle currency: contracts of another one are unknown here."""

    def __init__(self, market: str, venue: Venue, *, has_texts: bool) -> None:
        self._market = market
        self._prefix = "spot" if market == "spot" else "futures"
        self._venue = venue
        self._has_texts = has_texts
        self._topics: dict[str, None] = {}
        self._heard_ns = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        return []

    def on_tick(self, now_ns: int) -> list[Step]:
        if not self._topics and now_ns - self._heard_ns > IDLE_NS:
            return [Close(1006, "")]
        return []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [self._answer({}, now_ns, (1, "invalid request body"))]
        if not isinstance(request, Mapping) or not isinstance(request.get("channel"), str):
            return [self._answer({}, now_ns, (1, "invalid request body"))]
        if request["channel"] == f"{self._prefix}.ping":
            return [_pong(self._prefix, now_ns)]
        if not isinstance(request.get("time"), int) or abs(now_ns // NS_PER_S - request["time"]) > CLOCK_TOLERANCE_S:
            return [self._answer(request, now_ns, (2, "invalid argument: time"))]
        payload = request.get("payload")
        if not isinstance(payload, list) or not payload or not all(isinstance(part, str) for part in payload):
            return [self._answer(request, now_ns, (2, "invalid argument: payload"))]
        prefix, _, kind = request["channel"].partition(".")
        if prefix != self._prefix or kind not in _LISTS | _SINGLES or (prefix == "spot" and kind in FUTURES_ONLY):
            return [self._answer(request, now_ns, (2, f"unknown channel {request['channel']}"))]
        if request.get("event") == "subscribe":
            return self._subscribe(request, kind, payload, now_ns)
        if request.get("event") == "unsubscribe":
            return self._unsubscribe(request, kind, payload, now_ns)
        return [self._answer(request, now_ns, (2, "unknown event"))]

    def _groups(self, kind: str, payload: list[str]) -> list[list[str]]:
        """The parameters of each stream that a payload asks for: lists of symbols, of `obu` streams, or one set of parameters."""
        return [[part] for part in payload] if kind in _LISTS or kind == "obu" else [payload]

    def _subscribe(self, request: Mapping[str, Any], kind: str, payload: list[str], now_ns: int) -> list[Step]:
        """All or nothing, but futures `obu`, which acknowledges whatever it is asked for."""
        topics = []
        for parameters in self._groups(kind, payload):
            symbol = symbol_in(kind, parameters)
            is_known = f"{self._market}/{symbol}" in self._venue.markets
            if not is_known and not (kind == "obu" and self._prefix == "futures"):
                what = "currency pair" if self._prefix == "spot" else "contract"
                return [self._answer(request, now_ns, (2, f"unknown {what} {symbol or parameters[0]}"))]
            topic = topic_of(self._market, request["channel"], parameters, self._has_texts)
            if kind == "obu" and topic in self._topics:
                return [self._answer(request, now_ns, (2, f"Alert sub {parameters[0]}"))]
            if topic not in self._topics:
                topics.append(topic)
        self._topics.update(dict.fromkeys(topics))
        return [self._answer(request, now_ns, None), *map(Subscribe, topics)]

    def _unsubscribe(self, request: Mapping[str, Any], kind: str, payload: list[str], now_ns: int) -> list[Step]:
        steps: list[Step] = []
        for parameters in self._groups(kind, payload):
            topic = topic_of(self._market, request["channel"], parameters, self._has_texts)
            if self._topics.pop(topic, self) is None:
                steps.append(Unsubscribe(topic))
        return [*steps, self._answer(request, now_ns, None)]

    def _answer(self, request: Mapping[str, Any], now_ns: int, error: tuple[int, str] | None) -> Answer:
        body: dict[str, object] = {"time": now_ns // NS_PER_S, "time_ms": now_ns // NS_PER_MS}
        body |= {key: request[key] for key in ("id", "channel", "event") if key in request}
        body["error"] = None if error is None else {"code": error[0], "message": error[1]}
        body["result"] = {"status": "success" if error is None else "fail"}
        return Answer(orjson.dumps(body))

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        """Announced on futures alone."""
        if self._prefix == "spot":
            return []
        body = {
            "time": now_ns // NS_PER_S,
            "time_ms": now_ns // NS_PER_MS,
            "channel": "futures.system",
            "event": "update",
        }
        return [
            Answer(orjson.dumps(body | {"result": {"type": "upgrade", "msg": "The connection will soon be closed."}}))
        ]


def _pong(prefix: str, now_ns: int) -> Answer:
    body = {"time": now_ns // NS_PER_S, "time_ms": now_ns // NS_PER_MS, "channel": f"{prefix}.pong"}
    return Answer(orjson.dumps(body | {"event": "", "result": None}))
