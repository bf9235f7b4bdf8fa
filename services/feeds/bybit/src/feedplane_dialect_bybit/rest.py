"""REST answers of v5: always an envelope, refusals too, and HTTP 200."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, Venue
from feedplane_core.events import FundingRate, MarketEvent
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S, MarketType

from .channel import EXCHANGE, INTERVALS_S, ms, trade_event
from .derivatives import kline_event, ticker_fields, volumes
from .listing import CATEGORIES, FUNDING_MINUTES, LINEAR, SPOT, category_of, info_row, status_name, world_name

REST_WEIGHT = 600
REST_WINDOW_NS = 5 * NS_PER_S
_MAX_TRADES = {SPOT: 60}
_DEFAULT_TRADES = {SPOT: 60}


class Refused(Exception):
    """A request that is answered with a code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _body(result: object, now_ms: int, code: int = 0, text: str = "OK") -> bytes:
    return orjson.dumps({"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": now_ms})


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused(10001, f"params error: {key} invalid")
    return int(text)


def _category(request: RestRequest) -> str:
    category = request.query.get("category", "")
    if category not in CATEGORIES:
        raise Refused(10001, "Illegal category")
    return category


def _market(request: RestRequest, venue: Venue) -> Market:
    market = venue.markets.get(world_name(_category(request), request.query.get("symbol", "")))
    if market is None or market.status is InstrumentStatus.DELISTED:
        raise Refused(10001, "params error: symbol invalid")
    return market


Answered = tuple[object, Sequence[MarketEvent]]


def instruments(request: RestRequest, venue: Venue) -> Answered:
    """By category and status, `Trading` by default; pages of `limit`, told apart by the place of their first row."""
    category, status = _category(request), request.query.get("status", "Trading")
    found = [m for m in venue.markets.values() if category_of(m) == category and status_name(m) == status]
    if category == SPOT:
        return {"category": category, "list": [info_row(market) for market in found]}, ()
    first, limit = _integer(request, "cursor", 0), _integer(request, "limit", 500)
    if not 1 <= limit <= 1000:
        raise Refused(10001, "params error: limit invalid")
    cursor = str(first + limit) if len(found) > first + limit else ""
    rows = [info_row(market) for market in found[first : first + limit]]
    return {"category": category, "list": rows, "nextPageCursor": cursor}, ()


def recent_trades(request: RestRequest, venue: Venue) -> Answered:
    """The newest, newest first; no window and no pages."""
    market = _market(request, venue)
    category = category_of(market)
    limit = min(_integer(request, "limit", _DEFAULT_TRADES.get(category, 500)), _MAX_TRADES.get(category, 1000))
    newest = 0 if market.last_trade is None else market.last_trade.number
    trades = market.trades(newest - limit + 1, limit)[-limit:]
    events = [trade_event(market, trade, request.now_ns) for trade in trades]
    rows = [
        {
            "execId": event.trade_id,
            "symbol": event.instrument,
            "price": event.price,
            "size": market.qty_text(trade.qty),
            "side": "Buy" if trade.is_buy else "Sell",
            "time": str(ms(trade.ts_ns)),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(trade.seq),
        }
        for event, trade in zip(events, trades, strict=True)
    ]
    return {"category": category, "list": rows[::-1]}, events


def klines(request: RestRequest, venue: Venue) -> Answered:
    """Newest first, the open one on top."""
    market = _market(request, venue)
    interval_s = INTERVALS_S.get(request.query.get("interval", ""))
    if interval_s is None:
        raise Refused(10001, "Invalid period!")
    start_ns = _integer(request, "start", 0) * NS_PER_MS
    end_ns = (_integer(request, "end", 1 << 42) + 1) * NS_PER_MS
    limit = min(_integer(request, "limit", 200), 1000)
    rows, events = [], []
    for candle in market.candles(interval_s, start_ns, end_ns, limit):
        close_ns = candle.open_ns + interval_s * NS_PER_S - NS_PER_MS
        event = kline_event(market, candle, close_ns, request.now_ns)  # a row has no push time
        events.append(event)
        prices = (event.open, event.high, event.low, event.close)
        rows.append([str(ms(candle.open_ns)), *prices, *volumes(market, candle)])
    result = {"symbol": market.listing.instrument, "category": category_of(market), "list": rows[::-1]}
    return result, events


