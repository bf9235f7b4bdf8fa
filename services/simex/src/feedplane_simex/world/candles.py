"""Candles of one interval, built from trades."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from feedplane_core.dialect import CandleMoved, TradeDone
from feedplane_core.names import NS_PER_S

HISTORY = 1500
"""Closed candles remembered per interval."""


class Candles:
    """The open candle of an interval and the closed ones before it."""

    def __init__(self, instrument: str, interval_s: int, price: int, now_ns: int) -> None:
        self.instrument = instrument
        self.interval_s = interval_s
        self.closed: deque[CandleMoved] = deque(maxlen=HISTORY)
        self._span_ns = interval_s * NS_PER_S
        self._last_price = price
        self._open(now_ns // self._span_ns * self._span_ns)

    def _open(self, open_ns: int) -> None:
        self.open_ns = open_ns
        self._o = self._h = self._l = self._c = self._last_price
        self._volume = self._buy_volume = self._turnover = self._buy_turnover = self._count = 0
        self._first = self._last = -1
        self.is_dirty = False

    def add(self, trade: TradeDone) -> None:
        """A trade of the open candle (`roll` up to its time came first)."""
        price, qty = trade.price, trade.qty
        if not self._count:
            self._o = self._h = self._l = price
            self._first = trade.number
        self._h = max(self._h, price)
        self._l = min(self._l, price)
        self._c = self._last_price = price
        self._last = trade.number
        self._count += 1
        self._volume += qty
        self._turnover += price * qty
        if trade.is_buy:
            self._buy_volume += qty
            self._buy_turnover += price * qty
        self.is_dirty = True

    def state(self, ts_ns: int, is_closed: bool = False) -> CandleMoved:
        """The open candle as it stands."""
        return CandleMoved(
            instrument=self.instrument,
            ts_ns=ts_ns,
            interval_s=self.interval_s,
            open_ns=self.open_ns,
            open=self._o,
            high=self._h,
            low=self._l,
            close=self._c,
            volume=self._volume,
            taker_buy_volume=self._buy_volume,
            turnover=self._turnover,
            taker_buy_turnover=self._buy_turnover,
            trades=self._count,
            first_number=self._first,
            last_number=self._last,
            is_closed=is_closed,
        )

    def roll(self, now_ns: int) -> list[CandleMoved]:
        """Close what ended at or before `now_ns`; intervals without trades close flat."""
        done: list[CandleMoved] = []
        while now_ns >= self.open_ns + self._span_ns:
            candle = self.state(max(now_ns, self.open_ns + self._span_ns), is_closed=True)
            self.closed.append(candle)
            done.append(candle)
            self._open(self.open_ns + self._span_ns)
        return done

    def update(self, now_ns: int) -> list[CandleMoved]:
        """What a timer tells: closings, and the open candle if it changed since the last time."""
        done = self.roll(now_ns)
        if self.is_dirty:
            self.is_dirty = False
            done.append(self.state(now_ns))
        return done

    def feed(self, trades: Iterable[TradeDone]) -> None:
        """Past trades, oldest first."""
        for trade in trades:
            self.roll(trade.ts_ns)
            self.add(trade)

    def between(self, start_ns: int, end_ns: int, limit: int, now_ns: int) -> list[CandleMoved]:
        """Candles with `open_ns` in [start, end), oldest first, the open one last; the newest `limit`."""
        known = [c for c in self.closed if start_ns <= c.open_ns < end_ns]
        if start_ns <= self.open_ns < end_ns and self._count:
            known.append(self.state(now_ns, is_closed=now_ns >= self.open_ns + self._span_ns))
        return known[-limit:]
