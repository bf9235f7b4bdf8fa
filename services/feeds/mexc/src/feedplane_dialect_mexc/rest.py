"""REST answers of both markets: spot bare and with HTTP errors, futures in an envelope that refuses with HTTP 200."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, Venue
from feedplane_core.events import BookSnapshot, Kline, MarketEvent, Trade
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .channel import INTERVALS_S, funding_event, kline_event, ms, trade_event
from .futures import deal_row, level_rows, levels_in_base
from .listing import EXCHANGE, FUNDING_HOURS, contract_row, is_contract, spot_row
from .wire import number

REST_WEIGHT = 500
REST_WINDOW_NS = 10 * NS_PER_S
_CONTRACT = "/api/v1/contract/"
_SPOT_INTERVALS = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "60m": 3600,
    "4h": 14400,
    "1d": 86400,
    "1W": 604800,
}
_CLOSED_FOR_NS = 2 * NS_PER_S
_MAX_INT_CHARS = 15

Answered = tuple[object, Sequence[MarketEvent]]


class Refused(Exception):
    """A request that is answered with a code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > _MAX_INT_CHARS:
        raise Refused(-1121 if is_spot(request) else 600, f"{key} invalid")
    return int(text)


def is_spot(request: RestRequest) -> bool:
    return not request.path.startswith(_CONTRACT)


def _spot_market(request: RestRequest, venue: Venue) -> Market:
    symbol = request.query.get("symbol", "")
    market = None if is_contract(symbol) else venue.markets.get(symbol)
    if market is None or market.status is InstrumentStatus.DELISTED:
        raise Refused(-1121, "Invalid symbol.")
    return market


def _contract(symbol: str, venue: Venue) -> Market:
    market = venue.markets.get(symbol) if is_contract(symbol) else None
    if market is None or market.status is InstrumentStatus.DELISTED:
        raise Refused(1001, "Contract does not exist")
    return market


def exchange_info(request: RestRequest, venue: Venue) -> Answered:
    rows = [spot_row(m) for name, m in venue.markets.items() if not is_contract(name)]
    return {"timezone": "CST", "serverTime": ms(venue.now_ns()), "rateLimits": [], "symbols": rows}, ()


def detail(request: RestRequest, venue: Venue) -> Answered:
    """Contracts that were taken off have vanished from the list."""
    markets = [m for name, m in venue.markets.items() if is_contract(name)]
    return [contract_row(m) for m in markets if m.status is not InstrumentStatus.DELISTED], ()


def funding_rates(request: RestRequest, venue: Venue) -> Answered:
    rows = []
    for name, market in venue.markets.items():
        if is_contract(name):
            row = {
                "symbol": name,
                "fundingRate": number(market.mark_text(market.funding)),
                "collectCycle": FUNDING_HOURS,
            }
            row |= {"nextSettleTime": ms(market.next_funding_ns), "timestamp": ms(venue.now_ns())}
            prices = {"idxPrice": market.mark_text(market.index), "fairPrice": market.mark_text(market.mark)}
            rows.append(row | {key: number(text) for key, text in prices.items()})
    return rows, ()


def spot_depth(request: RestRequest, venue: Venue) -> Answered:
    market = _spot_market(request, venue)
    limit = min(_integer(request, "limit", 100), 5_000)
    bids, asks = market.levels_text(market.bids(limit)), market.levels_text(market.asks(limit))
    now_ms = ms(venue.now_ns())
    body = {"lastUpdateId": market.seq, "bids": bids, "asks": asks, "timestamp": now_ms}
    return body, (_book(market, now_ms, request.now_ns, bids, asks, limit),)


def contract_depth(request: RestRequest, venue: Venue, symbol: str) -> Answered:
    market = _contract(symbol, venue)
    limit = _integer(request, "limit", 1_500)
    bids, asks = market.bids(limit), market.asks(limit)
    now_ms = ms(venue.now_ns())
    data = {"asks": level_rows(market, asks), "bids": level_rows(market, bids)}
    data_head = {"version": market.seq, "timestamp": now_ms}
    levels = levels_in_base(market, bids), levels_in_base(market, asks)
    return data | data_head, (_book(market, now_ms, request.now_ns, *levels, limit),)


