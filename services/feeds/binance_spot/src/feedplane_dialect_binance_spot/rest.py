"""REST answers of `/api/v3`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, TradeDone, Venue
from feedplane_core.events import BookSnapshot, MarketEvent
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, MarketType

from .listing import exchange_info_row
from .streams import AGGREGATE_ID_OFFSET, EXCHANGE, INTERVALS_S, kline_event, trade_event

REST_WEIGHT = 6000
_MAX_DEPTH = 5000
_MAX_ROWS = 1000


class Refused(Exception):
    """A request that is answered with Binance's error body."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status

    def reply(self) -> RestReply:
        return RestReply(status=self.status, body=orjson.dumps({"code": self.code, "msg": self.text}))


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused(-1102, f"Mandatory parameter '{key}' was not sent, was empty/null, or malformed.")
    return int(text)


def _limit(request: RestRequest, default: int, most: int) -> int:
    return min(max(1, _integer(request, "limit", default)), most)


def _market(request: RestRequest, venue: Venue) -> Market:
    symbol = request.query.get("symbol")
    if not symbol:
        raise Refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    market = venue.markets.get(symbol)
    if market is None or market.status is InstrumentStatus.DELISTED:
        raise Refused(-1121, "Invalid symbol.")
    return market


def _json(body: object, weight: int = 1, events: Sequence[MarketEvent] = ()) -> RestReply:
    return RestReply(body=orjson.dumps(body), weight=weight, events=tuple(events))


def exchange_info(request: RestRequest, venue: Venue) -> RestReply:
    """All symbols, or the one asked for."""
    markets = [_market(request, venue)] if "symbol" in request.query else list(venue.markets.values())
    body = {
        "timezone": "UTC",
        "serverTime": venue.now_ns() // NS_PER_MS,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": REST_WEIGHT}
        ],
        "exchangeFilters": [],
        "symbols": [exchange_info_row(market) for market in markets],
    }
    return _json(body, 20)


def depth(request: RestRequest, venue: Venue) -> RestReply:
    """The book as it stands; it has no time."""
    market, limit = _market(request, venue), _limit(request, 100, _MAX_DEPTH)
    bids, asks = market.levels_text(market.bids(limit)), market.levels_text(market.asks(limit))
    event = BookSnapshot(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=market.listing.instrument,
        ts_event_ns=None,
        ts_recv_ns=request.now_ns,
        bids=bids,
        asks=asks,
        last_seq=market.seq,
        depth=limit,
    )
    weight = 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
    return _json({"lastUpdateId": market.seq, "bids": bids, "asks": asks}, weight, (event,))


def _page(request: RestRequest, market: Market, offset: int) -> list[TradeDone]:
    """Trades from an id on, of a span of time, or the newest."""
    limit = _limit(request, 500, _MAX_ROWS)
    if "fromId" in request.query:
        return market.trades(_integer(request, "fromId", 0) + offset, limit)
    known = market.trades(0, 1 << 30)
    if "startTime" in request.query or "endTime" in request.query:
        start_ns = _integer(request, "startTime", 0) * NS_PER_MS
        end_ns = _integer(request, "endTime", 1 << 50) * NS_PER_MS
        return [t for t in known if start_ns <= t.ts_ns // NS_PER_MS * NS_PER_MS <= end_ns][:limit]
    return known[-limit:]


def trades(request: RestRequest, venue: Venue) -> RestReply:
    """`trades` and `historicalTrades`."""
    market = _market(request, venue)
    rows, events = [], []
    for trade in _page(request, market, 0):
        at = trade.ts_ns // NS_PER_MS
        event = trade_event(market, trade, trade.number, at, NS_PER_MS, request.now_ns)
        quote_qty = market.turnover_text(trade.price * trade.qty)
        rows.append(
            {"id": trade.number, "price": event.price, "qty": event.qty, "quoteQty": quote_qty, "time": at}
            | {"isBuyerMaker": not trade.is_buy, "isBestMatch": True}
        )
        events.append(event)
    return _json(rows, 25, events)


def agg_trades(request: RestRequest, venue: Venue) -> RestReply:
    """Aggregates, which here hold one trade each."""
    market = _market(request, venue)
    rows, events = [], []
    for trade in _page(request, market, AGGREGATE_ID_OFFSET):
        at, trade_id = trade.ts_ns // NS_PER_MS, trade.number - AGGREGATE_ID_OFFSET
        event = trade_event(market, trade, trade_id, at, NS_PER_MS, request.now_ns)
        rows.append(
            {"a": trade_id, "p": event.price, "q": event.qty, "f": trade.number, "l": trade.number, "T": at}
            | {"m": not trade.is_buy, "M": True}
        )
        events.append(event)
    return _json(rows, 4, events)


def klines(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    interval_s = INTERVALS_S.get(request.query.get("interval", ""))
    if interval_s is None:
        raise Refused(-1120, "Invalid interval.")
    start_ns = _integer(request, "startTime", 0) * NS_PER_MS
    end_ns = _integer(request, "endTime", 1 << 50) * NS_PER_MS + 1
    rows, events = [], []
    for candle in market.candles(interval_s, start_ns, end_ns, _limit(request, 500, _MAX_ROWS)):
        event = kline_event(market, candle, None, request.now_ns)
        events.append(event)
        open_ms = candle.open_ns // NS_PER_MS
        prices = (event.open, event.high, event.low, event.close, event.volume)
        turnover, taker = market.turnover_text(candle.turnover), market.qty_text(candle.taker_buy_volume)
        taker_turnover = market.turnover_text(candle.taker_buy_turnover)
        rows.append(
            [open_ms, *prices, open_ms + interval_s * 1000 - 1, turnover, candle.trades, taker, taker_turnover, "0"]
        )
    return _json(rows, 2, events)


def book_ticker(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    ((bid, bid_qty),) = market.levels_text(market.bids(1))
    ((ask, ask_qty),) = market.levels_text(market.asks(1))
    symbol = market.listing.instrument
    return _json({"symbol": symbol, "bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}, 2)


_ROUTES: dict[str, Callable[[RestRequest, Venue], RestReply]] = {
    "/api/v3/ping": lambda request, venue: _json({}),
    "/api/v3/time": lambda request, venue: _json({"serverTime": venue.now_ns() // NS_PER_MS}),
    "/api/v3/exchangeInfo": exchange_info,
    "/api/v3/depth": depth,
    "/api/v3/trades": trades,
    "/api/v3/historicalTrades": trades,
    "/api/v3/aggTrades": agg_trades,
    "/api/v3/klines": klines,
    "/api/v3/ticker/bookTicker": book_ticker,
}


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    route = _ROUTES.get(request.path)
    if route is None or request.method != "GET":
        return RestReply(status=404, body=b"<html><body><h2>404 Not found</h2></body></html>", content_type="text/html")
    try:
        return route(request, venue)
    except Refused as refused:
        return refused.reply()


def refusal(status: int, retry_after_s: int) -> RestReply:
    if status == 429:
        text = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use WebSocket Streams for live updates."
        return Refused(-1003, text, status).reply()
    if status == 418:
        return Refused(-1003, "Way too much request weight used; IP banned.", status).reply()
    return Refused(-1000, "An unknown error occurred while processing the request.", status).reply()
