"""REST answers of API v4."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from feedplane_core.dialect import RestReply, RestRequest, TradeDone, Venue
from feedplane_core.events import BookSnapshot, Event, FundingRate
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .channel import INTERVALS_S, Asked, ms
from .listing import EXCHANGE, FUNDING_INTERVAL_S, base_levels, contract_row, pair_row
from .peer import SETTLES, SIZE_HEADER
from .streams import global_id, kline_event, signed, spot_trade_row, trade_event, wire_levels

BASE = "/api/v4"
REST_WEIGHT = 200
_MAX_TRADES = 1000
_MAX_REACH = 100_000
_MAX_KLINES = {True: 1000, False: 2000}
_MAX_BOOK = 1000
_MAX_RATES = 1000


class Refused(Exception):
    """A request that is answered with an error body."""

    def __init__(self, label: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.label, self.text, self.status = label, text, status

    def reply(self) -> RestReply:
        return RestReply(status=self.status, body=orjson.dumps({"label": self.label, "message": self.text}))


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused("INVALID_PARAM_VALUE", f"invalid argument: {key}")
    return int(text)


def _limit(request: RestRequest, default: int, largest: int) -> int:
    limit = _integer(request, "limit", default)
    if not 1 <= limit <= largest:
        raise Refused("INVALID_PARAM_VALUE", "invalid argument: limit")
    return limit


def _asked(request: RestRequest, venue: Venue, where: str) -> Asked:
    key = "currency_pair" if where == "spot" else "contract"
    symbol = request.query.get(key)
    if not symbol:
        raise Refused("MISSING_REQUIRED_PARAM", f"Missing required parameter: {key}")
    market = venue.markets.get(f"{where}/{symbol}")
    if market is None or market.status is InstrumentStatus.DELISTED:
        if where == "spot":
            raise Refused("INVALID_CURRENCY_PAIR", f"Invalid currency pair {symbol}")
        raise Refused("CONTRACT_NOT_FOUND", "contract not found")
    return Asked(venue, market, "", (), request.headers.get(SIZE_HEADER) == "1")


def _json(body: object, *events: Event) -> RestReply:
    return RestReply(body=orjson.dumps(body), events=events)  # type: ignore[arg-type]


def _listing(request: RestRequest, venue: Venue, where: str) -> RestReply:
    row = pair_row if where == "spot" else contract_row
    return _json([row(market) for market in venue.markets.values() if market.listing.extra["market"] == where])


def _book(request: RestRequest, venue: Venue, where: str) -> RestReply:
    """The book as it stands: its `id` may lie inside the next increment. Times of futures are seconds with decimals."""
    asked = _asked(request, venue, where)
    market, limit, now_ms = asked.market, _limit(request, 10, _MAX_BOOK), ms(venue.now_ns())
    bids, asks = market.levels_text(market.bids(limit)), market.levels_text(market.asks(limit))
    clock: object = now_ms if asked.is_spot else orjson.Fragment(f"{now_ms // 1000}.{now_ms % 1000:03d}")
    body: dict[str, object] = {"current": clock, "update": clock}
    if request.query.get("with_id") == "true":
        body["id"] = market.seq
    body |= {"asks": wire_levels(asked, asks), "bids": wire_levels(asked, bids)}
    event = BookSnapshot(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=now_ms * NS_PER_MS,
        ts_recv_ns=request.now_ns,
        bids=base_levels(market, bids),
        asks=base_levels(market, asks),
        last_seq=market.seq,
        depth=limit,
    )
    return _json(body, event)


def _trades(request: RestRequest, venue: Venue, where: str) -> RestReply:
    """Newest first; spot in pages, futures by narrowing `from` and `to`."""
    asked = _asked(request, venue, where)
    market, limit, page = asked.market, _limit(request, 100, _MAX_TRADES), _integer(request, "page", 1)
    if limit * (page - 1) > _MAX_REACH:
        raise Refused("INVALID_PARAM_VALUE", "limit * (page - 1) must not exceed 100000")
    first_ns = _integer(request, "from", 0) * NS_PER_S
    end_ns = (_integer(request, "to", 1 << 33) + 1) * NS_PER_S
    found = [trade for trade in market.trades(0, 1 << 30) if first_ns <= trade.ts_ns < end_ns][::-1]
    skipped = limit * (page - 1) if asked.is_spot else 0
    chosen = found[skipped : skipped + limit]
    rows = [_trade_row(asked, trade) for trade in chosen]
    return _json(rows, *(trade_event(market, trade, request.now_ns) for trade in chosen[::-1]))


def _trade_row(asked: Asked, trade: TradeDone) -> dict[str, object]:
    market, seconds = asked.market, trade.ts_ns // NS_PER_S
    if asked.is_spot:
        row = {"id": str(global_id(trade, market)), "create_time": str(seconds), "sequence_id": str(trade.number)}
        return row | spot_trade_row(market, trade)
    return {
        "id": trade.number,
        "create_time": seconds,
        "create_time_ms": orjson.Fragment(f"{seconds}.{ms(trade.ts_ns) % 1000:03d}"),
        "contract": market.listing.instrument,
        "size": signed(asked, market.qty_text(trade.qty), trade.is_buy),
        "price": market.price_text(trade.price),
    }


def _klines(request: RestRequest, venue: Venue, where: str) -> RestReply:
    asked = _asked(request, venue, where)
    market, interval_s = asked.market, INTERVALS_S.get(request.query.get("interval", "5m"))
    if interval_s is None:
        raise Refused("INVALID_PARAM_VALUE", "invalid argument: interval")
    has_window = "from" in request.query or "to" in request.query
    if has_window and "limit" in request.query:
        raise Refused("INVALID_PARAM_VALUE", "limit conflicts with from and to")
    largest = _MAX_KLINES[asked.is_spot]
    limit = largest if has_window else _limit(request, 100, largest)
    now_s = venue.now_ns() // NS_PER_S
    to_s = _integer(request, "to", now_s)
    from_s = _integer(request, "from", to_s - limit * interval_s + 1)
    if has_window and (to_s - from_s) // interval_s + 1 > largest:
        raise Refused("INVALID_PARAM_VALUE", "Candlestick range too broad")
    rows: list[object] = []
    events = []
    for candle in market.candles(interval_s, from_s * NS_PER_S, to_s * NS_PER_S + 1, limit):
        event = kline_event(market, candle, candle.open_ns + interval_s * NS_PER_S - NS_PER_MS, request.now_ns)
        events.append(event)
        open_s, turnover = candle.open_ns // NS_PER_S, market.turnover_text(candle.turnover)
        volume = market.qty_text(candle.volume)
        if asked.is_spot:
            prices = [event.close, event.high, event.low, event.open]
            rows.append([str(open_s), turnover, *prices, volume, "true" if candle.is_closed else "false"])
        else:
            row = {"t": open_s, "v": asked.size(volume), "c": event.close, "h": event.high, "l": event.low}
            rows.append(row | {"o": event.open, "sum": turnover})
    return _json(rows, *events)


def _rates(request: RestRequest, venue: Venue, where: str) -> RestReply:
    """Past rates, newest first; the simulation has had the present one for ever."""
    market, now_s = _asked(request, venue, where).market, venue.now_ns() // NS_PER_S
    to_s = min(_integer(request, "to", now_s), now_s)
    from_s = _integer(request, "from", max(0, to_s - 100 * FUNDING_INTERVAL_S))
    first_s = -(-from_s // FUNDING_INTERVAL_S) * FUNDING_INTERVAL_S
    times = list(range(first_s, to_s + 1, FUNDING_INTERVAL_S))[::-1][: _limit(request, 100, _MAX_RATES)]
    rate = market.mark_text(market.funding)
    events = [
        FundingRate(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=market.listing.instrument,
            ts_event_ns=at_s * NS_PER_S,
            ts_recv_ns=request.now_ns,
            rate=rate,
            interval_s=FUNDING_INTERVAL_S,
            next_funding_ns=None,
        )
        for at_s in times[::-1]
    ]
    return _json([{"t": at_s, "r": rate} for at_s in times], *events)


_SPOT_ROUTES: dict[str, Callable[[RestRequest, Venue, str], RestReply]] = {
    "currency_pairs": _listing,
    "order_book": _book,
    "trades": _trades,
    "candlesticks": _klines,
}
_FUTURES_ROUTES = {
    "contracts": _listing,
    "order_book": _book,
    "trades": _trades,
    "candlesticks": _klines,
    "funding_rate": _rates,
}


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    where, _, endpoint = request.path.removeprefix(f"{BASE}/").rpartition("/")
    market = where.removeprefix("futures/")
    routes = _SPOT_ROUTES if where == "spot" else _FUTURES_ROUTES if market in SETTLES else {}
    route = routes.get(endpoint)
    if route is None or request.method != "GET" or not request.path.startswith(BASE):
        return RestReply(status=404, body=b'{"label":"NOT_FOUND","message":"Request path not found"}')
    try:
        return route(request, venue, market)
    except Refused as refused:
        return refused.reply()


def refusal(status: int, retry_after_s: int) -> RestReply:
    if status in (418, 429):
        return Refused("TOO_MANY_REQUESTS", "Request Rate limit Exceeded", status).reply()
    return Refused("SERVER_ERROR", "Internal server error", status).reply()
