"""REST answers of v5: `{"code":"0","msg":"","data":[...]}`, newest rows first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import Market, RestReply, RestRequest, TradeDone, Venue
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS

from .derivatives import BARS_S, FUNDING_INTERVAL_S, candle_parts, followers, funding_row, interest_row
from .listing import brief, instrument_row, is_spot, type_of
from .streams import ms, snapshot_parts, trade_parts

REST_WEIGHT = 40
"""In two seconds; an endpoint of n calls weighs 40 / n."""
_MAX_BOOK, _MAX_TRADES, _MAX_PAGE, _MAX_CANDLES, _MAX_RATES = 400, 500, 100, 300, 400
_ALL = 1 << 30


class Refused(Exception):
    """A request that is answered with an error code; HTTP is 200 for most of them."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status

    def reply(self) -> RestReply:
        body = orjson.dumps({"code": self.code, "msg": self.text, "data": []})
        return RestReply(status=self.status, body=body)


def _data(rows: Sequence[object], calls: int, events: Sequence[MarketEvent] = ()) -> RestReply:
    body = orjson.dumps({"code": "0", "msg": "", "data": list(rows)})
    return RestReply(body=body, weight=max(1, REST_WEIGHT // calls), events=tuple(events))


def _needed(request: RestRequest, key: str) -> str:
    text = request.query.get(key, "")
    if not text:
        raise Refused("50014", f"Parameter {key} can not be empty", status=400)
    return text


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key, "")
    if not text:
        return default
    if not text.isdecimal():
        raise Refused("51000", f"Parameter {key} error", status=400)
    return int(text)


def _market(request: RestRequest, venue: Venue) -> Market:
    market = venue.markets.get(_needed(request, "instId"))
    if market is None or market.status is InstrumentStatus.DELISTED:
        raise Refused("51001", "Instrument ID doesn't exist.")
    return market


def _of_type(request: RestRequest, venue: Venue) -> list[Market]:
    kind = _needed(request, "instType")
    if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
        raise Refused("51000", "Parameter instType error", status=400)
    listed = [m for m in venue.markets.values() if m.status is not InstrumentStatus.DELISTED]
    return [market for market in listed if type_of(market.listing) == kind]


def instruments(request: RestRequest, venue: Venue) -> RestReply:
    return _data([instrument_row(market) for market in _of_type(request, venue)], 20)


def book(request: RestRequest, venue: Venue) -> RestReply:
    """One level by default."""
    market = _market(request, venue)
    depth = min(_integer(request, "sz", 1), _MAX_BOOK)
    row, event = snapshot_parts(market, depth, venue.now_ns(), request.now_ns)
    return _data([row], 40, [event])


def _trades_reply(market: Market, trades: Sequence[TradeDone], request: RestRequest, calls: int) -> RestReply:
    parts = [trade_parts(market, trade, request.now_ns) for trade in reversed(trades)]
    return _data([row for row, _ in parts], calls, [event for _, event in parts])


def recent_trades(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    limit = min(_integer(request, "limit", 100), _MAX_TRADES)
    return _trades_reply(market, market.trades(0, _ALL)[-limit:], request, 100)


def history_trades(request: RestRequest, venue: Venue) -> RestReply:
    """`after`: older than that id (type 1) or time (type 2); `before`: newer than that id."""
    market = _market(request, venue)
    by_time = request.query.get("type", "1") == "2"
    limit = min(_integer(request, "limit", _MAX_PAGE), _MAX_PAGE)
    after, before = _integer(request, "after", 1 << 62), _integer(request, "before", -1)
    held = market.trades(0, _ALL)
    kept = [t for t in held if (ms(t.ts_ns) < after if by_time else before < t.number < after)]
    return _trades_reply(market, kept[-limit:], request, 20)


def candles(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue)
    interval_s = BARS_S.get(request.query.get("bar", "1m"))
    if interval_s is None:
        raise Refused("51000", "Parameter bar error", status=400)
    limit = min(_integer(request, "limit", 100), _MAX_CANDLES)
    after, before = _integer(request, "after", 1 << 42), _integer(request, "before", 0)
    kept = market.candles(interval_s, (before + 1) * NS_PER_MS, after * NS_PER_MS, limit)
    parts = [candle_parts(market, candle, request.now_ns) for candle in reversed(kept)]
    return _data([row for row, _ in parts], 20, [event for _, event in parts])


def funding_rate(request: RestRequest, venue: Venue) -> RestReply:
    """`ANY`: of all perpetuals."""
    now_ns = venue.now_ns()
    if request.query.get("instId") == "ANY":
        found = [m for m in venue.markets.values() if type_of(m.listing) == "SWAP"]
        return _data([funding_row(market, now_ns) for market in found], 10)
    return _data([funding_row(_market(request, venue), now_ns)], 10)


def funding_history(request: RestRequest, venue: Venue) -> RestReply:
    """Past rates, one per interval; the simulation has had the present one for ever."""
    market = _market(request, venue)
    if is_spot(market.listing):
        raise Refused("51000", "Parameter instId error", status=400)
    span_ms, now_ms = FUNDING_INTERVAL_S * 1_000, ms(venue.now_ns())
    after = min(_integer(request, "after", now_ms + 1), now_ms + 1)
    before = _integer(request, "before", after - 100 * span_ms)
    limit = min(_integer(request, "limit", _MAX_RATES), _MAX_RATES)
    times = list(range((before // span_ms + 1) * span_ms, after, span_ms))[-limit:]
    rate = brief(market.mark_text(market.funding))
    same = {"formulaType": "noRate", "instId": market.listing.instrument, "instType": type_of(market.listing)}
    same |= {"fundingRate": rate, "realizedRate": rate, "method": "current_period"}
    return _data([same | {"fundingTime": str(time)} for time in reversed(times)], 10)


def open_interest(request: RestRequest, venue: Venue) -> RestReply:
    now_ns = venue.now_ns()
    found = [market for market in _of_type(request, venue) if not is_spot(market.listing)]
    return _data([interest_row(market, now_ns) for market in found], 20)


def mark_price(request: RestRequest, venue: Venue) -> RestReply:
    now_ms = str(ms(venue.now_ns()))
    rows = [
        {
            "instType": type_of(market.listing),
            "instId": market.listing.instrument,
            "markPx": brief(market.mark_text(market.mark)),
            "ts": now_ms,
        }
        for market in _of_type(request, venue)
    ]
    return _data(rows, 10)


def index_tickers(request: RestRequest, venue: Venue) -> RestReply:
    found = followers(venue, _needed(request, "instId"))
    if not found:
        raise Refused("51001", "Instrument ID doesn't exist.")
    row = {"instId": request.query["instId"], "idxPx": brief(found[0].mark_text(found[0].index))}
    return _data([row | {"ts": str(ms(venue.now_ns()))}], 20)


_ROUTES: dict[str, Callable[[RestRequest, Venue], RestReply]] = {
    "/api/v5/public/time": lambda request, venue: _data([{"ts": str(ms(venue.now_ns()))}], 10),
    "/api/v5/public/instruments": instruments,
    "/api/v5/market/books": book,
    "/api/v5/market/trades": recent_trades,
    "/api/v5/market/history-trades": history_trades,
    "/api/v5/market/candles": candles,
    "/api/v5/market/history-candles": candles,
    "/api/v5/market/index-tickers": index_tickers,
    "/api/v5/public/funding-rate": funding_rate,
    "/api/v5/public/funding-rate-history": funding_history,
    "/api/v5/public/open-interest": open_interest,
    "/api/v5/public/mark-price": mark_price,
}


def answer(request: RestRequest, venue: Venue) -> RestReply:
    """Any request: data, or the venue's error body."""
    route = _ROUTES.get(request.path)
    if route is None or request.method != "GET":
        return RestReply(
            status=404, body=b'{"msg":"API endpoint request timeout or not found","code":"50404","data":[]}'
        )
    try:
        return route(request, venue)
    except Refused as refused:
        return refused.reply()


def refusal(status: int) -> RestReply:
    if status in (418, 429):
        return Refused("50011", "Too Many Requests", status).reply()
    return Refused("50013", "Systems are busy. Please try again later.", status).reply()
