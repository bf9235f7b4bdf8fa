"""Klines: `spot.candlesticks`, `futures.candlesticks`, pushed every 2 s. The venue's letters differ: `v` is quote volume on spot, contracts on futures."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import non_negative, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .symbols import SPOT, Place, base_qty
from .wire import EXCHANGE, MAX_NS, Envelope, number_text

SPOT_KLINES = "spot.candlesticks"
FUTURES_KLINES = "futures.candlesticks"
INTERVALS_S = {
    "10s": 10,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "4h": 14_400,
    "8h": 28_800,
    "1d": 86_400,
    "7d": 604_800,
}

_CLOSED_FOR_NS = 2 * NS_PER_S  # beyond doubt of our clock: a page also holds the candle that is still open


class SpotRow(msgspec.Struct, frozen=True, gc=False):
    """`{"t":"1606292580","v":"2362.32035","c":"19128.1","h":"19128.1","l":"19128.1","o":"19128.1","n":"1m_BTC_USDT","a":"3.8283","w":true}`; `w`: closed, may be missing."""

    t: msgspec.Raw
    o: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    c: str
    n: str
    a: str  # base volume
    w: bool = False


class FuturesRow(msgspec.Struct, frozen=True, gc=False):
    """`{"t":1545129300,"v":27525555,"c":"95.4","h":"96.9","l":"89.5","o":"94.3","n":"1m_BTC_USD"}`; `v` counts contracts, the unit of `a` is not proved."""

    t: msgspec.Raw
    o: str
    h: str
    l: str  # noqa: E741
    c: str
    n: str
    v: msgspec.Raw
    w: bool = False


class RestRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /futures/{settle}/candlesticks`."""

    t: msgspec.Raw
    o: str
    h: str
    l: str  # noqa: E741
    c: str
    v: msgspec.Raw


SpotFrame = Envelope[SpotRow | list[SpotRow]]
FuturesFrame = Envelope[FuturesRow | list[FuturesRow]]


def symbol_of(name: str, channel: str) -> tuple[str, int]:
    """`1m_BTC_USDT` -> (`BTC_USDT`, 60).

    Raises: DecodeError `unknown_channel` for another interval, and for candles of mark and index prices (`1m_mark_BTC_USDT`), which are no candles of trades.
    """
    interval, _, symbol = name.partition("_")
    if interval not in INTERVALS_S or symbol.startswith(("mark_", "index_")):
        raise DecodeError(channel, "unknown_channel", f"candles {name[:64]!r}")
    return symbol, INTERVALS_S[interval]


def decode_spot_row(row: SpotRow, symbol: str, interval_s: int, pushed_ns: int | None, recv_ns: int) -> Kline:
    prices = (row.o, row.h, row.l, row.c)
    start = _start_ns(row.t, interval_s, SPOT_KLINES)
    return _kline(SPOT, symbol, interval_s, start, prices, row.a, pushed_ns, recv_ns, is_closed=row.w)


def decode_futures_row(
    row: FuturesRow, place: Place, symbol: str, interval_s: int, pushed_ns: int | None, recv_ns: int
) -> Kline:
    prices = (row.o, row.h, row.l, row.c)
    start = _start_ns(row.t, interval_s, FUTURES_KLINES)
    volume = _base_volume(row.v, place, symbol, row.c)
    return _kline(place, symbol, interval_s, start, prices, volume, pushed_ns, recv_ns, is_closed=row.w)


def decode_spot_page_row(row: list[str], symbol: str, interval_s: int, recv_ns: int) -> Kline:
    """`[t, quote volume, close, high, low, open, base volume, closed]`, all texts; rows of old end before `closed`."""
    if len(row) < 7:
        raise DecodeError(SPOT_KLINES, "schema", f"a row of {len(row)}")
    if not row[0].isascii() or not row[0].isdecimal():
        raise DecodeError(SPOT_KLINES, "schema", "a candle without its start")
    start = _start_ns(msgspec.Raw(row[0].encode()), interval_s, SPOT_KLINES)
    end_ns = start + interval_s * NS_PER_S - NS_PER_MS
    is_closed = row[7] == "true" if len(row) > 7 else end_ns + _CLOSED_FOR_NS < recv_ns
    prices = (row[5], row[3], row[4], row[2])
    return _kline(SPOT, symbol, interval_s, start, prices, row[6], end_ns, recv_ns, is_closed=is_closed)


def decode_futures_page_row(row: RestRow, place: Place, symbol: str, interval_s: int, recv_ns: int) -> Kline:
    """A row has no push time, so its event time is its last millisecond."""
    start = _start_ns(row.t, interval_s, FUTURES_KLINES)
    end_ns = start + interval_s * NS_PER_S - NS_PER_MS
    volume = _base_volume(row.v, place, symbol, row.c)
    is_closed = end_ns + _CLOSED_FOR_NS < recv_ns
    prices = (row.o, row.h, row.l, row.c)
    return _kline(place, symbol, interval_s, start, prices, volume, end_ns, recv_ns, is_closed=is_closed)


def _start_ns(raw: msgspec.Raw, interval_s: int, channel: str) -> int:
    text = number_text(raw)
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:19]) <= MAX_NS // NS_PER_S - interval_s:
        raise DecodeError(channel, "schema", "a candle without its start")
    return int(text[:19]) * NS_PER_S


def _base_volume(raw: msgspec.Raw, place: Place, symbol: str, close: str) -> str:
    """Contracts in base units. Of inverse ones, whose base volume is not sent, it is an estimate: USD at the candle's close."""
    contracts = non_negative(number_text(raw), FUTURES_KLINES, "volume")
    (price,) = positives(FUTURES_KLINES, close)
    return base_qty(place, symbol, contracts, price, FUTURES_KLINES)


def _kline(
    place: Place,
    symbol: str,
    interval_s: int,
    start_ns: int,
    prices: tuple[str, str, str, str],
    base_volume: str,
    event_ns: int | None,
    recv_ns: int,
    *,
    is_closed: bool,
) -> Kline:
    channel = SPOT_KLINES if place is SPOT else FUTURES_KLINES
    opened, high, low, close = positives(channel, *prices)
    return Kline(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=event_ns,
        ts_recv_ns=recv_ns,
        open_ns=start_ns,
        interval_s=interval_s,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=non_negative(base_volume, channel, "volume"),
        trades=None,
        is_closed=is_closed,
    )
