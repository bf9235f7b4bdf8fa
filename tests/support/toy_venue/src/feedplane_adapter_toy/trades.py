"""Trades: `trades:<market>`."""

from __future__ import annotations

from typing import Literal

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.events import Trade
from feedplane_core.names import NS_PER_MS, Aggressor, MarketType

from .wire import EXCHANGE, Id, Market, Millis


class TradeFrame(msgspec.Struct, tag_field="type", tag="trade", gc=False):
    """`{"type":"trade","market":"BTC-USD","id":7,"at":1763712000000,"price":"64250.10","qty":"0.5","taker":"buy"}`."""

    market: Market
    id: Id
    at: Millis
    price: str
    qty: str
    taker: Literal["buy", "sell"]


def decode_trade(frame: TradeFrame, recv_ns: int) -> Trade:
    """One fill; ids count up by one per market. Raises: DecodeError."""
    return Trade(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=frame.market,
        ts_event_ns=frame.at * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=str(frame.id),
        price=positive(frame.price, "trades", "price"),
        qty=positive(frame.qty, "trades", "qty"),
        aggressor=Aggressor(frame.taker),
    )
