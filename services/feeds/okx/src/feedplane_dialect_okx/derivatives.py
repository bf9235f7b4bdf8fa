"""Candles, mark and index prices, funding, open interest, liquidations and listings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from feedplane_core.dialect import (
    CandleMoved,
    Happening,
    InterestMoved,
    LiquidationDone,
    Marked,
    Market,
    Message,
    StatusChanged,
    Venue,
    Want,
)
from feedplane_core.events import FundingRate, Kline, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Liquidated, MarketType

from .listing import EXCHANGE, brief, in_base, instrument_row, is_spot, type_of
from .streams import BaseStream, meaning, ms

FUNDING_INTERVAL_S = 8 * 3_600
_FUNDING_EVERY = 30  # marks, of which there is one a second
_LIQUIDATION_EVERY_NS = NS_PER_S
_CANDLE_EVERY_NS = NS_PER_S

BARS_S = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1H": 3_600,
    "2H": 7_200,
    "4H": 14_400,
    "6Hutc": 21_600,
    "12Hutc": 43_200,
    "1Dutc": 86_400,
}
"""Bars that begin at multiples of their length; those of UTC+8 and of several days do not, and are not simulated."""


def candle_parts(market: Market, candle: CandleMoved, now_ns: int) -> tuple[list[str], Kline]:
    """A row of nine, and what it means: `vol` counts contracts on derivatives, `volCcy` their base coin (on spot the quote)."""
    opened, high, low, close = (
        brief(market.price_text(ticks)) for ticks in (candle.open, candle.high, candle.low, candle.close)
    )
    volume = brief(market.qty_text(candle.volume))
    turnover = brief(market.turnover_text(candle.turnover))
    base = in_base(market.listing, volume, close)
    second, quote = (turnover, turnover) if is_spot(market.listing) else (base, _quote_volume(base, close))
    row = [str(ms(candle.open_ns)), opened, high, low, close, volume, second, quote, "1" if candle.is_closed else "0"]
    event = Kline(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=None,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=base,
        trades=None,
        is_closed=candle.is_closed,
    )
    return row, event


def _quote_volume(base: str, price: str) -> str:
    return brief(format((Decimal(base) * Decimal(price)).quantize(Decimal("0.0001")), "f"))


class Candles(BaseStream):
    """`candle<bar>`: at most once a second, and when it closes; none for an interval without trades."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, instrument: str, bar: str) -> None:
        super().__init__(venue, instrument, Want(kind=CandleMoved, instrument=instrument, interval_s=BARS_S[bar]))
        self._pushed_ns = 0

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        if not happening.is_closed and happening.ts_ns - self._pushed_ns < _CANDLE_EVERY_NS:
            return ()
        self._pushed_ns = happening.ts_ns
        row, event = candle_parts(self.market, happening, now_ns)
        return (meaning([event], row),)


def mark_event(market: Market, ts_ns: int, now_ns: int, mark: str | None, index: str | None) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ms(ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        mark_price=mark,
        index_price=index,
    )


class Marks(BaseStream):
    """`mark-price`."""

    feeds = frozenset({Feed.MARK_PRICE})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Marked, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return ()
        mark = brief(self.market.mark_text(happening.mark))
        row = {"instType": type_of(self.market.listing), "instId": self.instrument, "markPx": mark}
        event = mark_event(self.market, happening.ts_ns, now_ns, mark, None)
        self._newest = meaning([event], row | {"ts": str(ms(happening.ts_ns))})
        return (self._newest,)


def followers(venue: Venue, index: str) -> list[Market]:
    """The derivatives of an index, its perpetual first."""
    found = [market for market in venue.markets.values() if market.listing.extra.get("index") == index]
    return sorted(found, key=lambda market: market.listing.market_type is MarketType.DELIVERY)


class Indices(BaseStream):
    """`index-tickers`, by the name of the index: it means the same for every derivative of it."""

    feeds = frozenset({Feed.MARK_PRICE})

    def __init__(self, venue: Venue, index: str, source: str) -> None:
        super().__init__(venue, source, Want(kind=Marked, instrument=source))
        self._index = index

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return ()
        price, ts_ns = brief(self.market.mark_text(happening.index)), happening.ts_ns
        row = {"instId": self._index, "idxPx": price, "open24h": price, "high24h": price, "low24h": price}
        events = [mark_event(market, ts_ns, now_ns, None, price) for market in followers(self._venue, self._index)]
        self._newest = meaning(events, row | {"sodUtc0": price, "sodUtc8": price, "ts": str(ms(ts_ns))})
        return (self._newest,)


