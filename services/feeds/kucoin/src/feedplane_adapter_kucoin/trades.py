"""Trades of both systems, one message a match. Every side is the taker's; futures count contracts."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.events import Trade
from feedplane_core.names import MarketType

from .units import Units
from .wire import AGGRESSOR, EXCHANGE, Side, Stamp, Symbol, Text, integer_of, ns_of, number_text

TRADE, MATCH, EXECUTION = "trade", "match", "execution"

TradeId: TypeAlias = Text | Annotated[int, msgspec.Meta(ge=0)]


class UtaTrade(msgspec.Struct, frozen=True, gc=False):
    """`d` of `trade.SPOT` and `trade.FUTURES`.

    `{"E":20631804219899904,"M":1768802538480000000,"S":"sell","p":"92525.6","q":"0.00008036","s":"BTC-USDT","ti":"20631804219899904"}`
    """

    s: Symbol
    S: Side
    p: str
    q: str
    ti: TradeId
    M: Stamp


class Match(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/market/match`.

    `{"symbol":"BTC-USDT","side":"sell","sequence":"1636276321894","size":"0.00001255","price":"24093.9","time":"1660608000026914990","tradeId":"62fade002e113d292303a18b",...}`
    """

    symbol: Symbol
    side: Side
    price: str
    size: str
    time: str | int
    tradeId: Text


class Execution(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/contractMarket/execution`.

    `{"symbol":"SOLUSDTM","sequence":1701197946092,"side":"sell","size":10,"price":"93.624","tradeId":"1701197946092","ts":1705708799998000000,...}`
    """

    symbol: Symbol
    side: Side
    price: msgspec.Raw
    size: msgspec.Raw
    tradeId: Text
    ts: Stamp


class SpotRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /api/v1/market/histories`: `{"sequence":"10976028003549185","price":"67122","size":"0.000025","side":"buy","time":1729177117877000000}`."""

    sequence: Text | int
    price: str
    size: str
    side: Side
    time: Stamp
    tradeId: Text | None = None


class FuturesRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /api/v1/trade/history`: an execution without its symbol."""

    side: Side
    price: msgspec.Raw
    size: msgspec.Raw
    tradeId: Text
    ts: Stamp


def decode_uta_trade(raw: UtaTrade, units: Units, recv_ns: int) -> Trade:
    """`M` is the time of the match."""
    return _trade(units, str(raw.ti), raw.p, raw.q, raw.S, ns_of(raw.M, TRADE), recv_ns, TRADE)


def decode_match(raw: Match, units: Units, recv_ns: int) -> Trade:
    """`time` is a string of nanoseconds."""
    time_ns = ns_of(integer_of(raw.time, MATCH, "time"), MATCH)
    return _trade(units, raw.tradeId, raw.price, raw.size, raw.side, time_ns, recv_ns, MATCH)


def decode_execution(raw: Execution | FuturesRow, units: Units, recv_ns: int) -> Trade:
    price, size = number_text(raw.price), number_text(raw.size)
    return _trade(units, raw.tradeId, price, size, raw.side, ns_of(raw.ts, EXECUTION), recv_ns, EXECUTION)


def decode_spot_row(row: SpotRow, units: Units, recv_ns: int) -> Trade:
    """The page names no trade id: today's streams use the sequence as such (before about 2024 they did not, but pages reach back 100 trades only)."""
    trade_id = row.tradeId or str(row.sequence)
    return _trade(units, trade_id, row.price, row.size, row.side, ns_of(row.time, "histories"), recv_ns, "histories")


def _trade(
    units: Units, trade_id: str, price: str, size: str, side: Side, ts_event_ns: int, recv_ns: int, channel: str
) -> Trade:
    price, size = positive(price, channel, "price"), positive(size, channel, "size")
    if units.market is not MarketType.SPOT:
        size = units.qty(size, price, channel)
    return Trade(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        trade_id=trade_id,
        price=price,
        qty=size,
        aggressor=AGGRESSOR[side],
    )
