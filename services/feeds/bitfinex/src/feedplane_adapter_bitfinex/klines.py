"""Candles: `trade:1m:tBTCUSD`. None of them says that it is closed: a later one does."""

from __future__ import annotations

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_S, MarketType

from .wire import EXCHANGE, Row, Value, ms_ns, price_of, row_of, size_of

CHANNEL = "candles"
_INTERVALS = (
    ("1m", "1m", 60),
    ("5m", "5m", 300),
    ("15m", "15m", 900),
    ("30m", "30m", 1_800),
    ("1h", "1h", 3_600),
    ("3h", "3h", 10_800),
    ("6h", "6h", 21_600),
    ("12h", "12h", 43_200),
    ("1d", "1D", 86_400),
    ("1w", "1W", 604_800),
    ("14d", "14D", 1_209_600),
)
"""Name, the venue's spelling, seconds. `1M` is left out: months differ in length."""
CODES = {name: code for name, code, _ in _INTERVALS}
INTERVALS_S = {code: seconds for _, code, seconds in _INTERVALS}
SETTLED_AFTER_S = 60
"""A candle of a REST page is final so long after its end."""


def decode_candle(
    row: Row, symbol: str, market: MarketType, interval_s: int, ts_event_ns: int | None, recv_ns: int
) -> Kline:
    """`[MTS, OPEN, CLOSE, HIGH, LOW, VOLUME]`: close before high; `MTS` is the open time, volume is in base coins. As an open one.

    Raises: DecodeError. Source: v2 docs, WS public candles, read 2026-11-20.
    """
    return Kline(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        open_ns=ms_ns(row[0], CHANNEL),
        interval_s=interval_s,
        open=price_of(row[1], CHANNEL, "open"),
        close=price_of(row[2], CHANNEL, "close"),
        high=price_of(row[3], CHANNEL, "high"),
        low=price_of(row[4], CHANNEL, "low"),
        volume=size_of(row[5], CHANNEL, "volume"),
        trades=None,
        is_closed=False,
    )


class Candles:
    """One `candles` channel and its newest candle."""

    def __init__(self, symbol: str, market: MarketType, interval_s: int) -> None:
        self._symbol = symbol
        self._market = market
        self._interval_s = interval_s
        self._newest: Kline | None = None

    def on_candles(self, value: Value, ts_event_ns: int | None, recv_ns: int) -> list[MarketEvent]:
        """A snapshot (newest first) or one candle; in front of a new one, closed, the one that it follows. Raises: DecodeError."""
        rows = row_of(value, CHANNEL, 0)
        if rows and type(rows[0]) is not list:
            rows = [rows]
        candles = [
            decode_candle(row_of(row, CHANNEL, 6), self._symbol, self._market, self._interval_s, ts_event_ns, recv_ns)
            for row in rows
        ]
        events: list[MarketEvent] = []
        for candle in sorted(candles, key=_open_ns):
            events += self._follow(candle)
        return events

    def _follow(self, candle: Kline) -> list[MarketEvent]:
        before = self._newest
        if before is not None and candle.open_ns < before.open_ns:
            return [msgspec.structs.replace(candle, is_closed=True)]  # a late correction
        self._newest = candle
        if before is None or before.open_ns == candle.open_ns:
            return [candle]
        closed = msgspec.structs.replace(
            before, is_closed=True, ts_event_ns=candle.ts_event_ns, ts_recv_ns=candle.ts_recv_ns
        )
        return [closed, candle]


def _open_ns(candle: Kline) -> int:
    return candle.open_ns


def key_of(interval: str, symbol: str) -> str:
    """`trade:1m:tBTCUSD`; `interval` in the venue's spelling."""
    return f"trade:{interval}:{symbol}"


def parts_of(key: str) -> tuple[int, str]:
    """(seconds, symbol) of `trade:1m:tBTCUSD`. Raises: DecodeError `unknown_channel` for other candles (funding, months)."""
    kind, _, rest = key.partition(":")
    interval, _, symbol = rest.partition(":")
    if kind != "trade" or interval not in INTERVALS_S or not symbol.startswith("t"):
        raise DecodeError(CHANNEL, "unknown_channel", f"candles {key[:64]!r}")
    return INTERVALS_S[interval], symbol


def is_settled(kline: Kline, recv_ns: int) -> bool:
    return kline.open_ns + (kline.interval_s + SETTLED_AFTER_S) * NS_PER_S <= recv_ns