def _book(
    market: Market, at_ms: int, now_ns: int, bids: list[list[str]], asks: list[list[str]], limit: int
) -> BookSnapshot:
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=at_ms * NS_PER_MS,
        ts_recv_ns=now_ns,
        bids=bids,
        asks=asks,
        last_seq=market.seq,
        depth=limit,
    )


def _newest(market: Market, limit: int, now_ns: int, *, has_id: bool) -> list[tuple[object, Trade]]:
    newest = 0 if market.last_trade is None else market.last_trade.number
    done = market.trades(newest - limit + 1, limit)[-limit:]
    return [(trade, trade_event(market, trade, now_ns, has_id=has_id)) for trade in reversed(done)]


def spot_trades(request: RestRequest, venue: Venue) -> Answered:
    """The newest first; `id` is null, so no trade of a page is known for one of the stream: it means no event of its own."""
    market = _spot_market(request, venue)
    rows = []
    for _, event in _newest(market, min(_integer(request, "limit", 500), 1_000), request.now_ns, has_id=False):
        is_buy = event.aggressor == "buy"
        row: dict[str, object] = {"id": None, "price": event.price, "qty": event.qty, "quoteQty": "0"}
        row |= {"time": ms(event.ts_event_ns or 0), "isBuyerMaker": not is_buy, "isBestMatch": True}
        rows.append(row | {"tradeType": "BID" if is_buy else "ASK"})
    return rows, ()


def deals(request: RestRequest, venue: Venue, symbol: str) -> Answered:
    market = _contract(symbol, venue)
    limit = min(_integer(request, "limit", 100), 100)
    newest = 0 if market.last_trade is None else market.last_trade.number
    done = market.trades(newest - limit + 1, limit)[-limit:]
    events = [trade_event(market, trade, request.now_ns) for trade in done]
    rows = [deal_row(market, trade, event.trade_id) for trade, event in zip(done, events, strict=True)]
    return rows[::-1], events


def _candles(
    request: RestRequest, market: Market, interval_s: int, start_ns: int, end_ns: int, limit: int
) -> list[Kline]:
    found = []
    for candle in market.candles(interval_s, start_ns, end_ns, limit):
        close_ns = candle.open_ns + interval_s * NS_PER_S - NS_PER_MS  # a row has no push time
        is_closed = close_ns + _CLOSED_FOR_NS < request.now_ns
        found.append(kline_event(market, candle, close_ns, request.now_ns, is_closed=is_closed))
    return found


def spot_klines(request: RestRequest, venue: Venue) -> Answered:
    market = _spot_market(request, venue)
    interval_s = _SPOT_INTERVALS.get(request.query.get("interval", ""))
    if interval_s is None:
        raise Refused(-1121, "Invalid interval.")
    start_ns = _integer(request, "startTime", 0) * NS_PER_MS
    end_ns = (_integer(request, "endTime", 1 << 42) + 1) * NS_PER_MS
    events = _candles(request, market, interval_s, start_ns, end_ns, min(_integer(request, "limit", 500), 1_000))
    rows = [
        [ms(e.open_ns), e.open, e.high, e.low, e.close, e.volume, ms(e.open_ns) + interval_s * 1_000, "0"]
        for e in events
    ]
    return rows, events


