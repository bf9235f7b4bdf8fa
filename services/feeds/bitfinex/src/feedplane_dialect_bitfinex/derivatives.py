"""Candles, the status of derivatives, and liquidations."""

from __future__ import annotations

from collections.abc import Sequence

from feedplane_core.dialect import CandleMoved, Happening, LiquidationDone, Marked, Market, Message, Venue, Want
from feedplane_core.events import FundingRate, Kline, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Liquidated

from .channel import EXCHANGE, BaseStream, js, ms, short

FUNDING_INTERVAL_S = 8 * 3600
_SNAPSHOT_CANDLES = 240
_FIRST_POSITION = 143_000_000


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int | None, now_ns: int, *, is_closed: bool) -> Kline:
    return Kline(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=short(market.price_text(candle.open)),
        high=short(market.price_text(candle.high)),
        low=short(market.price_text(candle.low)),
        close=short(market.price_text(candle.close)),
        volume=short(market.qty_text(candle.volume)),
        trades=None,
        is_closed=is_closed,
    )


def candle_row(market: Market, candle: CandleMoved) -> str:
    """`[MTS,OPEN,CLOSE,HIGH,LOW,VOLUME]`"""
    prices = [market.price_text(p) for p in (candle.open, candle.close, candle.high, candle.low)]
    return f"[{ms(candle.open_ns)},{','.join(map(js, prices))},{js(market.qty_text(candle.volume))}]"


class Candles(BaseStream):
    """`candles`: no row says that it is final, and an interval without trades has none. The next row means that the one before it is closed."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, symbol: str, interval_s: int) -> None:
        want = Want(kind=CandleMoved, instrument=symbol, interval_s=interval_s)
        super().__init__(venue, symbol, [want])
        self._interval_s = interval_s
        self._last: CandleMoved | None = None

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market, at_ns = self._market, self._venue.now_ns()
        candles = [c for c in market.candles(self._interval_s, 0, 1 << 62, _SNAPSHOT_CANDLES) if c.trades]
        self._last = candles[-1] if candles else None
        event_ns = ms(at_ns) * NS_PER_MS
        events = []
        for place, candle in enumerate(candles):
            events.append(kline_event(market, candle, event_ns, now_ns, is_closed=False))
            if place + 1 < len(candles):
                events.append(kline_event(market, candle, event_ns, now_ns, is_closed=True))
        rows = ",".join(candle_row(market, candle) for candle in reversed(candles))
        return (self._greet(f"[[{rows}]]", at_ns, *events),)

    def _on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        market, before, event_ns = self._market, self._last, ms(happening.ts_ns) * NS_PER_MS
        self._last = happening
        events = [kline_event(market, happening, event_ns, now_ns, is_closed=False)]
        if before is not None and before.open_ns < happening.open_ns:
            events.insert(0, kline_event(market, before, event_ns, now_ns, is_closed=True))
        return (self._say(f"[{candle_row(market, happening)}]", happening.ts_ns, *events),)


def status_row(market: Market, mts: int) -> str:
    """Of the socket and of the history; mark and index are one number."""
    mark, rate = js(market.mark_text(market.mark)), js(market.mark_text(market.funding))
    next_ms, interest = ms(market.next_funding_ns), js(market.qty_text(market.open_interest))
    spot = js(market.listing.start_price)
    return (
        f"[{mts},null,{mark},{spot},null,62210384.95685668,null,{next_ms},0.00015317,3873,null,{rate},null,null,{mark},"
        f"null,null,{interest},null,null,null,0.0005,0.0025]"
    )


class Status(BaseStream):
    """`deriv:`: every second, stamped in whole ones; a stamp that was told before is no news."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})

    def __init__(self, venue: Venue, symbol: str) -> None:
        super().__init__(venue, symbol, [Want(kind=Marked, instrument=symbol)])
        self._told_mts = 0

    def welcome(self, now_ns: int) -> Sequence[Message]:
        at_ns = self._venue.now_ns()
        mts = at_ns // NS_PER_S * 1_000
        self._told_mts = mts
        return (self._greet(f"[{status_row(self._market, mts)}]", at_ns, *self._events(mts, now_ns)),)

    def _on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        mts = happening.ts_ns // NS_PER_S * 1_000
        events = self._events(mts, now_ns) if mts != self._told_mts else ()
        self._told_mts = mts
        return (self._say(f"[{status_row(self._market, mts)}]", happening.ts_ns, *events),)

    def _events(self, mts: int, now_ns: int) -> Sequence[MarketEvent]:
        market, at_ns = self._market, mts * NS_PER_MS
        mark, market_type = short(market.mark_text(market.mark)), market.listing.market_type
        return [
            MarkPrice(
                exchange=EXCHANGE,
                market_type=market_type,
                instrument=self.instrument,
                ts_event_ns=at_ns,
                ts_recv_ns=now_ns,
                mark_price=mark,
                index_price=mark,
            ),
            FundingRate(
                exchange=EXCHANGE,
                market_type=market_type,
                instrument=self.instrument,
                ts_event_ns=at_ns,
                ts_recv_ns=now_ns,
                rate=short(market.mark_text(market.funding)),
                interval_s=FUNDING_INTERVAL_S,
                next_funding_ns=ms(market.next_funding_ns) * NS_PER_MS,
            ),
            OpenInterest(
                exchange=EXCHANGE,
                market_type=market_type,
                instrument=self.instrument,
                ts_event_ns=at_ns,
                ts_recv_ns=now_ns,
                open_interest=short(market.qty_text(market.open_interest)),
            ),
        ]


class Liquidations(BaseStream):
    """`liq:global`: of all pairs; a trigger, and the fill that belongs to it."""

    feeds = frozenset({Feed.LIQUIDATIONS})

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, "", [Want(kind=LiquidationDone)])

    def _on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, LiquidationDone):
            return ()
        market, done_ms = self._venue.markets[happening.instrument], ms(happening.ts_ns)
        price, qty = market.price_text(happening.price), market.qty_text(happening.qty)
        event = Liquidation(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=happening.instrument,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if happening.is_long else Liquidated.SHORT,
            price=short(price),
            qty=short(qty),
        )
        sign = "" if happening.is_long else "-"
        head = f'"pos",{_FIRST_POSITION + happening.number},{done_ms},null,"{happening.instrument}",{sign}{js(qty)}'
        tail = f"{js(market.listing.start_price)},null,%d,1,null,{js(price)}"
        return (
            self._say(f"[[[{head},{tail % 0}]]]", happening.ts_ns, event),
            self._say(f"[[[{head},{tail % 1}]]]", happening.ts_ns),
        )
