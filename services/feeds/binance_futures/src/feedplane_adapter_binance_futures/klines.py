"""Klines: `<symbol>@kline_<interval>`, pushed every 250 ms when changed."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import non_negative, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, MarketType

from .symbols import EXCHANGE
from .wire import Id, Ms, Payload

CHANNEL = "kline"
INTERVALS_S = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
    "3d": 259_200,
    "1w": 604_800,
}
"""Intervals that can be subscribed. `1M` is left out: months differ in length, and an interval is a number of seconds here."""

_CLOSED_FOR_NS = 2 * NS_PER_S  # beyond doubt of our clock: a page also holds the candle that is still open


class Candle(msgspec.Struct, frozen=True, gc=False):
    """`k` of a kline frame."""

    t: Ms
    T: Ms
    i: str
    o: str
    c: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    v: str
    n: Id
    x: bool


class KlineUpdate(Payload, frozen=True, gc=False, tag="kline", kw_only=True):
    """`{"e":"kline","E":1638747660000,"s":"BTCUSDT","k":{"t":1638747660000,"T":1638747719999,"i":"1m","o":"0.0010",...,"n":100,"x":false}}`"""

    E: Ms
    k: Candle


KlineRow = tuple[Ms, str, str, str, str, str, Ms, str, Id, str, str, str]
"""openTime, open, high, low, close, volume, closeTime, quoteVolume, count, takerBuyBase, takerBuyQuote, ignore"""


def decode_kline(raw: KlineUpdate, market: MarketType, recv_ns: int) -> list[MarketEvent]:
    """Final when `x`; the close time `T` is the last millisecond of the interval."""
    k = raw.k
    opened, high, low, close = positives(CHANNEL, k.o, k.h, k.l, k.c)
    return [
        Kline(
            exchange=EXCHANGE,
            market_type=market,
            instrument=raw.s,
            ts_event_ns=raw.E * NS_PER_MS,
            ts_recv_ns=recv_ns,
            open_ns=k.t * NS_PER_MS,
            interval_s=_interval_s(k.i),
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=non_negative(k.v, CHANNEL, "v"),
            trades=k.n,
            is_closed=k.x,
        )
    ]


def decode_kline_row(row: KlineRow, symbol: str, market: MarketType, interval: str, recv_ns: int) -> Kline:
    """A row of `GET /fapi/v1/klines`; it has no push time, so its event time is the close time."""
    close_ns = row[6] * NS_PER_MS
    opened, high, low, close = positives(CHANNEL, *row[1:5])
    return Kline(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=close_ns,
        ts_recv_ns=recv_ns,
        open_ns=row[0] * NS_PER_MS,
        interval_s=_interval_s(interval),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=non_negative(row[5], CHANNEL, "volume"),
        trades=row[8],
        is_closed=close_ns + _CLOSED_FOR_NS < recv_ns,
    )


def _interval_s(interval: str) -> int:
    seconds = INTERVALS_S.get(interval)
    if seconds is None:
        raise DecodeError(CHANNEL, "unknown_channel", f"interval {interval[:8]!r}")
    return seconds