def contract_klines(request: RestRequest, venue: Venue, symbol: str) -> Answered:
    """Columns; seconds; contracts."""
    market = _contract(symbol, venue)
    interval_s = INTERVALS_S.get(request.query.get("interval", ""))
    if interval_s is None:
        raise Refused(600, "Parameter error")
    start_ns = _integer(request, "start", 0) * NS_PER_S
    end_ns = (_integer(request, "end", 1 << 32) + 1) * NS_PER_S
    candles = market.candles(interval_s, start_ns, end_ns, 2_000)
    events = _candles(request, market, interval_s, start_ns, end_ns, 2_000)
    data: dict[str, object] = {"time": [c.open_ns // NS_PER_S for c in candles]}
    for key in ("open", "close", "high", "low"):
        data[key] = [number(getattr(event, key)) for event in events]
    return data | {"vol": [number(market.qty_text(c.volume)) for c in candles], "amount": [0] * len(candles)}, events


def funding_history(request: RestRequest, venue: Venue) -> Answered:
    """Past rates, newest first; the simulation has had the present one for a while."""
    market = _contract(request.query.get("symbol", ""), venue)
    page, size = _integer(request, "page_num", 1), min(_integer(request, "page_size", 20), 1_000)
    span_ms, total = FUNDING_HOURS * 3_600_000, 1_500
    last_ms = ms(venue.now_ns()) // span_ms * span_ms
    times = [last_ms - n * span_ms for n in range(total)][(page - 1) * size : page * size]
    rate = number(market.mark_text(market.funding))
    rows = [
        {"symbol": market.listing.instrument, "fundingRate": rate, "settleTime": t, "collectCycle": FUNDING_HOURS}
        for t in times
    ]
    events = [funding_event(market, t, request.now_ns, is_charged=True) for t in reversed(times)]
    pages = {"pageSize": size, "totalCount": total, "totalPage": -(-total // size), "currentPage": page}
    return pages | {"resultList": rows}, events


def server_time(request: RestRequest, venue: Venue) -> Answered:
    return {"serverTime": ms(venue.now_ns())}, ()


def ping(request: RestRequest, venue: Venue) -> Answered:
    return ms(venue.now_ns()), ()


_ROUTES: dict[str, tuple[Callable[[RestRequest, Venue], Answered], int]] = {
    "/api/v3/exchangeInfo": (exchange_info, 10),
    "/api/v3/depth": (spot_depth, 1),
    "/api/v3/trades": (spot_trades, 5),
    "/api/v3/klines": (spot_klines, 1),
    "/api/v3/time": (server_time, 1),
    f"{_CONTRACT}detail": (detail, 10),
    f"{_CONTRACT}funding_rate": (funding_rates, 5),
    f"{_CONTRACT}funding_rate/history": (funding_history, 5),
    f"{_CONTRACT}ping": (ping, 5),
}
_CONTRACT_ROUTES: dict[str, tuple[Callable[[RestRequest, Venue, str], Answered], int]] = {
    "depth": (contract_depth, 10),
    "deals": (deals, 5),
    "kline": (contract_klines, 5),
}
"""By the part of the path before the contract's name; weights are such that 500 in 10 s keep to each path's own limit."""


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    try:
        found = _ROUTES.get(request.path)
        if found is not None:
            route, weight = found
            body, events = route(request, venue)
        else:
            name, _, symbol = request.path.removeprefix(_CONTRACT).partition("/")
            one = None if is_spot(request) else _CONTRACT_ROUTES.get(name)
            if one is None or not symbol:
                return RestReply(status=404, body=b"")
            contract_route, weight = one
            body, events = contract_route(request, venue, symbol)
    except Refused as refused:
        if is_spot(request):
            return RestReply(status=400, body=orjson.dumps({"code": refused.code, "msg": refused.text}))
        return RestReply(body=orjson.dumps({"success": False, "code": refused.code, "message": refused.text}))
    if not is_spot(request):
        body = {"success": True, "code": 0, "data": body}
    return RestReply(body=orjson.dumps(body), events=tuple(events), weight=weight)


def refusal(status: int, retry_after_s: int) -> RestReply:
    text = "Too many requests" if status in (418, 429) else "Service unavailable"
    return RestReply(status=status, body=orjson.dumps({"code": status, "msg": text}))