def funding_row(market: Market, ts_ns: int) -> dict[str, object]:
    rate, charged_ms = brief(market.mark_text(market.funding)), ms(market.next_funding_ns)
    return {
        "formulaType": "noRate",
        "fundingRate": rate,
        "fundingTime": str(charged_ms),
        "instId": market.listing.instrument,
        "instType": type_of(market.listing),
        "method": "current_period",
        "nextFundingRate": "",
        "nextFundingTime": str(charged_ms + FUNDING_INTERVAL_S * 1_000),
        "premium": rate,
        "settFundingRate": rate,
        "settState": "settled",
        "ts": str(ms(ts_ns)),
    }


class Fundings(BaseStream):
    """`funding-rate`: the running rate, every half minute, and at once for whoever subscribes."""

    feeds = frozenset({Feed.FUNDING})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Marked, instrument=instrument))
        self._marks = 0

    def welcome(self, now_ns: int) -> Sequence[Message]:
        if self._newest is None:
            self._newest = self._message(self._venue.now_ns(), now_ns)
        return (self._newest,)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        self._marks += 1
        if self._marks % _FUNDING_EVERY:
            return ()
        self._newest = self._message(happening.ts_ns, now_ns)
        return (self._newest,)

    def _message(self, ts_ns: int, now_ns: int) -> Message:
        market = self.market
        event = FundingRate(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ms(ts_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            rate=brief(market.mark_text(market.funding)),
            interval_s=FUNDING_INTERVAL_S,
            next_funding_ns=ms(market.next_funding_ns) * NS_PER_MS,
        )
        return meaning([event], funding_row(market, ts_ns))


def interest_row(market: Market, ts_ns: int) -> dict[str, object]:
    contracts = brief(market.qty_text(market.open_interest))
    mark = brief(market.mark_text(market.mark))
    coins = in_base(market.listing, contracts, mark)
    usd = _quote_volume(coins, mark)
    row: dict[str, object] = {"instId": market.listing.instrument, "instType": type_of(market.listing)}
    return row | {"oi": contracts, "oiCcy": coins, "oiUsd": usd, "ts": str(ms(ts_ns))}


class Interests(BaseStream):
    """`open-interest`: every three seconds."""

    feeds = frozenset({Feed.OPEN_INTEREST})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=InterestMoved, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        row = interest_row(self.market, happening.ts_ns)
        event = OpenInterest(
            exchange=EXCHANGE,
            market_type=self.market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ms(happening.ts_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            open_interest=str(row["oiCcy"]),
        )
        self._newest = meaning([event], row)
        return (self._newest,)


class Liquidations(BaseStream):
    """`liquidation-orders` of a type: at most one a contract and second; a new subscription repeats the newest."""

    feeds = frozenset({Feed.LIQUIDATIONS})

    def __init__(self, venue: Venue, kind: str) -> None:
        super().__init__(venue, "", Want(kind=LiquidationDone))
        self._kind = kind
        self._told_ns: dict[str, int] = {}

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, LiquidationDone):
            return ()
        name = happening.instrument
        market = self._venue.markets[name]
        listing = market.listing
        if type_of(listing) != self._kind or happening.ts_ns - self._told_ns.get(name, 0) < _LIQUIDATION_EVERY_NS:
            return ()
        self._told_ns[name] = happening.ts_ns
        price, qty = brief(market.price_text(happening.price)), brief(market.qty_text(happening.qty))
        order = {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": "long" if happening.is_long else "short"}
        order |= {"side": "sell" if happening.is_long else "buy", "sz": qty, "ts": str(ms(happening.ts_ns))}
        index = listing.extra["index"]
        row = {"details": [order], "instFamily": index, "instId": name, "instType": self._kind, "uly": index}
        event: MarketEvent = Liquidation(
            exchange=EXCHANGE,
            market_type=listing.market_type,
            instrument=name,
            ts_event_ns=ms(happening.ts_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if happening.is_long else Liquidated.SHORT,
            price=price,
            qty=in_base(listing, qty, price),
        )
        self._newest = meaning([event], row)
        return (self._newest,)


class Instruments(BaseStream):
    """`instruments` of a type: the whole list, then what changed."""

    def __init__(self, venue: Venue, kind: str) -> None:
        super().__init__(venue, "", Want(kind=StatusChanged))
        self._kind = kind

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (meaning([], *self._rows(self._venue.markets.values())),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        rows = self._rows([self._venue.markets[happening.instrument]])
        return (meaning([], *rows),) if rows else ()

    def _rows(self, markets: Iterable[Market]) -> list[dict[str, object]]:
        return [instrument_row(market) for market in markets if type_of(market.listing) == self._kind]
