"""REST answers of both hosts. Refusals are HTTP 200 with `"status":"error"`; pages of trades and spot candles run from new to old."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, Venue
from feedplane_core.events import MarketEvent, OpenInterest
from feedplane_core.names import NS_PER_MS, NS_PER_S, MarketType

from .channel import EXCHANGE, PERIOD_S, ms
from .listing import contract_row, in_coins, spot_row
from .streams import kline_event, kline_row, trade_event, trade_row

MAX_ROWS = 2_000
SETTLED_NS = 2 * NS_PER_S
"""A row does not say whether it is closed; it is taken for closed so long after its end."""
_SPOT_TRADES_WEIGHT, _SPOT_KLINES_WEIGHT = 8, 7
_FUNDING_S = 8 * 3_600


class Refused(Exception):
    """A request that is answered with an error body."""

    def __init__(self, code: int | str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text

    def reply(self, now_ns: int, status: int = 200) -> RestReply:
        """Spot names its fields `err-code`, contracts `err_code`."""
        sign = "-" if isinstance(self.code, str) else "_"
        body = {"status": "error", f"err{sign}code": self.code, f"err{sign}msg": self.text, "ts": now_ns // NS_PER_MS}
        return RestReply(status=status, body=orjson.dumps(body))


def _ok(data: str, now_ns: int, events: Iterable[MarketEvent] = (), weight: int = 1, head: str = "") -> RestReply:
    body = f'{{{head}"status":"ok","data":{data},"ts":{ms(now_ns)}}}'
    return RestReply(body=body.encode(), events=tuple(events), weight=weight)


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused(1030, f"{key} is invalid")
    return int(text)


def _spot(request: RestRequest, venue: Venue) -> Market:
    market = venue.markets.get(request.query.get("symbol", ""))
    if market is None or market.listing.contract_size is not None:
        raise Refused("invalid-parameter", "invalid symbol")
    return market


def _contract(request: RestRequest, venue: Venue) -> Market:
    market = venue.markets.get(request.query.get("contract_code", ""))
    if market is None or market.listing.contract_size is None:
        raise Refused(1332, "The contract doesn't exist.")
    return market


def symbols(request: RestRequest, venue: Venue) -> RestReply:
    rows = [spot_row(market) for market in venue.markets.values() if market.listing.contract_size is None]
    body = {"status": "ok", "data": rows, "ts": str(ms(venue.now_ns())), "full": 1}
    return RestReply(body=orjson.dumps(body), weight=_SPOT_TRADES_WEIGHT)


def contracts(request: RestRequest, venue: Venue) -> RestReply:
    """Without `business_type=all` perpetuals alone."""
    is_all = request.query.get("business_type", "swap") == "all"
    rows = [
        contract_row(market)
        for market in venue.markets.values()
        if market.listing.contract_size is not None and (is_all or market.listing.market_type is MarketType.PERP_LINEAR)
    ]
    return _ok(orjson.dumps(rows).decode(), venue.now_ns())


def open_interest(request: RestRequest, venue: Venue) -> RestReply:
    """Of one contract, or of all."""
    asked = [_contract(request, venue)] if "contract_code" in request.query else list(venue.markets.values())
    now_ms = ms(venue.now_ns())
    rows, events = [], []
    for market in asked:
        listing = market.listing
        if listing.contract_size is None:
            continue
        coins = in_coins(listing, market.open_interest)
        row = f'{{"volume":{market.open_interest}.000000000000000000,"amount":{coins},"symbol":"{listing.base}"'
        rows.append(f'{row},"value":0,"contract_code":"{listing.instrument}","business_type":"swap"}}')
        events.append(
            OpenInterest(
                exchange=EXCHANGE,
                market_type=listing.market_type,
                instrument=listing.instrument,
                ts_event_ns=now_ms * NS_PER_MS,
                ts_recv_ns=request.now_ns,
                open_interest=coins,
            )
        )
    return _ok(f"[{','.join(rows)}]", now_ms * NS_PER_MS, events)


def _trades(request: RestRequest, venue: Venue, market: Market, weight: int) -> RestReply:
    """Groups of one trade each, newest first."""
    size = _integer(request, "size", 1)
    if not 1 <= size <= MAX_ROWS:
        raise Refused(1030, "size is invalid")
    page = market.trades(0, 1 << 30)[-size:][::-1]
    groups = (
        f'{{"id":{trade.seq},"ts":{ms(trade.ts_ns)},"data":[{trade_row(market, trade, "trade-id")}]}}' for trade in page
    )
    head = f'"ch":"market.{market.listing.instrument}.trade.detail",'
    events = [trade_event(market, trade, request.now_ns) for trade in page]
    return _ok(f"[{','.join(groups)}]", venue.now_ns(), events, weight, head)


def _klines(request: RestRequest, venue: Venue, market: Market, weight: int, *, is_newest_first: bool) -> RestReply:
    """`from` and `to` are seconds, both inclusive; candles without trades are there too, flat."""
    interval_s = PERIOD_S.get(request.query.get("period", ""))
    if interval_s is None:
        raise Refused(1030, "period is invalid")
    size = _integer(request, "size", MAX_ROWS)
    start_ns = _integer(request, "from", 0) * NS_PER_S
    end_ns = (_integer(request, "to", 1 << 33) + 1) * NS_PER_S
    page = market.candles(interval_s, start_ns, min(end_ns, venue.now_ns() + 1), min(size, MAX_ROWS))
    rows, events = [], []
    for candle in page[::-1] if is_newest_first else page:
        rows.append(kline_row(market, candle))
        ends_ns = candle.open_ns + interval_s * NS_PER_S
        is_closed = ends_ns + SETTLED_NS <= request.now_ns
        events.append(kline_event(market, candle, ends_ns, request.now_ns, is_closed=is_closed))
    head = f'"ch":"market.{market.listing.instrument}.kline.{request.query["period"]}",'
    return _ok(f"[{','.join(rows)}]", venue.now_ns(), events, weight, head)


def spot_trades(request: RestRequest, venue: Venue) -> RestReply:
    return _trades(request, venue, _spot(request, venue), _SPOT_TRADES_WEIGHT)


def spot_klines(request: RestRequest, venue: Venue) -> RestReply:
    return _klines(request, venue, _spot(request, venue), _SPOT_KLINES_WEIGHT, is_newest_first=True)


def linear_trades(request: RestRequest, venue: Venue) -> RestReply:
    return _trades(request, venue, _contract(request, venue), 1)


def linear_klines(request: RestRequest, venue: Venue) -> RestReply:
    return _klines(request, venue, _contract(request, venue), 1, is_newest_first=False)


def funding_history(request: RestRequest, venue: Venue) -> RestReply:
    """Newest first; the simulation has had the present rate for ever, and remembers 100 times."""
    market = _contract(request, venue)
    size, number = min(_integer(request, "page_size", 20), 50), max(1, _integer(request, "page_index", 1))
    last_s = venue.now_ns() // NS_PER_S // _FUNDING_S * _FUNDING_S
    times = [last_s - n * _FUNDING_S for n in range(100)]
    rate, code = market.mark_text(market.funding), market.listing.instrument
    rows = [
        {"contract_code": code, "funding_time": str(at_s * 1000), "funding_rate": rate, "realized_rate": rate}
        for at_s in times[(number - 1) * size : number * size]
    ]
    pages = {"total_page": -(-len(times) // size), "current_page": number, "total_size": len(times), "data": rows}
    return _ok(orjson.dumps(pages).decode(), venue.now_ns())


def liquidations(request: RestRequest, venue: Venue) -> RestReply:
    """The simulation remembers none."""
    return RestReply(body=orjson.dumps({"code": 200, "msg": "", "data": [], "ts": ms(venue.now_ns())}))


_ROUTES: dict[str, Callable[[RestRequest, Venue], RestReply]] = {
    "/v1/settings/common/market-symbols": symbols,
    "/linear-swap-api/v1/swap_contract_info": contracts,
    "/linear-swap-api/v1/swap_open_interest": open_interest,
    "/linear-swap-api/v1/swap_historical_funding_rate": funding_history,
    "/linear-swap-api/v3/swap_liquidation_orders": liquidations,
    "/market/history/trade": spot_trades,
    "/market/history/kline": spot_klines,
    "/linear-swap-ex/market/history/trade": linear_trades,
    "/linear-swap-ex/market/history/kline": linear_klines,
}


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    route = _ROUTES.get(request.path)
    if route is None or request.method != "GET":
        return Refused("invalid-parameter", "not found").reply(request.now_ns, 404)
    try:
        return route(request, venue)
    except Refused as refused:
        return refused.reply(request.now_ns)


def refusal(status: int, retry_after_s: int) -> RestReply:
    text = "Access denied. Too many requests." if status in (418, 429) else "System busy."
    return Refused(1032 if status in (418, 429) else 1000, text).reply(0, status)
