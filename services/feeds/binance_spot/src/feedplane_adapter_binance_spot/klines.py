"""Candles: `<s>@kline_<i>` and the twelve-column rows of `GET /api/v3/klines`."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from feedplane_core.decimals import non_negative, positive
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline
from feedplane_core.names import NS_PER_S, MarketType

from .wire import EXCHANGE, Count, Symbol, event_ns

INTERVAL_S = {
    "1s": 1,
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
"""The venue's interval names. `1M` is missing on purpose: a calendar month has no fixed length."""

_SPOT = MarketType.SPOT


class Candle(msgspec.Struct, gc=False):
    """The inner `k` of a kline message; `x` true: final."""

    t: int
    i: str
    o: str
    c: str
    h: str
    l: str  # noqa: E741 - the venue's spelling
    v: str
    n: Count
    x: bool


class KlineData(msgspec.Struct, tag_field="e", tag="kline", gc=False):
    """`{"e":"kline","E":...,"s":"NKNUSDT","k":{"t":1633998480000,"T":1633998539999,"i":"1m","o":"0.3527",...,"n":30,"x":false}}`."""

    E: int
    s: Symbol
    k: Candle


KlineRow: TypeAlias = tuple[int, str, str, str, str, str, int, str, Count, str, str, Any]
"""open time, open, high, low, close, volume, close time, quote volume, trades, taker base, taker quote, ignore."""


def interval_seconds(name: str, channel: str) -> int:
    """Raises: DecodeError `schema` for an interval without a fixed length."""
    seconds = INTERVAL_S.get(name)
    if seconds is None:
        raise DecodeError(channel, "schema", f"interval {name[:8]!r} has no fixed length")
    return seconds


def decode_kline(data: KlineData, recv_ns: int) -> Kline:
    """Source: WebSocket Streams, "Kline/Candlestick Streams for UTC", read 2026-11-20."""
    k = data.k
    return Kline(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=data.s,
        ts_event_ns=event_ns(data.E, "kline"),
        ts_recv_ns=recv_ns,
        open_ns=event_ns(k.t, "kline"),
        interval_s=interval_seconds(k.i, "kline"),
        open=positive(k.o, "kline", "open"),
        high=positive(k.h, "kline", "high"),
        low=positive(k.l, "kline", "low"),
        close=positive(k.c, "kline", "close"),
        volume=non_negative(k.v, "kline", "volume"),
        trades=k.n,
        is_closed=k.x,
    )


def decode_kline_row(row: KlineRow, symbol: str, interval: str, recv_ns: int) -> Kline:
    """A row has no final flag and no time of its own: it is closed when its interval was over before the answer came.

    Source: REST API, "Kline/Candlestick data", read 2026-11-20.
    """
    interval_s = interval_seconds(interval, "klines")
    open_ns = event_ns(row[0], "klines")
    return Kline(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=symbol,
        ts_event_ns=None,
        ts_recv_ns=recv_ns,
        open_ns=open_ns,
        interval_s=interval_s,
        open=positive(row[1], "klines", "open"),
        high=positive(row[2], "klines", "high"),
        low=positive(row[3], "klines", "low"),
        close=positive(row[4], "klines", "close"),
        volume=non_negative(row[5], "klines", "volume"),
        trades=row[8],
        is_closed=open_ns + interval_s * NS_PER_S <= recv_ns,
    )
