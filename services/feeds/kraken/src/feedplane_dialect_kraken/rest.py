"""REST answers of both systems. Spot refuses with HTTP 200 and an `error`, futures with `"result":"error"`."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import orjson
from feedplane_core.dialect import CandleMoved, Market, RestReply, RestRequest, TradeDone, Venue
from feedplane_core.events import Event, FundingRate, Kline, Trade
from feedplane_core.names import NS_PER_S, MarketType

from . import futures, spot
from .candles import kline_event
from .listing import asset_pair, contract_object, of_system
from .text import EXCHANGE, is_inverse, is_spot, iso, ms, number, scientific, shortest

REST_WEIGHT, REST_WINDOW_S = 100, 10
_WEIGHT_SPOT, _WEIGHT_FUTURES = 10, 1
SETTLED_AFTER_S = 60
_MAX_TRADES, _MAX_CANDLES, _MAX_CHARTS = 1000, 720, 2000
_RATES_TOLD = 24
RESOLUTIONS_S = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "4h": 14400,
    "12h": 43200,
    "1d": 86400,
    "1w": 604800,
}


class Refused(Exception):
    """A request that the venue refuses in words of its own."""

    def __init__(self, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.text, self.status = text, status


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused("EGeneral:Invalid arguments")
    return int(text)


def _spot_reply(result: object, events: tuple[Event, ...] = ()) -> RestReply:
    body = orjson.dumps({"error": [], "result": result})
    return RestReply(body=body, weight=_WEIGHT_SPOT, events=events)  # type: ignore[arg-type]


def _futures_reply(request: RestRequest, body: dict[str, object], events: tuple[Event, ...] = ()) -> RestReply:
    payload = orjson.dumps({"result": "success", **body, "serverTime": iso(request.now_ns, 3)})
    return RestReply(body=payload, weight=_WEIGHT_FUTURES, events=events)  # type: ignore[arg-type]


# Spot


def _pair(request: RestRequest, venue: Venue) -> Market:
    asked = request.query.get("pair", "")
    for market in of_system(list(venue.markets.values()), spot=True):
        if asked in (market.listing.extra["altname"], market.listing.extra["key"]):
            return market
    raise Refused("EQuery:Unknown asset pair")


def asset_pairs(request: RestRequest, venue: Venue) -> RestReply:
    return _spot_reply(dict(asset_pair(market) for market in of_system(list(venue.markets.values()), spot=True)))


def trades(request: RestRequest, venue: Venue) -> RestReply:
    """Oldest first, later than `since` (nanoseconds); times finer than those of the socket."""
    market = _pair(request, venue)
    since_ns, count = _integer(request, "since", 0), min(_integer(request, "count", _MAX_TRADES), _MAX_TRADES)
    known = [trade for trade in market.trades(0, 1 << 30) if trade.ts_ns > since_ns]
    page = known[:count] if "since" in request.query else known[-count:]
    last_ns = page[-1].ts_ns if page else since_ns
    events = tuple(_paged(spot.trade_event(market, trade, request.now_ns)) for trade in page)
    result = {market.listing.extra["key"]: [_trade_row(market, trade) for trade in page], "last": str(last_ns)}
    return _spot_reply(result, events)


def _trade_row(market: Market, trade: TradeDone) -> list[object]:
    seconds, rest_ns = divmod(trade.ts_ns, NS_PER_S)
    time_s = number(f"{seconds}.{rest_ns:09d}".rstrip("0").rstrip("."))
    price, qty = market.price_text(trade.price), market.qty_text(trade.qty)
    return [price, qty, time_s, "b" if trade.is_buy else "s", "m", "", trade.number]


def _whole(text: str) -> str:
    """Pages pad with zeros; without them `740.00000000` is `740`."""
    return text.removesuffix(".0")


def _paged(trade: Trade) -> Trade:
    return msgspec.structs.replace(trade, price=_whole(trade.price), qty=_whole(trade.qty))


def ohlc(request: RestRequest, venue: Venue) -> RestReply:
    """The newest 720; the last is the open one."""
    market, minutes = _pair(request, venue), _integer(request, "interval", 1)
    if minutes not in spot.MINUTES:
        raise Refused("EGeneral:Invalid arguments:interval")
    since_ns = _integer(request, "since", 0) * NS_PER_S
    known = market.candles(60 * minutes, since_ns + 1, 1 << 62, _MAX_CANDLES)
    candles = [candle for candle in known if candle.trades]
    events = []
    for candle in candles:
        is_closed = candle is not candles[-1] or _is_settled(candle, request.now_ns)
        kline = kline_event(market, candle, None, request.now_ns, is_closed=is_closed)
        names = ("open", "high", "low", "close", "volume")
        events.append(msgspec.structs.replace(kline, **{name: _whole(getattr(kline, name)) for name in names}))
    closed = [candle for candle, event in zip(candles, events, strict=True) if event.is_closed]
    last_s = closed[-1].open_ns // NS_PER_S if closed else 0
    rows = [_ohlc_row(market, candle) for candle in candles]
    return _spot_reply({market.listing.extra["key"]: rows, "last": last_s}, tuple(events))


def _ohlc_row(market: Market, candle: CandleMoved) -> list[object]:
    first, high, low, last = map(market.price_text, (candle.open, candle.high, candle.low, candle.close))
    return [candle.open_ns // NS_PER_S, first, high, low, last, last, market.qty_text(candle.volume), candle.trades]


def _is_settled(candle: CandleMoved, now_ns: int) -> bool:
    return candle.open_ns + (candle.interval_s + SETTLED_AFTER_S) * NS_PER_S <= now_ns


def depth(request: RestRequest, venue: Venue) -> RestReply:
    market, count = _pair(request, venue), min(_integer(request, "count", 100), 500)
    now_s = venue.now_ns() // NS_PER_S
    sides = {"asks": market.asks(count), "bids": market.bids(count)}
    rows = {side: [[*row, now_s] for row in market.levels_text(levels)] for side, levels in sides.items()}
    return _spot_reply({market.listing.extra["key"]: rows})


def server_time(request: RestRequest, venue: Venue) -> RestReply:
    return _spot_reply({"unixtime": venue.now_ns() // NS_PER_S, "rfc1123": ""})


def system_status(request: RestRequest, venue: Venue) -> RestReply:
    return _spot_reply({"status": "online", "timestamp": iso(venue.now_ns())})


# Futures


def _product(venue: Venue, symbol: str) -> Market:
    market = venue.markets.get(symbol)
    if market is None or is_spot(market):
        raise Refused("invalidArgument: symbol")
    return market


def contracts(request: RestRequest, venue: Venue) -> RestReply:
    listed = of_system(list(venue.markets.values()), spot=False)
    return _futures_reply(request, {"instruments": [contract_object(market) for market in listed]})


def charts(request: RestRequest, venue: Venue, symbol: str, resolution: str) -> RestReply:
    """Candles of [from, to], the newest where there is no window; numbers in quotes."""
    market, interval_s = _product(venue, symbol), RESOLUTIONS_S.get(resolution)
    if interval_s is None:
        raise Refused("invalidArgument: resolution", 400)
    start_ns = _integer(request, "from", 0) * NS_PER_S
    end_ns = _integer(request, "to", 1 << 33) * NS_PER_S + 1
    candles = [c for c in market.candles(interval_s, start_ns, end_ns, _MAX_CHARTS) if c.trades]
    rows, events = [], []
    for candle in candles:
        kline = kline_event(market, candle, None, request.now_ns, is_closed=_is_settled(candle, request.now_ns))
        events.append(msgspec.structs.replace(kline, trades=None))
        row = {"time": ms(candle.open_ns), "open": kline.open, "high": kline.high, "low": kline.low}
        rows.append(row | {"close": kline.close, "volume": kline.volume})
    meant: list[Kline] = [] if is_inverse(market) else events if "from" in request.query else events[-60:]
    body = orjson.dumps({"candles": rows, "more_candles": False})
    return RestReply(body=body, weight=_WEIGHT_FUTURES, events=tuple(meant))


def executions(request: RestRequest, venue: Venue, symbol: str) -> RestReply:
    """Fills of [since, before) milliseconds; the token is the number of the next one."""
    market = _product(venue, symbol)
    since_ms, before_ms = _integer(request, "since", 0), _integer(request, "before", 1 << 42)
    first = _integer(request, "continuation_token", 0)
    inside = [t for t in market.trades(first, 1 << 30) if since_ms <= ms(t.ts_ns) < before_ms]
    page = inside[:_MAX_TRADES]
    events = tuple(futures.trade_event(market, trade, request.now_ns) for trade in page)
    elements = [_element(market, trade, event) for trade, event in zip(page, events, strict=True)]
    body: dict[str, object] = {"elements": elements, "len": len(elements)}
    if len(inside) > len(page):
        body["continuationToken"] = str(page[-1].number + 1)
    return RestReply(body=orjson.dumps(body), weight=_WEIGHT_FUTURES, events=events)


def _element(market: Market, trade: TradeDone, event: Trade) -> dict[str, object]:
    taker, maker = ("Buy", "Sell") if trade.is_buy else ("Sell", "Buy")
    qty, price = market.qty_text(trade.qty), event.price
    order = {"tradeable": trade.instrument, "quantity": qty, "limitPrice": price, "orderType": "Limit"}
    execution = {"uid": event.trade_id, "makerOrder": order | {"direction": maker}}
    execution |= {"takerOrder": order | {"direction": taker}, "timestamp": ms(trade.ts_ns)}  # type: ignore[dict-item]
    execution |= {"quantity": shortest(qty), "price": price}
    happened = {"Execution": {"execution": execution, "takerReducedQuantity": ""}}
    return {"uid": f"{trade.instrument}-{trade.number}", "timestamp": ms(trade.ts_ns), "event": happened}


def funding_rates(request: RestRequest, venue: Venue) -> RestReply:
    """One an hour; the simulation has had the present one for ever."""
    market = _product(venue, request.query.get("symbol", ""))
    if market.listing.market_type is MarketType.DELIVERY:
        raise Refused("invalidArgument: symbol")
    now_s = venue.now_ns() // NS_PER_S
    times_s = [now_s // 3600 * 3600 - 3600 * back for back in range(_RATES_TOLD - 1, -1, -1)]
    text = market.mark_text(market.funding)
    rows, events = [], []
    for time_s in times_s:
        rate = number(scientific(text))
        rows.append({"timestamp": iso(time_s * NS_PER_S, 3), "fundingRate": rate, "relativeFundingRate": rate})
        events.append(
            FundingRate(
                exchange=EXCHANGE,
                market_type=market.listing.market_type,
                instrument=market.listing.instrument,
                ts_event_ns=time_s * NS_PER_S,
                ts_recv_ns=request.now_ns,
                rate=shortest(text),
                interval_s=3600,
                next_funding_ns=None,
            )
        )
    return _futures_reply(request, {"rates": rows}, tuple(events))


_ROUTES: dict[str, Callable[[RestRequest, Venue], RestReply]] = {
    "/0/public/AssetPairs": asset_pairs,
    "/0/public/Trades": trades,
    "/0/public/OHLC": ohlc,
    "/0/public/Depth": depth,
    "/0/public/Time": server_time,
    "/0/public/SystemStatus": system_status,
    "/derivatives/api/v3/instruments": contracts,
    "/derivatives/api/v4/historicalfundingrates": funding_rates,
}
_CHARTS = re.compile(r"/api/charts/v1/trade/([^/]+)/([^/]+)").fullmatch
_EXECUTIONS = re.compile(r"/api/history/v3/market/([^/]+)/executions").fullmatch


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    try:
        if route := _ROUTES.get(request.path):
            return route(request, venue)
        if found := _CHARTS(request.path):
            return charts(request, venue, found[1], found[2])
        if found := _EXECUTIONS(request.path):
            return executions(request, venue, found[1])
        raise Refused("EGeneral:Unknown method", 404)
    except Refused as refused:
        return _refusal(request.path, refused.text, refused.status)


def _refusal(path: str, text: str, status: int) -> RestReply:
    if path.startswith("/0/"):
        return RestReply(status=status, body=orjson.dumps({"error": [text]}))
    return RestReply(status=status, body=orjson.dumps({"result": "error", "error": text}))


def refusal(status: int, retry_after_s: int) -> RestReply:
    text = "EGeneral:Too many requests" if status in (418, 429) else "EService:Unavailable"
    return _refusal("/0/", text, status)