def order_book(request: RestRequest, venue: Venue) -> Answered:
    """An audit of the 1000-level stream. Nobody asks for books by REST, so it means no event."""
    market = _market(request, venue)
    limit = min(_integer(request, "limit", 1 if category_of(market) == SPOT else 25), 1000)
    bids, asks = market.levels_text(market.bids(limit)), market.levels_text(market.asks(limit))
    now_ms = ms(venue.now_ns())
    result = {"s": market.listing.instrument, "b": bids, "a": asks, "ts": now_ms, "u": market.seq, "seq": market.seq}
    return result | {"cts": now_ms}, ()


def tickers(request: RestRequest, venue: Venue) -> Answered:
    category, symbol = _category(request), request.query.get("symbol")
    chosen = [_market(request, venue)] if symbol else [m for m in venue.markets.values() if category_of(m) == category]
    fields = [{} if category == SPOT else ticker_fields(market) for market in chosen]
    rows = [{"symbol": m.listing.instrument} | told for m, told in zip(chosen, fields, strict=True)]
    return {"category": category, "list": rows}, ()


def funding_history(request: RestRequest, venue: Venue) -> Answered:
    """Past rates, newest first; the simulation has had the present one for ever. `startTime` alone is an error."""
    market = _market(request, venue)
    if market.listing.market_type not in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE):
        raise Refused(10001, "params error: symbol invalid")
    if "startTime" in request.query and "endTime" not in request.query:
        raise Refused(10001, "params error: endTime is required")
    span_ms, now_ms = FUNDING_MINUTES * 60_000, ms(venue.now_ns())
    last_ms = min(_integer(request, "endTime", now_ms), now_ms) // span_ms * span_ms
    first_ms = _integer(request, "startTime", 0)
    limit = min(_integer(request, "limit", 200), 200)
    times = [t for t in (last_ms - n * span_ms for n in range(limit)) if t >= first_ms]
    rate, symbol = market.mark_text(market.funding), market.listing.instrument
    rows = [{"symbol": symbol, "fundingRate": rate, "fundingRateTimestamp": str(t)} for t in times]
    events = [
        FundingRate(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=symbol,
            ts_event_ns=t * NS_PER_MS,
            ts_recv_ns=request.now_ns,
            rate=rate,
            interval_s=FUNDING_MINUTES * 60,
            next_funding_ns=None,
        )
        for t in reversed(times)
    ]
    return {"category": category_of(market), "list": rows}, events


def open_interest(request: RestRequest, venue: Venue) -> Answered:
    market = _market(request, venue)
    row = {"openInterest": market.qty_text(2 * market.open_interest), "timestamp": str(ms(venue.now_ns()))}
    return {
        "symbol": market.listing.instrument,
        "category": request.query.get("category", LINEAR),
        "list": [row],
        "nextPageCursor": "",
    }, ()


def server_time(request: RestRequest, venue: Venue) -> Answered:
    now_ns = venue.now_ns()
    return {"timeSecond": str(now_ns // NS_PER_S), "timeNano": str(now_ns)}, ()


_ROUTES: dict[str, Callable[[RestRequest, Venue], Answered]] = {
    "/v5/market/time": server_time,
    "/v5/market/instruments-info": instruments,
    "/v5/market/recent-trade": recent_trades,
    "/v5/market/kline": klines,
    "/v5/market/orderbook": order_book,
    "/v5/market/tickers": tickers,
    "/v5/market/funding/history": funding_history,
    "/v5/market/open-interest": open_interest,
}


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    route, now_ms = _ROUTES.get(request.path), ms(venue.now_ns())
    if route is None or request.method != "GET":
        return RestReply(status=404, body=b"")
    try:
        result, events = route(request, venue)
    except Refused as refused:
        return RestReply(body=_body({}, now_ms, refused.code, refused.text))
    return RestReply(body=_body(result, now_ms), events=tuple(events))


def refusal(status: int, retry_after_s: int) -> RestReply:
    """Over the limit of the address the venue says 403; 429 protects the system, and a server error has a code of its own."""
    if status in (403, 418, 429):
        return RestReply(status=status, body=_body({}, 0, 10006, "Too many visits!"))
    return RestReply(status=status, body=_body({}, 0, 10016, "Server error."))
