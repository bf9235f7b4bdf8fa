"""Klines: `candle<bar>` on the business socket, at most once a second, and pages of history."""

from __future__ import annotations

from typing import Literal

import msgspec
from feedplane_core.decimals import non_negative, positives
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_MS

from .places import Place
from .wire import EXCHANGE, Ms

CHANNEL = "candle"
BARS = {
    "1s": "1s",
    "1m": "1m",
    "3m": "3m",
    "5m": "5m",
    "15m": "15m",
    "30m": "30m",
    "1h": "1H",
    "2h": "2H",
    "4h": "4H",
    "6h": "6Hutc",
    "12h": "12Hutc",
    "1d": "1Dutc",
    "2d": "2Dutc",
    "3d": "3Dutc",
    "5d": "5Dutc",
    "1w": "1Wutc",
}
"""Interval -> the venue's bar. From six hours on the plain bars begin at midnight UTC+8. Months differ in length and are left out."""
INTERVALS_S = {
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
    "12h": 43_200,
    "1d": 86_400,
    "2d": 172_800,
    "3d": 259_200,
    "5d": 432_000,
    "1w": 604_800,
}
BAR_SECONDS = {bar: INTERVALS_S[interval] for interval, bar in BARS.items()}
BAR_SECONDS |= {bar.removesuffix("utc"): seconds for bar, seconds in BAR_SECONDS.items()}
"""With the bars of UTC+8, which decode too: their opening time says where they begin."""

Row = tuple[Ms, str, str, str, str, str, str, str, Literal["0", "1"]]
"""Opening time, open, high, low, close, volume (contracts on derivatives), volume (quote on spot, base on derivatives), volume in quote, confirm."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.58","5529.58","0"]]}`"""

    data: list[Row]


def decode_klines(raw: Frame, place: Place, recv_ns: int, interval_s: int, channel: str) -> list[MarketEvent]:
    return [decode_kline(row, place, recv_ns, interval_s, channel) for row in raw.data]


def decode_kline(row: Row, place: Place, recv_ns: int, interval_s: int, channel: str = CHANNEL) -> Kline:
    """Rows have no push time and no number of trades. Closed when `confirm` is 1.

    Source: v5 docs, "Candlesticks channel" and "Get candlesticks", read 2026-11-20.
    """
    opened, high, low, close = positives(channel, *row[1:5])
    return Kline(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=None,
        ts_recv_ns=recv_ns,
        open_ns=row[0] * NS_PER_MS,
        interval_s=interval_s,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=non_negative(row[5] if place.is_spot else row[6], channel, "volume"),
        trades=None,
        is_closed=row[8] == "1",
    )
