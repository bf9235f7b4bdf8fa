"""Native best bid and ask. Futures count contracts; an empty side has price and size 0."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import are_plain, is_zero, non_negative
from feedplane_core.errors import DecodeError
from feedplane_core.events import TopOfBook
from feedplane_core.names import MarketType

from .units import Units
from .wire import EXCHANGE, Seq, Stamp, Symbol, integer_of, ns_of, number_text

TICKER, LEVEL1, TICKER_V2 = "ticker", "level1", "tickerV2"


class UtaTicker(msgspec.Struct, frozen=True, gc=False):
    """`d` of `ticker.SPOT`: `{"A":"0.97675941","B":"0.02052839","E":25958853459,"M":1768206966096000000,"a":"90968.2","b":"90968.1","s":"BTC-USDT",...}`; capitals are sizes."""

    s: Symbol
    E: Seq
    M: Stamp
    a: str | None
    A: str | None
    b: str | None
    B: str | None


class SpotTicker(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/market/ticker`.

    `{"sequence":"1612844051653","bestAsk":"0.00028717","bestAskSize":"14.04","bestBid":"0.00028678","bestBidSize":"3.7","time":1619378326323,...}`
    """

    sequence: str | int
    bestAsk: str | None
    bestAskSize: str | None
    bestBid: str | None
    bestBidSize: str | None
    time: Stamp | None = None


class Level1(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/spotMarket/level1`: `{"asks":["68145.8","0.51987471"],"bids":["68145.7","1.29267802"],"timestamp":1729816058766}`: one flat level a side."""

    asks: list[str]
    bids: list[str]
    timestamp: Stamp


class TickerV2(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/contractMarket/tickerV2`.

    `{"symbol":"BCHUSDTM","sequence":1695158749093,"bestBidSize":480,"bestBidPrice":"236.76","bestAskPrice":"236.77","bestAskSize":126,"ts":1705708800078000000}`
    """

    symbol: Symbol
    sequence: Seq
    bestBidPrice: msgspec.Raw
    bestBidSize: msgspec.Raw
    bestAskPrice: msgspec.Raw
    bestAskSize: msgspec.Raw
    ts: Stamp


def decode_uta_ticker(raw: UtaTicker, units: Units, recv_ns: int) -> TopOfBook:
    return quote(units, (raw.b, raw.B, raw.a, raw.A), raw.E, ns_of(raw.M, TICKER), recv_ns, TICKER)


def decode_spot_ticker(raw: SpotTicker, units: Units, recv_ns: int) -> TopOfBook:
    """`sequence` is of the number space of the book (recorded: the ticker's is the book's of that moment)."""
    numbers = (raw.bestBid, raw.bestBidSize, raw.bestAsk, raw.bestAskSize)
    seq = integer_of(raw.sequence, TICKER, "sequence")
    return quote(units, numbers, seq, None if raw.time is None else ns_of(raw.time, TICKER), recv_ns, TICKER)


def decode_level1(raw: Level1, units: Units, recv_ns: int) -> TopOfBook:
    numbers = (*_flat(raw.bids), *_flat(raw.asks))
    return quote(units, numbers, None, ns_of(raw.timestamp, LEVEL1), recv_ns, LEVEL1)


def decode_ticker_v2(raw: TickerV2, units: Units, recv_ns: int) -> TopOfBook:
    numbers = (
        number_text(raw.bestBidPrice),
        number_text(raw.bestBidSize),
        number_text(raw.bestAskPrice),
        number_text(raw.bestAskSize),
    )
    return quote(units, numbers, raw.sequence, ns_of(raw.ts, TICKER_V2), recv_ns, TICKER_V2)


def _flat(level: list[str]) -> tuple[str | None, str | None]:
    if not level:
        return None, None
    if len(level) != 2:
        raise DecodeError(LEVEL1, "schema", f"a level of {len(level)} numbers")
    return level[0], level[1]


def quote(
    units: Units,
    numbers: tuple[str | None, str | None, str | None, str | None],
    seq: int | None,
    ts_event_ns: int | None,
    recv_ns: int,
    channel: str,
) -> TopOfBook:
    """`numbers`: bid, its size, ask, its size; null or "" where a side is empty."""
    bid, bid_size, ask, ask_size = (number or "0" for number in numbers)
    if not are_plain(bid, bid_size, ask, ask_size):
        bid, bid_size, ask, ask_size = (non_negative(text, channel, "quote") for text in (bid, bid_size, ask, ask_size))
    if units.market is not MarketType.SPOT:
        bid_size = "0" if is_zero(bid) else units.qty(bid_size, bid, channel)
        ask_size = "0" if is_zero(ask) else units.qty(ask_size, ask, channel)
    return TopOfBook(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        bid_price=bid,
        bid_qty=bid_size,
        ask_price=ask,
        ask_qty=ask_size,
        seq=seq,
    )
