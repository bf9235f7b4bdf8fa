"""Candles: `kline` of both markets. No frame says that a candle is final: it is when one of a later window comes."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from feedplane_core.decimals import Dec, non_negative, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, MarketType

from .protobuf import Message
from .symbols import Place, base_qty
from .wire import EXCHANGE, MAX_MS, Ms, Number, Seconds, text_of

SPOT, PUSH, REST = "kline", "push.kline", "klines"


class Interval(NamedTuple):
    """`code` is that of both sockets and of futures REST; spot's REST has another spelling, or no such candle."""

    name: str
    code: str
    seconds: int
    rest_code: str


_INTERVALS = (
    Interval("1m", "Min1", 60, "1m"),
    Interval("5m", "Min5", 300, "5m"),
    Interval("15m", "Min15", 900, "15m"),
    Interval("30m", "Min30", 1_800, "30m"),
    Interval("1h", "Min60", 3_600, "60m"),
    Interval("4h", "Hour4", 14_400, "4h"),
    Interval("8h", "Hour8", 28_800, ""),
    Interval("1d", "Day1", 86_400, "1d"),
    Interval("1w", "Week1", 604_800, "1W"),
)
"""`Month1` is left out: months differ in length."""
BY_NAME = {interval.name: interval for interval in _INTERVALS}
BY_CODE = {interval.code: interval for interval in _INTERVALS}
BY_REST_CODE = {interval.rest_code: interval for interval in _INTERVALS if interval.rest_code}

_CLOSED_FOR_NS = 2 * NS_PER_S  # beyond doubt of our clock: a page also holds the candle that is still open


class PushData(msgspec.Struct, frozen=True, gc=False):
    """`o h l c` go on from the candle before (as REST has them); `q` counts contracts."""

    symbol: str
    interval: str
    t: Seconds
    o: Number
    h: Number
    l: Number  # noqa: E741 (the venue's name)
    c: Number
    q: Number


class Push(msgspec.Struct, frozen=True, gc=False):
    """`{"channel":"push.kline","data":{"a":325653.3287,"c":38839,"h":38909.5,"interval":"Min1","l":38833,"o":38901.5,"q":83808,...,"symbol":"BTC_USDT","t":1651230660},"symbol":"BTC_USDT","ts":1651230713067}`"""

    channel: str
    symbol: str
    data: PushData
    ts: Ms


SpotRow = tuple[Ms, str, str, str, str, str, Ms, str]
"""Open time, open, high, low, close, base volume, close time, quote volume."""


class Columns(msgspec.Struct, frozen=True, gc=False):
    """`data` of `GET /api/v1/contract/kline/{symbol}`: a list for each column; times in seconds."""

    time: list[Seconds]
    open: list[Number]
    close: list[Number]
    high: list[Number]
    low: list[Number]
    vol: list[Number]


