"""Spot's `ohlc`, and candles as events."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.dialect import CandleMoved, Happening, Market, Message, Venue, Want
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_S, Feed

from .channel import BaseStream, frame_of
from .text import EXCHANGE, iso, number, shortest

_TOLD_CANDLES = 5


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int | None, now_ns: int, *, is_closed: bool) -> Kline:
    prices = [shortest(market.price_text(ticks)) for ticks in (candle.open, candle.high, candle.low, candle.close)]
    return Kline(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=candle.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=shortest(market.qty_text(candle.volume)),
        trades=candle.trades,
        is_closed=is_closed,
    )


class Candles(BaseStream):
    """`ohlc`: on subscribing the last few; then the newest as trades change it. Nothing says that one is closed but the one that follows it."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, instrument: str, minutes: int) -> None:
        super().__init__(venue, instrument, Want(kind=CandleMoved, instrument=instrument, interval_s=60 * minutes))
        self._interval_s = 60 * minutes
        self._told: Kline | None = None

    def welcome(self, now_ns: int) -> Sequence[Message]:
        known = self._market.candles(self._interval_s, 0, 1 << 62, _TOLD_CANDLES)
        candles = [candle for candle in known if candle.trades]
        if not candles:
            return ()
        ts_ns = self._now()
        events = [
            kline_event(self._market, candle, ts_ns, now_ns, is_closed=candle is not candles[-1]) for candle in candles
        ]
        self._told = events[-1]
        return (self._message("snapshot", events, ts_ns, tuple(events)),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        event = kline_event(self._market, happening, happening.ts_ns, now_ns, is_closed=False)
        told, self._told = self._told, event
        if told is not None and (told.open_ns, told.trades) == (event.open_ns, event.trades):
            return ()
        meant: tuple[MarketEvent, ...] = (event,)
        if told is not None and told.open_ns < event.open_ns:
            closed = msgspec.structs.replace(told, is_closed=True, ts_event_ns=happening.ts_ns, ts_recv_ns=now_ns)
            meant = (closed, event)
        return (self._message("update", [event], happening.ts_ns, meant),)

    def _message(self, kind: str, candles: list[Kline], ts_ns: int, meant: tuple[MarketEvent, ...]) -> Message:
        data = [
            {
                "symbol": self.instrument,
                "open": number(candle.open),
                "high": number(candle.high),
                "low": number(candle.low),
                "close": number(candle.close),
                "trades": candle.trades,
                "volume": number(candle.volume),
                "vwap": number(candle.close),
                "interval_begin": iso(candle.open_ns, 9),
                "interval": self._interval_s // 60,
                "timestamp": iso(candle.open_ns + self._interval_s * NS_PER_S),
            }
            for candle in candles
        ]
        return Message(payload=frame_of("ohlc", kind, data, timestamp=iso(ts_ns, 9)), events=meant)
