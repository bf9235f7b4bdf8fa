"""REST answers: arrays, and errors that are arrays too."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

import orjson
from feedplane_core.dialect import CandleMoved, Market, RestReply, RestRequest, Venue
from feedplane_core.events import MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .channel import INTERVALS_S, js, ms, trade_event, trade_row
from .derivatives import candle_row, kline_event, status_row
from .listing import conf_value, is_listed, is_perpetual

REST_WEIGHT = 90
REST_WINDOW_NS = 60 * NS_PER_S
_MAX_ROWS = 10_000
_MAX_STATUS_ROWS = 5_000
_LENGTHS = (1, 25, 100, 250)


class Refused(Exception):
    """A request that is answered with an error array and HTTP 500."""


Answered = tuple[str, Sequence[MarketEvent], int]
"""Body, events, weight."""


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused(f"{key}: invalid")
    return int(text)


def _market(venue: Venue, symbol: str) -> Market:
    market = venue.markets.get(symbol)
    if market is None or not is_listed(market):
        raise Refused("symbol: invalid")
    return market


def _window(request: RestRequest) -> tuple[int, int]:
    """First and last ms, both inclusive."""
    return _integer(request, "start", 0), _integer(request, "end", 1 << 42)


def conf(request: RestRequest, venue: Venue, labels: str) -> Answered:
    values = [conf_value(label, list(venue.markets.values())) for label in labels.split(",")]
    return orjson.dumps(values).decode(), (), 1


def trades(request: RestRequest, venue: Venue, symbol: str) -> Answered:
    """Oldest first with `sort=1`; the newest of the window otherwise."""
    market, (first_ms, last_ms) = _market(venue, symbol), _window(request)
    limit = min(_integer(request, "limit", 125), _MAX_ROWS)
    found = [t for t in market.trades(0, 1 << 30) if first_ms <= ms(t.ts_ns) <= last_ms]
    is_ascending = request.query.get("sort") == "1"
    found = found[:limit] if is_ascending else found[::-1][:limit]
    events = [trade_event(market, trade, request.now_ns) for trade in found]
    return f"[{','.join(trade_row(market, trade) for trade in found)}]", events, 6


def candles(request: RestRequest, venue: Venue, interval: str, symbol: str) -> Answered:
    """Those that had trades; the open one may be the last."""
    market, (first_ms, last_ms) = _market(venue, symbol), _window(request)
    if interval not in INTERVALS_S:
        raise Refused("key: invalid")
    limit = min(_integer(request, "limit", 100), _MAX_ROWS)
    found = market.candles(INTERVALS_S[interval], first_ms * NS_PER_MS, (last_ms + 1) * NS_PER_MS, _MAX_ROWS)
    traded: list[CandleMoved] = [candle for candle in found if candle.trades]
    is_ascending = request.query.get("sort") == "1"
    traded = traded[:limit] if is_ascending else traded[::-1][:limit]
    events = [kline_event(market, candle, None, request.now_ns, is_closed=candle.is_closed) for candle in traded]
    return f"[{','.join(candle_row(market, candle) for candle in traded)}]", events, 3


def book(request: RestRequest, venue: Venue, symbol: str, precision: str) -> Answered:
    """Without a number: for comparison alone, so it means no event."""
    market, length = _market(venue, symbol), _integer(request, "len", 25)
    if length not in _LENGTHS or precision != "P0":
        raise Refused("len: invalid")
    bids, asks = market.levels_text(market.bids(length)), market.levels_text(market.asks(length))
    rows = [f"[{js(p)},1,{js(q)}]" for p, q in bids] + [f"[{js(p)},1,-{js(q)}]" for p, q in asks]
    return f"[{','.join(rows)}]", (), 1


def status(request: RestRequest, venue: Venue) -> Answered:
    """With the key in front; an unknown key is left out."""
    keys = request.query.get("keys", "")
    names = (
        [m.listing.instrument for m in venue.markets.values() if is_perpetual(m)] if keys == "ALL" else keys.split(",")
    )
    mts = venue.now_ns() // NS_PER_S * 1_000
    rows = [f'["{name}",{status_row(market, mts)[1:]}' for name in names if (market := venue.markets.get(name))]
    return f"[{','.join(rows)}]", (), 1


def status_history(request: RestRequest, venue: Venue, symbol: str) -> Answered:
    """A row a minute; the simulation has had the present state for ever."""
    market, (first_ms, last_ms) = _market(venue, symbol), _window(request)
    if not is_perpetual(market):
        return "[]", (), 1
    limit = min(_integer(request, "limit", 125), _MAX_STATUS_ROWS)
    minute_ms = 60_000
    last_ms = min(last_ms, ms(venue.now_ns())) // minute_ms * minute_ms
    first_ms = max(-(-first_ms // minute_ms) * minute_ms, last_ms - 1_440 * minute_ms)
    times = list(range(first_ms, last_ms + 1, minute_ms))
    times = times[:limit] if request.query.get("sort") == "1" else times[::-1][:limit]
    return f"[{','.join(status_row(market, mts) for mts in times)}]", (), 1


def platform(request: RestRequest, venue: Venue) -> Answered:
    return "[1]", (), 3


_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., Answered]], ...] = (
    (re.compile(r"/v2/conf/(.+)"), conf),
    (re.compile(r"/v2/trades/([^/]+)/hist"), trades),
    (re.compile(r"/v2/candles/trade:([^:/]+):([^/]+)/hist"), candles),
    (re.compile(r"/v2/book/([^/]+)/([^/]+)"), book),
    (re.compile(r"/v2/status/deriv"), status),
    (re.compile(r"/v2/status/deriv/([^/]+)/hist"), status_history),
    (re.compile(r"/v2/platform/status"), platform),
)


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    path = unquote(request.path)
    for pattern, route in _ROUTES:
        if found := pattern.fullmatch(path):
            try:
                body, events, weight = route(request, venue, *found.groups())
            except Refused as refused:
                return RestReply(status=500, body=orjson.dumps(["error", 10020, str(refused)]))
            return RestReply(body=body.encode(), events=tuple(events), weight=weight)
    return RestReply(status=404, body=b'["error",10020,"path: invalid"]')


def refusal(status_code: int, retry_after_s: int) -> RestReply:
    """Over the limit of an endpoint, or in maintenance."""
    if status_code in (418, 429):
        return RestReply(status=status_code, body=b'{"error":"ERR_RATE_LIMIT"}')
    return RestReply(status=status_code, body=b'["error",20060,"maintenance"]')
