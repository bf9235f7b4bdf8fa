"""Spot trades: `trade` on the socket, and rows of `GET /0/public/Trades`. Both name the taker's side."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import Aggressor, MarketType

from .wire import EXCHANGE, Id, Kind, Name, Number, Side, iso_ns, price_of, seconds_ns, text_of, trimmed

CHANNEL = "trade"
_SPOT = MarketType.SPOT
_AGGRESSOR = {"buy": Aggressor.BUY, "sell": Aggressor.SELL, "b": Aggressor.BUY, "s": Aggressor.SELL}


class Row(msgspec.Struct, gc=False):
    """One fill. `ord_type` (of the taker) is not read."""

    symbol: Name
    side: Side
    price: Number
    qty: Number
    trade_id: Id
    timestamp: str


class Frame(msgspec.Struct, gc=False):
    """`{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":105910.5,"qty":0.0001246,"ord_type":"market","trade_id":10218209,"timestamp":"2023-10-06T17:35:56.123456Z"}]}`"""

    type: Kind
    data: list[Row]


RestRow: TypeAlias = tuple[str, str, Number, Literal["b", "s"], str, str, Id]
"""price, volume, time in seconds, side, order type, miscellaneous, trade id."""


def decode_trades(frame: Frame, recv_ns: int) -> list[MarketEvent]:
    """`trade_id` grows by one in each book. A `snapshot` holds the last 50, in no documented order, and is given in order of id.

    Source: Spot WebSocket v2, "Trade" channel, read 2026-11-20.
    """
    rows = frame.data
    if frame.type == "snapshot":
        rows = sorted(rows, key=lambda row: row.trade_id)
    return [_trade(row, recv_ns) for row in rows]


def _trade(row: Row, recv_ns: int) -> Trade:
    price, qty = row.price, row.qty
    if type(price) is not str or type(qty) is not str:
        price, qty = text_of(price, CHANNEL, "price"), text_of(qty, CHANNEL, "qty")
    price, qty = positives(CHANNEL, price, qty)
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=row.symbol,
        ts_event_ns=iso_ns(row.timestamp, CHANNEL) or None,
        ts_recv_ns=recv_ns,
        trade_id=str(row.trade_id),
        price=price,
        qty=qty,
        aggressor=_AGGRESSOR[row.side],
    )


def decode_row(row: RestRow, symbol: str, recv_ns: int) -> Trade:
    """`["5541.20000","0.15850568",1534614057.321597,"s","l","",10218209]`.

    Source: Spot REST, "Get Recent Trades", read 2026-11-20.
    """
    price, volume, time_s, side, _, _, trade_id = row
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=symbol,
        ts_event_ns=seconds_ns(time_s, CHANNEL),
        ts_recv_ns=recv_ns,
        trade_id=str(trade_id),
        price=trimmed(price_of(price, CHANNEL)),
        qty=trimmed(price_of(volume, CHANNEL, "volume")),
        aggressor=_AGGRESSOR[side],
    )
