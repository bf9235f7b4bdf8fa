"""Candles. Classic rows are open, CLOSE, HIGH, LOW; pages of futures open, high, low, close."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec
from feedplane_core.decimals import non_negative, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline
from feedplane_core.names import NS_PER_S, MarketType

from .units import Units
from .wire import EXCHANGE, Stamp, Symbol, integer_of, ns_of, number_text

CHANNEL = "kline"


class Interval(NamedTuple):
    seconds: int
    name: str  # as both systems and spot pages spell it; futures pages count minutes


INTERVALS = {
    "1m": Interval(60, "1min"),
    "3m": Interval(180, "3min"),
    "5m": Interval(300, "5min"),
    "15m": Interval(900, "15min"),
    "30m": Interval(1_800, "30min"),
    "1h": Interval(3_600, "1hour"),
    "2h": Interval(7_200, "2hour"),
    "4h": Interval(14_400, "4hour"),
    "6h": Interval(21_600, "6hour"),
    "8h": Interval(28_800, "8hour"),
    "12h": Interval(43_200, "12hour"),
    "1d": Interval(86_400, "1day"),
    "1w": Interval(604_800, "1week"),
}
BY_NAME = {interval.name: key for key, interval in INTERVALS.items()}
BY_MINUTES = {interval.seconds // 60: key for key, interval in INTERVALS.items()}

_CLOSED_FOR_NS = 2 * NS_PER_S  # beyond doubt of our clock: a page also holds the candle that is still open
_MAX_OPEN_S = (2**63 - 1) // NS_PER_S - 604_800
_MAX_REMEMBERED = 20_000


class UtaKline(msgspec.Struct, frozen=True, gc=False):
    """`d` of `kline.SPOT` and `kline.FUTURES`; `S`: closed.

    `{"o":"71725.1","c":"71728.1","l":"71725.1","h":"71728.1","S":false,"v":"0.01504768","i":"1min","C":1776090780,"s":"BTC-USDT","O":1776090720}`
    """

    s: Symbol
    i: str
    O: int  # noqa: E741 (the venue's name)
    o: str
    h: str
    l: str  # noqa: E741
    c: str
    v: str
    S: bool


class Candles(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/market/candles`.

    `{"symbol":"BTC-USDT","candles":["1589968800","9786.9","9740.8","9806.1","9732","27.45649579","268280.09830877"],"time":1589970010253893337}`
    """

    symbol: Symbol
    candles: tuple[str, str, str, str, str, str, str]
    time: Stamp


SpotRow: TypeAlias = tuple[str, str, str, str, str, str, str]
"""start (s), open, close, high, low, volume (base), turnover"""


class FuturesRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`[1575331200000,7495.01,8309.67,7250,7463.55,50321]`: time (ms), open, high, low, close, contracts; newer answers add a turnover."""

    time: Stamp
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw


def interval_of(name: str) -> Interval:
    """Of the venue's name. Raises: DecodeError `unknown_channel` for one that is not carried."""
    key = BY_NAME.get(name)
    if key is None:
        raise DecodeError(CHANNEL, "unknown_channel", f"interval {name[:16]!r}")
    return INTERVALS[key]


def decode_uta_kline(raw: UtaKline, units: Units, pushed_ns: int, recv_ns: int) -> Kline:
    """There is no time in the data but the candle's own: the event time is that of the push."""
    seconds = interval_of(raw.i).seconds
    prices = (raw.o, raw.h, raw.l, raw.c)
    return _kline(units, raw.O, seconds, prices, raw.v, pushed_ns, recv_ns, is_closed=raw.S)


def decode_candle(row: SpotRow, units: Units, seconds: int, ts_event_ns: int | None, recv_ns: int) -> Kline:
    """The classic order, on the socket and in pages. Whether it is closed is not said."""
    open_s = integer_of(row[0], CHANNEL, "start")
    prices = (row[1], row[3], row[4], row[2])
    return _kline(units, open_s, seconds, prices, row[5], ts_event_ns, recv_ns, is_closed=False)


def decode_futures_row(row: FuturesRow, units: Units, seconds: int, recv_ns: int) -> Kline:
    prices = (number_text(row.open), number_text(row.high), number_text(row.low), number_text(row.close))
    open_s = ns_of(row.time, CHANNEL) // NS_PER_S
    return _kline(units, open_s, seconds, prices, number_text(row.volume), None, recv_ns, is_closed=False)


def settled(kline: Kline) -> Kline:
    """A page's candle, closed where its end lies beyond doubt in the past."""
    end_ns = kline.open_ns + kline.interval_s * NS_PER_S + _CLOSED_FOR_NS
    return msgspec.structs.replace(kline, is_closed=end_ns <= kline.ts_recv_ns)


class OpenCandles:
    """Tells when a classic candle is closed: the stream has no flag, but speaks of the next candle only when this one is final.

    Recorded 2021-04-25: a candle's `trade.candles.add` comes after the last state of the one before, never the other way round.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Kline] = {}

    def on_candle(self, kline: Kline) -> list[Kline]:
        """The candle as it stands, behind the one that it closes."""
        key = (kline.instrument, kline.interval_s)
        last = self._open.get(key)
        if last is None and len(self._open) >= _MAX_REMEMBERED:
            self._open.clear()
        self._open[key] = kline
        if last is None or kline.open_ns <= last.open_ns:
            return [kline]
        return [msgspec.structs.replace(last, is_closed=True, ts_recv_ns=kline.ts_recv_ns), kline]


def decode_candles(raw: Candles, topic: str, units: Units, recv_ns: int) -> Kline:
    """`topic`: `/market/candles:BTC-USDT_1hour`."""
    interval = interval_of(topic.rpartition("_")[2])
    return decode_candle(raw.candles, units, interval.seconds, ns_of(raw.time, CHANNEL), recv_ns)


def _kline(
    units: Units,
    open_s: int,
    seconds: int,
    prices: tuple[str, str, str, str],
    volume: str,
    ts_event_ns: int | None,
    recv_ns: int,
    *,
    is_closed: bool,
) -> Kline:
    """`prices`: open, high, low, close. Contracts of inverse candles are converted at the close."""
    if not 0 < open_s <= _MAX_OPEN_S:
        raise DecodeError(CHANNEL, "number_range", "start does not fit 64 bits of ns")
    opened, high, low, close = positives(CHANNEL, *prices)
    volume = non_negative(volume, CHANNEL, "volume")
    if units.market is not MarketType.SPOT:
        volume = units.qty(volume, close, CHANNEL)
    return Kline(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        open_ns=open_s * NS_PER_S,
        interval_s=seconds,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trades=None,
        is_closed=is_closed,
    )
