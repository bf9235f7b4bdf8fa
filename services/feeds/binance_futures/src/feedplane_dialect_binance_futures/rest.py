"""REST answers of fapi."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, Venue
from feedplane_core.events import BookSnapshot, Event, OpenInterest, Trade
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, Aggressor, MarketType

from .channel import EXCHANGE, FUNDING_INTERVAL_S, INTERVALS_S, ms
from .derivatives import kline_event
from .listing import exchange_info_row

_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_MAX_TRADES = 1000
_MAX_KLINES = 1500
_LINEAR = MarketType.PERP_LINEAR
REST_WEIGHT = 2400


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


def _market(request: RestRequest, venue: Venue) -> Market:
    symbol = request.query.get("symbol")
    if not symbol:
        raise Refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    market = venue.markets.get(symbol)
    if market is None or market.status is InstrumentStatus.DELISTED:
        raise Refused(-1121, "Invalid symbol.")
    return market


def _json(body: object, weight: int = 1, events: tuple[Event, ...] = ()) -> RestReply:
    return RestReply(body=orjson.dumps(body), weight=weight, events=events)  # type: ignore[arg-type]


def exchange_info(request: RestRequest, venue: Venue) -> RestReply:
    body = {
        "timezone": "UTC",
        "serverTime": ms(venue.now_ns()),
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": REST_WEIGHT}
        ],
        "exchangeFilters": [],
        "symbols": [exchange_info_row(market) for market in venue.markets.values()],
    }
    return _json(body)


def depth(request: RestRequest, venue: Venue) -> RestReply:
    """The book as it stands: `lastUpdateId` may lie inside the next diff (`U <= lastUpdateId <= u`)."""
    market = _market(request, venue)
    limit = _integer(request, "limit", 500)
    if limit not in _DEPTH_WEIGHTS:
        raise Refused(-4021, "Parameter 'limit' is not valid for depth.")
    bids, asks = market.levels_text(market.bids(limit)), market.levels_text(market.asks(limit))
    now_ms = ms(venue.now_ns())
    body = {"lastUpdateId": market.seq, "E": now_ms + 1, "T": now_ms, "bids": bids, "asks": asks}
    event = BookSnapshot(
        exchange=EXCHANGE,
        market_type=_LINEAR,
        instrument=market.listing.instrument,
        ts_event_ns=now_ms * NS_PER_MS,
        ts_recv_ns=request.now_ns,
        bids=bids,
        asks=asks,
        last_seq=market.seq,
        depth=limit,
    )
    return _json(body, _DEPTH_WEIGHTS[limit], (event,))


def agg_trades(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    limit = _integer(request, "limit", 500)
    if limit > _MAX_TRADES:
        raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
    trades = market.trades(_integer(request, "fromId", 0), 1 << 30)
    if "startTime" in request.query or "endTime" in request.query:
        start_ms, end_ms = _integer(request, "startTime", 0), _integer(request, "endTime", 1 << 62)
        trades = [t for t in trades if start_ms <= ms(t.ts_ns) <= end_ms][:limit]
    else:
        trades = trades[:limit] if "fromId" in request.query else trades[-limit:]
    rows, events = [], []
    for trade in trades:
        price, qty, done_ms = market.price_text(trade.price), market.qty_text(trade.qty), ms(trade.ts_ns)
        rows.append(
            {"a": trade.number, "p": price, "q": qty, "nq": qty, "f": 3 * trade.number - 2, "l": 3 * trade.number}
            | {"T": done_ms, "m": not trade.is_buy}
        )
        events.append(
            Trade(
                exchange=EXCHANGE,
                market_type=_LINEAR,
                instrument=trade.instrument,
                ts_event_ns=done_ms * NS_PER_MS,
                ts_recv_ns=request.now_ns,
                trade_id=str(trade.number),
                price=price,
                qty=qty,
                aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
            )
        )
    return _json(rows, 20, tuple(events))


def klines(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    interval_s = INTERVALS_S.get(request.query.get("interval", ""))
    if interval_s is None:
        raise Refused(-1120, "Invalid interval.")
    limit = _integer(request, "limit", 500)
    if limit > _MAX_KLINES:
        raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
    start_ns = _integer(request, "startTime", 0) * NS_PER_MS
    end_ns = _integer(request, "endTime", 1 << 40) * NS_PER_MS + 1
    rows, events = [], []
    for candle in market.candles(interval_s, start_ns, end_ns, limit):
        open_ms = ms(candle.open_ns)
        close_ms = open_ms + interval_s * 1000 - 1
        event = kline_event(market, candle, close_ms * NS_PER_MS, request.now_ns)  # a row has no push time
        events.append(event)
        prices = (event.open, event.high, event.low, event.close, event.volume)
        turnover, taker = market.turnover_text(candle.turnover), market.qty_text(candle.taker_buy_volume)
        taker_turnover = market.turnover_text(candle.taker_buy_turnover)
        rows.append([open_ms, *prices, close_ms, turnover, candle.trades, taker, taker_turnover, "0"])
    return _json(rows, 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10, tuple(events))


def open_interest(request: RestRequest, venue: Venue) -> RestReply:
    market, now_ms = _market(request, venue), ms(venue.now_ns())
    amount = market.qty_text(market.open_interest)
    event = OpenInterest(
        exchange=EXCHANGE,
        market_type=_LINEAR,
        instrument=market.listing.instrument,
        ts_event_ns=now_ms * NS_PER_MS,
        ts_recv_ns=request.now_ns,
        open_interest=amount,
    )
    return _json({"openInterest": amount, "symbol": market.listing.instrument, "time": now_ms}, 1, (event,))


def _premium_row(market: Market, now_ms: int) -> dict[str, object]:
    return {
        "symbol": market.listing.instrument,
        "markPrice": market.mark_text(market.mark),
        "indexPrice": market.mark_text(market.index),
        "estimatedSettlePrice": market.mark_text(market.index),
        "lastFundingRate": market.mark_text(market.funding),
        "interestRate": "0.00010000",
        "nextFundingTime": ms(market.next_funding_ns),
        "time": now_ms,
    }


def premium_index(request: RestRequest, venue: Venue) -> RestReply:
    now_ms = ms(venue.now_ns())
    if "symbol" in request.query:
        return _json(_premium_row(_market(request, venue), now_ms))
    return _json([_premium_row(market, now_ms) for market in venue.markets.values()], 10)


def funding_rate(request: RestRequest, venue: Venue) -> RestReply:
    """Past rates, one per interval, oldest first; the simulation has had the present one for ever."""
    market = _market(request, venue)
    span_ms = FUNDING_INTERVAL_S * 1000
    now_ms = ms(venue.now_ns())
    end_ms = min(_integer(request, "endTime", now_ms), now_ms)
    start_ms = _integer(request, "startTime", end_ms - 100 * span_ms)
    times = list(range(-(-start_ms // span_ms) * span_ms, end_ms + 1, span_ms))[: _integer(request, "limit", 100)]
    rate, mark = market.mark_text(market.funding), market.mark_text(market.mark)
    symbol = market.listing.instrument
    return _json([{"symbol": symbol, "fundingTime": t, "fundingRate": rate, "markPrice": mark} for t in times])


def book_ticker(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    ((bid, bid_qty),) = market.levels_text(market.bids(1))
    ((ask, ask_qty),) = market.levels_text(market.asks(1))
    body = {"symbol": market.listing.instrument, "bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}
    return _json(body | {"time": ms(venue.now_ns())}, 2)


_ROUTES: dict[str, Callable[[RestRequest, Venue], RestReply]] = {
    "/fapi/v1/ping": lambda request, venue: _json({}),
    "/fapi/v1/time": lambda request, venue: _json({"serverTime": ms(venue.now_ns())}),
    "/fapi/v1/exchangeInfo": exchange_info,
    "/fapi/v1/depth": depth,
    "/fapi/v1/aggTrades": agg_trades,
    "/fapi/v1/klines": klines,
    "/fapi/v1/openInterest": open_interest,
    "/fapi/v1/premiumIndex": premium_index,
    "/fapi/v1/fundingRate": funding_rate,
    "/fapi/v1/fundingInfo": lambda request, venue: _json([]),
    "/fapi/v1/ticker/bookTicker": book_ticker,
}


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    route = _ROUTES.get(request.path)
    if route is None or request.method != "GET":
        return RestReply(status=404, body=b'{"code":-5000,"msg":"Path not found."}')
    try:
        return route(request, venue)
    except Refused as refused:
        return refused.reply()


def refusal(status: int, retry_after_s: int) -> RestReply:
    if status in (418, 429):
        text = "Too many requests; current limit is 2400 requests per minute."
        return Refused(-1003, text if status == 429 else "Way too many requests; IP banned.", status).reply()
    return Refused(-1000, "An unknown error occurred while processing the request.", status).reply()
