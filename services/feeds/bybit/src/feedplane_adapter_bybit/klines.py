"""Klines: `kline.<interval>.<symbol>`, pushed every 1 to 60 s."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import non_negative, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .symbols import Place
from .wire import EXCHANGE, MAX_MS, Ms, ms_of

CHANNEL = "kline"
_INTERVALS = (
    ("1m", "1", 60),
    ("3m", "3", 180),
    ("5m", "5", 300),
    ("15m", "15", 900),
    ("30m", "30", 1_800),
    ("1h", "60", 3_600),
    ("2h", "120", 7_200),
    ("4h", "240", 14_400),
    ("6h", "360", 21_600),
    ("12h", "720", 43_200),
    ("1d", "D", 86_400),
    ("1w", "W", 604_800),
)
"""Name, the venue's spelling, seconds. `M` is left out: months differ in length."""
CODES = {name: code for name, code, _ in _INTERVALS}
INTERVALS_S = {code: seconds for _, code, seconds in _INTERVALS}

_CLOSED_FOR_NS = 2 * NS_PER_S  # beyond doubt of our clock: a page also holds the candle that is still open


class Candle(msgspec.Struct, frozen=True, gc=False):
    start: Ms
    interval: str
    open: str
    close: str
    high: str
    low: str
    volume: str
    turnover: str
    confirm: bool


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5",...,"confirm":false,"timestamp":1672324988882}],"ts":...}`"""

    data: list[Candle]
    ts: Ms


Row = tuple[str, str, str, str, str, str, str]
"""Start, open, high, low, close, volume, turnover."""


def decode_klines(raw: Frame, place: Place, symbol: str, recv_ns: int, interval: str) -> list[MarketEvent]:
    """Final when `confirm`."""
    events: list[MarketEvent] = []
    for candle in raw.data:
        if candle.interval != interval:
            raise DecodeError(CHANNEL, "schema", f"interval {candle.interval[:8]!r} on a topic of {interval!r}")
        prices = (candle.open, candle.high, candle.low, candle.close)
        volume = candle.turnover if place.is_inverse else candle.volume
        events.append(
            _kline(
                place,
                symbol,
                interval,
                candle.start,
                prices,
                volume,
                recv_ns,
                ts_event_ns=raw.ts * NS_PER_MS,
                is_closed=candle.confirm,
            )
        )
    return events


def decode_kline_row(row: Row, place: Place, symbol: str, interval: str, recv_ns: int) -> Kline:
    """A row of `GET /v5/market/kline`; it has no push time, so its event time is its last millisecond."""
    start_ms = ms_of(row[0], CHANNEL, "start")
    if start_ms is None or start_ms > MAX_MS - 1_000 * INTERVALS_S[interval]:
        raise DecodeError(CHANNEL, "schema", "a candle without its start")
    end_ns = (start_ms + 1_000 * INTERVALS_S[interval] - 1) * NS_PER_MS
    return _kline(
        place,
        symbol,
        interval,
        start_ms,
        (row[1], row[2], row[3], row[4]),
        row[6] if place.is_inverse else row[5],
        recv_ns,
        ts_event_ns=end_ns,
        is_closed=end_ns + _CLOSED_FOR_NS < recv_ns,
    )


def _kline(
    place: Place,
    symbol: str,
    interval: str,
    start_ms: int,
    prices: tuple[str, str, str, str],
    base_volume: str,
    recv_ns: int,
    *,
    ts_event_ns: int,
    is_closed: bool,
) -> Kline:
    """`base_volume`: of spot and linear `volume` counts base units; of inverse it counts USD, and `turnover` the base coin."""
    opened, high, low, close = positives(CHANNEL, *prices)
    return Kline(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        open_ns=start_ms * NS_PER_MS,
        interval_s=INTERVALS_S[interval],
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=non_negative(base_volume, CHANNEL, "volume"),
        trades=None,
        is_closed=is_closed,
    )
