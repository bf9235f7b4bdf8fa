"""Candles by REST alone: `GET /products/{id}/candles`. Rows are JSON numbers, kept as the text they were sent as."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from feedplane_core.decimals import Dec, non_negative, positive
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline
from feedplane_core.names import NS_PER_S, MarketType

from .wire import EXCHANGE, Id

CHANNEL = "candles"
GRANULARITY_S = {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "6h": 21_600, "1d": 86_400}
"""All that the venue serves."""
SETTLED_AFTER_S = 60
"""A bucket may still take in trades for a while after its end; a minute later it is final."""

_MAX_TIME_S = 2**63 // NS_PER_S - 604_800

CandleRow: TypeAlias = tuple[Id, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw]
"""time (s), low, high, open, close, volume: low before high, both before open."""


def decode_candle(row: CandleRow, product: str, interval_s: int, recv_ns: int) -> Kline:
    """Buckets without trades are left out by the venue; there is no count of trades and no time but the bucket's own.

    Source: Exchange REST, "Get product candles", read 2026-11-20.
    """
    if not 0 < row[0] <= _MAX_TIME_S:
        raise DecodeError(CHANNEL, "number_range", "time does not fit 64 bits of ns")
    return Kline(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=product,
        ts_event_ns=None,
        ts_recv_ns=recv_ns,
        open_ns=row[0] * NS_PER_S,
        interval_s=interval_s,
        open=positive(_text(row[3]), CHANNEL, "open"),
        high=positive(_text(row[2]), CHANNEL, "high"),
        low=positive(_text(row[1]), CHANNEL, "low"),
        close=positive(_text(row[4]), CHANNEL, "close"),
        volume=non_negative(_text(row[5]), CHANNEL, "volume"),
        trades=None,
        is_closed=(row[0] + interval_s + SETTLED_AFTER_S) * NS_PER_S <= recv_ns,
    )


def _text(raw: msgspec.Raw) -> Dec:
    """The digits of a JSON number (or of a string that holds one), untouched by binary floating point."""
    return bytes(raw).decode(errors="replace").strip().strip('"')
