"""REST answers of the Exchange API. `side` of a trade is the maker's; pages run from new to old."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, Venue
from feedplane_core.events import BookSnapshot, Kline
from feedplane_core.names import NS_PER_S, NS_PER_US, MarketType

from .listing import product_row
from .streams import EXCHANGE, time_text, trade_event

GRANULARITIES_S = (60, 300, 900, 3600, 21600, 86400)
SETTLED_AFTER_S = 60
"""A row does not say whether it is final; it is taken for final so long after its end."""
MAX_TRADES = 1000
MAX_CANDLES = 300
_WHOLE = 1 << 20
_SPOT = MarketType.SPOT


class Refused(Exception):
    """A request that is answered with `{"message": ...}`."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text, self.status = text, status

    def reply(self) -> RestReply:
        return RestReply(status=self.status, body=orjson.dumps({"message": self.text}))


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused(f"Invalid {key}")
    return int(text)


def _seconds(request: RestRequest, key: str, default: int) -> int:
    """A time of the query: epoch seconds or ISO-8601."""
    text = request.query.get(key)
    if text is None or text.isdecimal():
        return _integer(request, key, default)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise Refused(f"{key} is not a valid time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def products(request: RestRequest, venue: Venue) -> RestReply:
    return RestReply(body=orjson.dumps([product_row(market) for market in venue.markets.values()]))


def server_time(request: RestRequest, venue: Venue) -> RestReply:
    now_ns = venue.now_ns()
    return RestReply(body=b'{"iso":"%b","epoch":%d}' % (time_text(now_ns).encode(), now_ns // NS_PER_S))


def product(request: RestRequest, venue: Venue, market: Market) -> RestReply:
    return RestReply(body=orjson.dumps(product_row(market)))


def book(request: RestRequest, venue: Venue, market: Market) -> RestReply:
    """`level` 1: the best; 2: all levels; rows are price, size, number of orders."""
    level = _integer(request, "level", 1)
    if level not in (1, 2):
        raise Refused("level 3 requires authentication" if level == 3 else "Invalid level")
    depth = _WHOLE if level == 2 else 1
    bids, asks, now_ns = market.levels_text(market.bids(depth)), market.levels_text(market.asks(depth)), venue.now_ns()
    body = {
        "bids": [[*row, 1] for row in bids],
        "asks": [[*row, 1] for row in asks],
        "sequence": market.seq,
        "auction_mode": False,
        "time": time_text(now_ns),
    }
    event = BookSnapshot(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=market.listing.instrument,
        ts_event_ns=now_ns // NS_PER_US * NS_PER_US,
        ts_recv_ns=request.now_ns,
        bids=bids,
        asks=asks,
        last_seq=market.seq,
    )
    return RestReply(body=orjson.dumps(body), events=(event,) if level == 2 else ())


def trades(request: RestRequest, venue: Venue, market: Market) -> RestReply:
    """Newest first; `after` means older than that id, `before` newer (but the newest page of them)."""
    limit = min(_integer(request, "limit", MAX_TRADES), MAX_TRADES)
    first = _integer(request, "before", -1) + 1
    last = _integer(request, "after", 1 << 60) - 1
    page = [t for t in market.trades(first, 1 << 30) if t.number <= last][-limit:] if limit else []
    rows, events = [], []
    for trade in reversed(page):
        event = trade_event(market, trade, request.now_ns)
        events.append(event)
        rows.append(
            {"trade_id": trade.number, "side": "sell" if trade.is_buy else "buy", "size": event.qty}
            | {"price": event.price, "time": time_text(trade.ts_ns)}
        )
    headers = {"CB-BEFORE": str(page[-1].number), "CB-AFTER": str(page[0].number)} if page else {}
    return RestReply(body=orjson.dumps(rows), headers=headers, events=tuple(events))


def candles(request: RestRequest, venue: Venue, market: Market) -> RestReply:
    """`[time_s, low, high, open, close, volume]`, JSON numbers, newest first; empty buckets are left out."""
    granularity = _integer(request, "granularity", 60)
    if granularity not in GRANULARITIES_S:
        raise Refused("Unsupported granularity")
    now_s = venue.now_ns() // NS_PER_S
    end_s = _seconds(request, "end", now_s)
    start_s = _seconds(request, "start", end_s - MAX_CANDLES * granularity)
    if end_s - start_s > MAX_CANDLES * granularity:
        raise Refused("granularity too small for the requested time range. Count of aggregations requested exceeds 300")
    rows, events = [], []
    for candle in market.candles(granularity, start_s * NS_PER_S, end_s * NS_PER_S + 1, MAX_CANDLES):
        if not candle.trades:
            continue
        low, high, first, last = map(market.price_text, (candle.low, candle.high, candle.open, candle.close))
        volume = market.qty_text(candle.volume)
        rows.append(b"[%d,%b]" % (candle.open_ns // NS_PER_S, ",".join((low, high, first, last, volume)).encode()))
        events.append(
            Kline(
                exchange=EXCHANGE,
                market_type=_SPOT,
                instrument=market.listing.instrument,
                ts_event_ns=None,
                ts_recv_ns=request.now_ns,
                open_ns=candle.open_ns,
                interval_s=granularity,
                open=first,
                high=high,
                low=low,
                close=last,
                volume=volume,
                trades=None,
                is_closed=(candle.open_ns // NS_PER_S + granularity + SETTLED_AFTER_S) * NS_PER_S <= request.now_ns,
            )
        )
    return RestReply(body=b"[" + b",".join(reversed(rows)) + b"]", events=tuple(reversed(events)))


_PLAIN: dict[str, Callable[[RestRequest, Venue], RestReply]] = {"/products": products, "/time": server_time}
_OF_PRODUCT: dict[str, Callable[[RestRequest, Venue, Market], RestReply]] = {
    "": product,
    "/book": book,
    "/trades": trades,
    "/candles": candles,
}
_PRODUCT_PATH = re.compile(r"/products/([^/]+)(/\w+)?")


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    try:
        if route := _PLAIN.get(request.path):
            return route(request, venue)
        found = _PRODUCT_PATH.fullmatch(request.path)
        route_of_product = _OF_PRODUCT.get(found[2] or "") if found else None
        if found is None or route_of_product is None:
            raise Refused("Route not found", 404)
        market = venue.markets.get(found[1])
        if market is None:
            raise Refused("NotFound", 404)
        return route_of_product(request, venue, market)
    except Refused as refused:
        return refused.reply()


def refusal(status: int, retry_after_s: int) -> RestReply:
    text = "Public rate limit exceeded" if status in (418, 429) else "Internal server error"
    return Refused(text, status).reply()
