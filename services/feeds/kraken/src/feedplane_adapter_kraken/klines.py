"""Candles: `ohlc` and `GET /0/public/OHLC` of spot, `GET /api/charts/v1` of futures. None of them says which candle is closed."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, MarketType

from .wire import EXCHANGE, Id, Kind, Ms, Name, Number, iso_ns, price_of, size_of, time_ns, trimmed

CHANNEL = "ohlc"
CHARTS = "charts"
INTERVALS_S = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "4h": 14_400,
    "1d": 86_400,
    "1w": 604_800,
}
"""What both systems serve."""
SETTLED_AFTER_S = 60
"""A candle of a REST body is final so long after its end."""
_MINUTES = frozenset({1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600})
_MAX_REMEMBERED = 20_000


class Row(msgspec.Struct, gc=False):
    """`timestamp` (the end of the interval) is deprecated and not read."""

    symbol: Name
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    interval_begin: str
    interval: int  # minutes
    trades: Id | None = None


class Frame(msgspec.Struct, gc=False):
    """`{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,...}]}`"""

    type: Kind
    data: list[Row]
    timestamp: str = ""


class Candles:
    """The newest candle of each symbol and interval of one socket: it is closed when a newer one comes."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], Kline] = {}

    def forget(self) -> None:
        """A message was lost: what the newest candles were in the end is not known any more."""
        self._newest.clear()

    def take(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Each row as an open candle; in front of it, closed, the one that it follows. A row that a newer one follows is closed.

        Source: Spot WebSocket v2, "OHLC" channel, read 2026-11-20.
        """
        at_ns = time_ns(frame.timestamp, CHANNEL)
        rows = [_candle(row, at_ns, recv_ns) for row in frame.data]
        if len(rows) == 1:
            return self._follow(rows[0], is_followed=False)
        rows.sort(key=lambda candle: (*_key(candle), candle.open_ns))
        events: list[MarketEvent] = []
        for place, candle in enumerate(rows):
            is_followed = place + 1 < len(rows) and _key(rows[place + 1]) == _key(candle)
            events += self._follow(candle, is_followed=is_followed)
        return events

    def _follow(self, candle: Kline, *, is_followed: bool) -> list[MarketEvent]:
        key = _key(candle)
        before = self._newest.get(key)
        if before is not None and candle.open_ns < before.open_ns:
            return [_closed(candle, candle)]
        if before is None and len(self._newest) >= _MAX_REMEMBERED:
            self._newest.clear()
        if is_followed:
            candle = _closed(candle, candle)
        self._newest[key] = candle
        if before is None or before.is_closed or before.open_ns == candle.open_ns:
            return [candle]
        return [_closed(before, candle), candle]


def _closed(candle: Kline, told_by: Kline) -> Kline:
    return msgspec.structs.replace(
        candle, is_closed=True, ts_event_ns=told_by.ts_event_ns, ts_recv_ns=told_by.ts_recv_ns
    )


def _key(candle: Kline) -> tuple[str, int]:
    return candle.instrument, candle.interval_s


def _candle(row: Row, at_ns: int | None, recv_ns: int) -> Kline:
    if row.interval not in _MINUTES:
        raise DecodeError(CHANNEL, "schema", f"no interval of {row.interval} minutes")
    return Kline(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=row.symbol,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        open_ns=iso_ns(row.interval_begin, CHANNEL),
        interval_s=row.interval * 60,
        open=price_of(row.open, CHANNEL, "open"),
        high=price_of(row.high, CHANNEL, "high"),
        low=price_of(row.low, CHANNEL, "low"),
        close=price_of(row.close, CHANNEL, "close"),
        volume=size_of(row.volume, CHANNEL, "volume"),
        trades=row.trades,
        is_closed=False,
    )


RestRow: TypeAlias = tuple[Ms, Number, Number, Number, Number, Number, Number, Id]
"""time in seconds, open, high, low, close, vwap, volume, count of trades."""


def decode_rows(rows: list[RestRow], symbol: str, interval_s: int, recv_ns: int) -> list[Kline]:
    """The last row is the open candle. Source: Spot REST, "Get OHLC Data", read 2026-11-20."""
    klines = []
    for place, row in enumerate(rows):
        open_s, first, high, low, last, _, volume, count = row
        if open_s > MAX_OPEN_S:
            raise DecodeError(CHANNEL, "number_range", "time does not fit 64 bits of ns")
        klines.append(
            Kline(
                exchange=EXCHANGE,
                market_type=MarketType.SPOT,
                instrument=symbol,
                ts_event_ns=None,
                ts_recv_ns=recv_ns,
                open_ns=open_s * NS_PER_S,
                interval_s=interval_s,
                open=trimmed(price_of(first, CHANNEL, "open")),
                high=trimmed(price_of(high, CHANNEL, "high")),
                low=trimmed(price_of(low, CHANNEL, "low")),
                close=trimmed(price_of(last, CHANNEL, "close")),
                volume=trimmed(size_of(volume, CHANNEL, "volume")),
                trades=count,
                is_closed=place + 1 < len(rows) or is_settled(open_s, interval_s, recv_ns),
            )
        )
    return klines


MAX_OPEN_S = 9_000_000_000


class Chart(msgspec.Struct, gc=False):
    """`{"time":1612270800000,"open":"34900.0","high":"34950.5","low":"34880.0","close":"34920.0","volume":"152"}`."""

    time: Ms
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


class ChartBody(msgspec.Struct, gc=False):
    """Of `GET /api/charts/v1/trade/<symbol>/<interval>`."""

    candles: list[Chart]
    more_candles: bool = False


def decode_chart(chart: Chart, symbol: str, market: MarketType, interval_s: int, recv_ns: int) -> Kline:
    """`volume` in contracts, which are base units here. Source: Futures charts API, read 2026-11-20."""
    return Kline(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=None,
        ts_recv_ns=recv_ns,
        open_ns=chart.time * NS_PER_MS,
        interval_s=interval_s,
        open=price_of(chart.open, CHARTS, "open"),
        high=price_of(chart.high, CHARTS, "high"),
        low=price_of(chart.low, CHARTS, "low"),
        close=price_of(chart.close, CHARTS, "close"),
        volume=size_of(chart.volume, CHARTS, "volume"),
        trades=None,
        is_closed=is_settled(chart.time // 1_000, interval_s, recv_ns),
    )


def is_settled(open_s: int, interval_s: int, recv_ns: int) -> bool:
    return (open_s + interval_s + SETTLED_AFTER_S) * NS_PER_S <= recv_ns
