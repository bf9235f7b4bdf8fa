"""Candles: `market.<symbol>.kline.<period>`, and the pages of `history/kline`. No message says that a candle is closed: the next one does."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from feedplane_core.decimals import Dec, non_negative, positive
from feedplane_core.events import Kline
from feedplane_core.names import NS_PER_S, MarketType

from .levels import multiplier
from .wire import EXCHANGE, Ms, Number, Seq, text_of

CHANNEL = "kline"
PERIODS = {
    "1m": "1min",
    "5m": "5min",
    "15m": "15min",
    "30m": "30min",
    "1h": "60min",
    "4h": "4hour",
    "1d": "1day",
    "1w": "1week",
}
"""Interval -> how the venue calls it. `1mon` and `1year` are left out: they differ in length, and an interval is a number of seconds here."""
PERIOD_S = {
    "1min": 60,
    "5min": 300,
    "15min": 900,
    "30min": 1_800,
    "60min": 3_600,
    "4hour": 14_400,
    "1day": 86_400,
    "1week": 604_800,
}
CLOSED_FOR_NS = 2 * NS_PER_S
"""Beyond doubt of our clock: a page also holds the candle that is still open."""

_LATE_PUSH_NS = 60 * NS_PER_S
_MAX_OPEN_S = 9_223_372_036 - 604_800
OpenS: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=_MAX_OPEN_S)]

_half = multiplier("0.5", CHANNEL)


class Candle(msgspec.Struct, frozen=True, gc=False):
    """Spot `{"id":1630981680,"open":0.074849,"close":0.074848,"low":0.074848,"high":0.074849,"amount":2.4448,"vol":0.1829884187,"count":3}`,
    linear `{"id":1603707120,"mrid":131592424,...,"amount":0.004,"vol":4,"trade_turnover":52.2708,"count":1}`: base units of both sides. A page's rows are alike."""

    id: OpenS
    open: Number
    high: Number
    low: Number
    close: Number
    amount: Number
    count: Seq | None = None


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.ethbtc.kline.1min","ts":1630981694370,"tick":{...}}`."""

    tick: Candle
    ts: Ms


def decode_candle(
    raw: Candle, symbol: str, market: MarketType, interval_s: int, ts_event_ns: int | None, recv_ns: int
) -> Kline:
    """A candle as it stands. Contracts count both sides, so half of `amount` was traded; their `count` is ambiguous and unmapped.

    Source: HTX documents, "Kline", "Subscribe KLine Data", read 2026-11-20.
    """
    amount = non_negative(text_of(raw.amount, CHANNEL), CHANNEL, "amount")
    is_spot = market is MarketType.SPOT
    return Kline(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        open_ns=raw.id * NS_PER_S,
        interval_s=interval_s,
        open=_price(raw.open, "open"),
        high=_price(raw.high, "high"),
        low=_price(raw.low, "low"),
        close=_price(raw.close, "close"),
        volume=amount if is_spot else _half(amount),
        trades=raw.count if is_spot else None,
        is_closed=False,
    )


def _price(raw: Number, field: str) -> Dec:
    return positive(text_of(raw, CHANNEL), CHANNEL, field)


class OpenCandles:
    """The newest candle of each topic of one socket: what it was when the next one appears is how it closed."""

    MAX_TOPICS = 10_000

    def __init__(self) -> None:
        self._newest: dict[str, Kline] = {}

    def on_candle(self, topic: str, kline: Kline) -> list[Kline]:
        """The candle, after the one before it where that is closed by it.

        One whose time lies far from its own push (the last of a market long silent, a damaged frame) is passed on and closes nothing.
        """
        pushed_ns, ends_ns = kline.ts_event_ns or 0, kline.open_ns + kline.interval_s * NS_PER_S
        if not kline.open_ns <= pushed_ns < ends_ns + _LATE_PUSH_NS:
            return [kline]
        before = self._newest.get(topic)
        if before is not None or len(self._newest) < self.MAX_TOPICS:
            self._newest[topic] = kline
        if before is None or kline.open_ns <= before.open_ns:
            return [kline]
        closed = msgspec.structs.replace(
            before, is_closed=True, ts_event_ns=kline.ts_event_ns, ts_recv_ns=kline.ts_recv_ns
        )
        return [closed, kline]
