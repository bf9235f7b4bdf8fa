"""One client socket of WebSocket v2: requests, one answer a symbol, and the venue's patience."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from feedplane_core.dialect import Answer, Close, Message, Step, Subscribe, Unsubscribe, Venue
from feedplane_core.names import NS_PER_S, MarketType

from .spot import DEPTHS, MINUTES
from .text import iso

SILENCE_NS = 60 * NS_PER_S
MESSAGES_PER_SECOND = 50
_KEYED = frozenset({"level3", "executions", "balances"})
_PER_SYMBOL = frozenset({"trade", "ticker", "book", "ohlc"})


class SpotPeer:
    """A topic is `channel-argument:symbol`."""

    def __init__(self, venue: Venue, number: int) -> None:
        self._venue = venue
        self._number = number
        self._topics: set[str] = set()
        self._heard_ns = 0
        self._second = self._in_second = 0

    def greet(self, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        status = {"api_version": "v2", "connection_id": 13834774380200032777 + self._number, "system": "online"}
        return [Answer(orjson.dumps({"channel": "status", "type": "update", "data": [status | {"version": "2.0.0"}]}))]

    def on_tick(self, now_ns: int) -> list[Step]:
        return [Close(1000, "Idle")] if now_ns - self._heard_ns > SILENCE_NS else []

    def on_frame(self, frame: bytes, now_ns: int) -> list[Step]:
        self._heard_ns = now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            return [_answer({"error": "Malformed request", "success": False}, now_ns)]
        head = {key: request[key] for key in ("method", "req_id") if key in request}
        if self._is_too_fast(now_ns):
            return [_answer({**head, "error": "Exceeded msg rate", "success": False}, now_ns)]
        method, params = request.get("method"), request.get("params")
        if method == "ping":
            return [_answer({**head, "method": "pong"}, now_ns)]
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            return [_answer({**head, "error": "Unsupported method", "success": False}, now_ns)]
        return self._change(head, params, now_ns, is_subscribe=method == "subscribe")

    def _is_too_fast(self, now_ns: int) -> bool:
        second = now_ns // NS_PER_S
        self._in_second = self._in_second + 1 if second == self._second else 1
        self._second = second
        return self._in_second > MESSAGES_PER_SECOND

    def _change(
        self, head: Mapping[str, Any], params: Mapping[str, Any], now_ns: int, *, is_subscribe: bool
    ) -> list[Step]:
        channel, symbols = params.get("channel"), params.get("symbol", [])
        problem = _problem(channel, params)
        if problem:
            return [_answer({**head, "error": problem, "success": False}, now_ns)]
        if channel == "instrument":
            symbols = [""]
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols) or not symbols:
            return [_answer({**head, "error": "Symbol(s) missing", "success": False}, now_ns)]
        steps: list[Step] = []
        for symbol in symbols:
            steps += self._change_one(head, params, symbol, now_ns, is_subscribe=is_subscribe)
        if is_subscribe and "heartbeat" not in self._topics and self._topics:
            self._topics.add("heartbeat")
            steps.append(Subscribe("heartbeat"))
        return steps

    def _change_one(
        self, head: Mapping[str, Any], params: Mapping[str, Any], symbol: str, now_ns: int, *, is_subscribe: bool
    ) -> list[Step]:
        channel = params["channel"]
        if symbol and not self._lists(symbol):
            error = {**head, "error": f"Currency pair not supported {symbol}", "success": False, "symbol": symbol}
            return [_answer(error, now_ns)]
        name, told = _named(params)
        prefix, topic = f"{channel}-", f"{name}:{symbol}"
        held = [
            t for t in self._topics if t == topic or (channel in ("trade", "instrument") and _is_of(t, prefix, symbol))
        ]
        if is_subscribe is bool(held):
            text = "Already subscribed" if held else "Subscription Not Found"
            return [_answer({**head, "error": text, "success": False, "symbol": symbol}, now_ns)]
        result = {"channel": channel, **told} | ({"symbol": symbol} if symbol else {})
        ack = _answer({**head, "result": result, "success": True}, now_ns)
        if is_subscribe:
            self._topics.add(topic)
            return [ack, Subscribe(topic)]
        self._topics -= set(held)
        return [ack, *(Unsubscribe(t) for t in held)]

    def _lists(self, symbol: str) -> bool:
        market = self._venue.markets.get(symbol)
        return symbol in self._venue.markets and (market is None or market.listing.market_type is MarketType.SPOT)

    def wrap(self, topic: str, message: Message) -> bytes:
        return message.payload

    def notice(self, now_ns: int) -> list[Step]:
        """The venue gives no warning."""
        return []


def _is_of(topic: str, prefix: str, symbol: str) -> bool:
    return topic.startswith(prefix) and topic.partition(":")[2] == symbol


def _problem(channel: object, params: Mapping[str, Any]) -> str:
    if channel in _KEYED:
        return "Token(s) not found"
    if channel not in _PER_SYMBOL and channel != "instrument":
        return f"Subscription channel {channel} not supported"
    if channel == "book" and params.get("depth", 10) not in DEPTHS:
        return "Subscription depth not supported"
    if channel == "ohlc" and params.get("interval", 1) not in MINUTES:
        return "Subscription ohlc interval not supported"
    return ""


def _named(params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The topic's name, and what the acknowledgement repeats."""
    channel = params["channel"]
    match channel:
        case "book":
            depth = params.get("depth", 10)
            return f"book-{depth}", {"depth": depth, "snapshot": True}
        case "ohlc":
            minutes = params.get("interval", 1)
            return f"ohlc-{minutes}", {"interval": minutes, "snapshot": True}
        case "ticker":
            trigger = params.get("event_trigger", "trades")
            return f"ticker-{trigger}", {"event_trigger": trigger, "snapshot": True}
        case "trade":
            tells_last = bool(params.get("snapshot", False))
            return f"trade-{'last' if tells_last else 'live'}", {"snapshot": tells_last}
    tells_all = bool(params.get("snapshot", True))
    return f"instrument-{'all' if tells_all else 'news'}", {"snapshot": tells_all}


def _answer(body: Mapping[str, Any], now_ns: int) -> Answer:
    return Answer(orjson.dumps({**body, "time_in": iso(now_ns), "time_out": iso(now_ns)}))
