"""REST answers: `/spot/api/...` and `/futures/api/...`, which are two hosts in truth. Pages of trades and spot candles run from new to old."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
from feedplane_core.dialect import CandleMoved, Market, RestReply, RestRequest, Venue
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .channel import INTERVALS_S, interest_event, is_funded, kline_event, ms, snapshot_event, trade_event
from .classic import candle_row
from .listing import FUNDING_MS, contract_row, is_spot, symbol_row
from .peer import PING_INTERVAL_MS

SPOT, FUTURES = "/spot", "/futures"
TOKEN_LIFE_NS = 24 * 3_600 * NS_PER_S

_MAX_TRADES = 100
_MAX_SPOT_KLINES, _MAX_FUTURES_KLINES = 1_500, 500
_CLOSED_FOR_NS = 2 * NS_PER_S
"""A row does not say whether it is final; it is taken for final so long after its end."""


class Refused(Exception):
    """A request that is answered with the venue's error body."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status

    def reply(self) -> RestReply:
        return RestReply(status=self.status, body=orjson.dumps({"code": self.code, "msg": self.text}))


class Office:
    """What REST and sockets of one simulation know of each other: tokens that were given out, and how far futures books have been told."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, int]] = {}  # token -> (SPOT or FUTURES, end of life)
        self.told: dict[str, int] = {}

    def admits(self, token: str, kind: str, now_ns: int) -> bool:
        """Tokens of spot open no futures socket, nor the other way round."""
        owner, until_ns = self.tokens.get(token, ("", 0))
        return owner == kind and now_ns < until_ns

    # Tokens and instruments

    def bullet(self, request: RestRequest, venue: Venue) -> RestReply:
        kind = "SPOT" if request.path.startswith(SPOT) else "FUTURES"
        token = f"2neAiuYvAU61Z{len(self.tokens):06d}=={kind}"
        self.tokens[token] = kind, venue.now_ns() + TOKEN_LIFE_NS
        server = {
            "endpoint": f"{request.ws_base}/classic-{kind.lower()}",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": PING_INTERVAL_MS,
            "pingTimeout": 10_000,
        }
        return _data({"token": token, "instanceServers": [server]}, 10)

    def contract(self, request: RestRequest, venue: Venue) -> RestReply:
        market = _named(request.path.rpartition("/")[2], venue, spot=False)
        mark = market.mark_text(market.mark)
        return _data(contract_row(market), 3, interest_event(market, mark, None, request.now_ns))

    # Books

    def spot_book(self, request: RestRequest, venue: Venue) -> RestReply:
        market, now_ms = _market(request, venue, spot=True), ms(venue.now_ns())
        depth = 100 if request.path.endswith("100") else 20
        event, bids, asks = snapshot_event(market, depth, market.seq, now_ms * NS_PER_MS, request.now_ns)
        return _data({"time": now_ms, "sequence": str(market.seq), "bids": bids, "asks": asks}, 2, event)

    def futures_book(self, request: RestRequest, venue: Venue) -> RestReply:
        """Numbers, not texts. The sequence is at most what sockets have been told: levels newer than their number do no harm, for sizes are absolute."""
        market, now_ns = _market(request, venue, spot=False), venue.now_ns()
        seq = min(market.seq, self.told.get(market.listing.instrument, market.seq))
        depth = int(request.path.rpartition("depth")[2]) if "depth" in request.path else None
        event, bids, asks = snapshot_event(market, depth, seq, now_ns, request.now_ns)
        sides = [[[orjson.Fragment(text) for text in level] for level in side] for side in (bids, asks)]
        body = {"sequence": seq, "symbol": market.listing.instrument, "bids": sides[0], "asks": sides[1], "ts": now_ns}
        return _data(body, 3 if depth is None else 5, event)


# History


def spot_trades(request: RestRequest, venue: Venue) -> RestReply:
    """The newest 100 and no more; rows name no trade id but the sequence."""
    market = _market(request, venue, spot=True)
    rows: list[dict[str, object]] = []
    events: list[MarketEvent] = []
    for trade in reversed(market.trades(0, 1 << 30)[-_MAX_TRADES:]):
        event = trade_event(market, trade, request.now_ns)
        events.append(event)
        rows.append(
            {"sequence": str(trade.number), "price": event.price, "size": market.qty_text(trade.qty)}
            | {"side": event.aggressor.value, "time": trade.ts_ns}
        )
    return _data(rows, 3, *events)


def futures_trades(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue, spot=False)
    rows: list[dict[str, object]] = []
    events: list[MarketEvent] = []
    for trade in reversed(market.trades(0, 1 << 30)[-_MAX_TRADES:]):
        event = trade_event(market, trade, request.now_ns)
        events.append(event)
        row: dict[str, object] = {"sequence": trade.number, "contractId": 1, "ts": trade.ts_ns}
        row |= {"tradeId": str(trade.number), "price": event.price, "side": event.aggressor.value}
        rows.append(row | {"size": orjson.Fragment(market.qty_text(trade.qty))})
    return _data(rows, 5, *events)


def spot_klines(request: RestRequest, venue: Venue) -> RestReply:
    market = _market(request, venue, spot=True)
    interval_s = INTERVALS_S.get(request.query.get("type", ""))
    if interval_s is None:
        raise Refused("400100", "This type is invalid")
    start_ns, end_ns = _integer(request, "startAt", 0) * NS_PER_S, _integer(request, "endAt", 1 << 33) * NS_PER_S
    candles = market.candles(interval_s, start_ns, end_ns, _MAX_SPOT_KLINES)
    rows = [candle_row(venue, candle) for candle in reversed(candles)]
    return _data(rows, 3, *_kline_events(market, candles, request.now_ns))


def futures_klines(request: RestRequest, venue: Venue) -> RestReply:
    """time (ms), open, high, low, close, contracts: numbers, oldest first."""
    market = _market(request, venue, spot=False)
    interval_s = _integer(request, "granularity", 0) * 60
    if interval_s not in INTERVALS_S.values():
        raise Refused("100001", "Invalid granularity")
    start_ns, end_ns = _integer(request, "from", 0) * NS_PER_MS, _integer(request, "to", 1 << 42) * NS_PER_MS
    candles = market.candles(interval_s, start_ns, end_ns, _MAX_FUTURES_KLINES)
    rows = []
    for candle in candles:
        prices = map(market.price_text, (candle.open, candle.high, candle.low, candle.close))
        numbers = [orjson.Fragment(text) for text in (*prices, market.qty_text(candle.volume))]
        rows.append([ms(candle.open_ns), *numbers])
    return _data(rows, 3, *_kline_events(market, candles, request.now_ns))


def _kline_events(market: Market, candles: Iterable[CandleMoved], now_ns: int) -> list[MarketEvent]:
    return [
        kline_event(
            market,
            candle,
            None,
            now_ns,
            is_closed=candle.open_ns + candle.interval_s * NS_PER_S + _CLOSED_FOR_NS <= now_ns,
        )
        for candle in candles
    ]


def funding_rates(request: RestRequest, venue: Venue) -> RestReply:
    """Past rates, newest first; the simulation has had the present one for ever."""
    market = _market(request, venue, spot=False)
    if not is_funded(market):
        return _data([], 5)
    now_ms = ms(venue.now_ns())
    end_ms = min(_integer(request, "to", now_ms), now_ms)
    start_ms = _integer(request, "from", end_ms - 100 * FUNDING_MS)
    rate, symbol = orjson.Fragment(market.mark_text(market.funding)), market.listing.instrument
    times = range(-(-start_ms // FUNDING_MS) * FUNDING_MS, end_ms + 1, FUNDING_MS)
    return _data([{"symbol": symbol, "timepoint": at_ms, "fundingRate": rate} for at_ms in reversed(times)], 5)


# Answering


def _data(data: object, weight: int, *events: MarketEvent) -> RestReply:
    return RestReply(body=orjson.dumps({"code": "200000", "data": data}), weight=weight, events=events)


def _integer(request: RestRequest, key: str, default: int) -> int:
    text = request.query.get(key)
    if text is None:
        return default
    if not text.isdecimal():
        raise Refused("400100", f"{key} is invalid")
    return int(text)


def _market(request: RestRequest, venue: Venue, *, spot: bool) -> Market:
    return _named(request.query.get("symbol", ""), venue, spot=spot)


def _named(symbol: str, venue: Venue, *, spot: bool) -> Market:
    market = venue.markets.get(symbol)
    if market is None or is_spot(market) is not spot or market.status is InstrumentStatus.DELISTED:
        raise Refused("400100" if spot else "100001", f"The symbol {symbol[:32]} does not exist")
    return market


def symbols(request: RestRequest, venue: Venue) -> RestReply:
    return _data([symbol_row(market) for market in venue.markets.values() if is_spot(market)], 4)


def contracts(request: RestRequest, venue: Venue) -> RestReply:
    return _data([contract_row(market) for market in venue.markets.values() if not is_spot(market)], 3)


def server_time(request: RestRequest, venue: Venue) -> RestReply:
    return _data(ms(venue.now_ns()), 3)


def keyed(request: RestRequest, venue: Venue) -> RestReply:
    raise Refused("400001", "Please check the header of your request for KC-API-KEY", 401)


Route = Callable[[RestRequest, Venue], RestReply]


def routes(office: Office) -> dict[tuple[str, str], Route]:
    """By method and path."""
    gets: dict[str, Route] = {
        f"{SPOT}/api/v2/symbols": symbols,
        f"{SPOT}/api/v1/symbols": symbols,
        f"{SPOT}/api/v1/timestamp": server_time,
        f"{SPOT}/api/v1/market/orderbook/level2_20": office.spot_book,
        f"{SPOT}/api/v1/market/orderbook/level2_100": office.spot_book,
        f"{SPOT}/api/v3/market/orderbook/level2": keyed,
        f"{SPOT}/api/v1/market/histories": spot_trades,
        f"{SPOT}/api/v1/market/candles": spot_klines,
        f"{FUTURES}/api/v1/contracts/active": contracts,
        f"{FUTURES}/api/v1/timestamp": server_time,
        f"{FUTURES}/api/v1/level2/snapshot": office.futures_book,
        f"{FUTURES}/api/v1/level2/depth20": office.futures_book,
        f"{FUTURES}/api/v1/level2/depth100": office.futures_book,
        f"{FUTURES}/api/v1/trade/history": futures_trades,
        f"{FUTURES}/api/v1/kline/query": futures_klines,
        f"{FUTURES}/api/v1/contract/funding-rates": funding_rates,
    }
    posts = {f"{book}/api/v1/bullet-public": office.bullet for book in (SPOT, FUTURES)}
    return {("GET", path): route for path, route in gets.items()} | {("POST", path): r for path, r in posts.items()}


def answer(request: RestRequest, venue: Venue, office: Office) -> RestReply:
    """Any request: data, or the venue's error body."""
    route = routes(office).get((request.method, request.path))
    if route is None and request.method == "GET" and request.path.startswith(f"{FUTURES}/api/v1/contracts/"):
        route = office.contract
    if route is None:
        return Refused("404", "Not Found", 404).reply()
    try:
        return route(request, venue)
    except Refused as refused:
        return refused.reply()


def refusal(status: int, retry_after_s: int) -> RestReply:
    if status in (418, 429):
        return Refused("429000", "Too many requests in a short period of time, please retry later", status).reply()
    return Refused("500000", "Internal Server Error", status).reply()