class Candles:
    """What a socket has said of the candle that is open, by symbol and interval."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Kline] = {}

    def on(self, kline: Kline) -> list[MarketEvent]:
        """The candle, and before it the one of an earlier window as closed, at the time of this frame."""
        key = kline.instrument, kline.interval_s
        before = self._open.get(key)
        if before is not None and kline.open_ns < before.open_ns:
            return [kline]  # late; trackers know that its window is over
        self._open[key] = kline
        if before is None or before.open_ns == kline.open_ns:
            return [kline]
        closed = msgspec.structs.replace(
            before, ts_event_ns=kline.ts_event_ns, ts_recv_ns=kline.ts_recv_ns, is_closed=True
        )
        return [closed, kline]

    def forget(self, symbol: str) -> None:
        """A frame was refused: what was the last state of its candle is not known."""
        for key in [key for key in self._open if key[0] == symbol]:
            del self._open[key]


def decode_kline(body: Message, place: Place, symbol: str, ts_event_ns: int | None, recv_ns: int) -> Kline:
    """Window times are in seconds. Source: spot v3 docs, "K-line Streams", and the schema, read 2026-11-20."""
    interval = _interval(body.interval, SPOT)
    if not 0 < body.windowStart <= MAX_MS // 1_000 - interval.seconds:
        raise DecodeError(SPOT, "schema", "windowStart is no time in seconds")
    prices = positives(SPOT, body.openingPrice, body.highestPrice, body.lowestPrice, body.closingPrice)
    return _kline(
        place,
        symbol,
        interval,
        body.windowStart * NS_PER_S,
        (prices[0], prices[1], prices[2], prices[3]),
        non_negative(body.volume or "0", SPOT, "volume"),
        recv_ns,
        ts_event_ns=ts_event_ns,
    )


def decode_push(raw: Push, place: Place, symbol: str, recv_ns: int) -> Kline:
    """Source: contract docs, "Public channels, K-line", read 2026-11-20."""
    data = raw.data
    if data.symbol != symbol:
        raise DecodeError(PUSH, "schema", f"{data.symbol[:64]!r} in a frame of {symbol[:64]!r}")
    interval = _interval(data.interval, PUSH)
    prices = _prices(PUSH, data.o, data.h, data.l, data.c)
    volume = _volume(place, symbol, data.q, prices[3], PUSH)
    at_ns = raw.ts * NS_PER_MS
    return _kline(place, symbol, interval, data.t * NS_PER_S, prices, volume, recv_ns, ts_event_ns=at_ns)


def _prices(channel: str, *numbers: Number) -> tuple[Dec, Dec, Dec, Dec]:
    opened, high, low, close = positives(channel, *map(text_of, numbers))
    return opened, high, low, close


def _volume(place: Place, symbol: str, contracts: Number, price: Dec, channel: str) -> Dec:
    """Raises: DecodeError `unknown_channel` for inverse contracts: at which price each of them was traded is not told, nor in what `a` counts there."""
    if place.market is MarketType.PERP_INVERSE:
        raise DecodeError(channel, "unknown_channel", f"{symbol[:64]}: candles of inverse contracts are not carried")
    return base_qty(place, symbol, non_negative(text_of(contracts), channel, "volume"), price, channel)


def _interval(code: str, channel: str) -> Interval:
    interval = BY_CODE.get(code)
    if interval is None:
        raise DecodeError(channel, "unknown_channel", f"interval {code[:8]!r}")
    return interval


def decode_spot_row(row: SpotRow, place: Place, symbol: str, interval: Interval, recv_ns: int) -> Kline:
    """A row has no push time, so its event time is its last millisecond."""
    opened, high, low, close = positives(REST, *row[1:5])
    volume = non_negative(row[5], REST, "volume")
    return _paged(place, symbol, interval, row[0] * NS_PER_MS, (opened, high, low, close), volume, recv_ns)


def decode_columns(raw: Columns, place: Place, symbol: str, interval: Interval, recv_ns: int) -> list[MarketEvent]:
    """Raises: DecodeError `schema` where the columns differ in length."""
    if len({len(c) for c in (raw.time, raw.open, raw.close, raw.high, raw.low, raw.vol)}) != 1:
        raise DecodeError(REST, "schema", "columns of different lengths")
    events: list[MarketEvent] = []
    for number, start_s in enumerate(raw.time):
        prices = _prices(REST, raw.open[number], raw.high[number], raw.low[number], raw.close[number])
        volume = _volume(place, symbol, raw.vol[number], prices[3], REST)
        events.append(_paged(place, symbol, interval, start_s * NS_PER_S, prices, volume, recv_ns))
    return events


def _paged(
    place: Place,
    symbol: str,
    interval: Interval,
    open_ns: int,
    prices: tuple[Dec, Dec, Dec, Dec],
    volume: Dec,
    recv_ns: int,
) -> Kline:
    end_ns = open_ns + interval.seconds * NS_PER_S - NS_PER_MS
    if end_ns > MAX_MS * NS_PER_MS:
        raise DecodeError(REST, "schema", "a candle of no time")
    is_closed = end_ns + _CLOSED_FOR_NS < recv_ns
    return _kline(place, symbol, interval, open_ns, prices, volume, recv_ns, ts_event_ns=end_ns, is_closed=is_closed)


def _kline(
    place: Place,
    symbol: str,
    interval: Interval,
    open_ns: int,
    prices: tuple[Dec, Dec, Dec, Dec],
    volume: Dec,
    recv_ns: int,
    *,
    ts_event_ns: int | None,
    is_closed: bool = False,
) -> Kline:
    opened, high, low, close = prices
    return Kline(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        open_ns=open_ns,
        interval_s=interval.seconds,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trades=None,
        is_closed=is_closed,
    )
