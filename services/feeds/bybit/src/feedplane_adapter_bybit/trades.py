"""Trades: `publicTrade.<symbol>`, every fill, in real time."""

from __future__ import annotations

from typing import Annotated

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, Aggressor

from .symbols import Place, base_qty
from .wire import EXCHANGE, Ms, Side, check_symbol

CHANNEL = "publicTrade"

TradeId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""A UUID on derivatives, a long decimal on spot: unique, in no countable order."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One fill. `seq` is shared by fills of one burst, so nothing is told apart by it."""

    T: Ms
    s: str
    S: Side
    v: str
    p: str
    i: TradeId
    BT: bool = False


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50",...}]}`

    `type` is always `snapshot`, yet each message is news: no history is sent on subscribing.
    """

    data: list[Row]


class RestRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /v5/market/recent-trade`; `time` is text."""

    execId: TradeId
    symbol: str
    price: str
    size: str
    side: Side
    time: str
    isBlockTrade: bool = False


def decode_trades(raw: Frame, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """Block trades are made off the book and left out."""
    events: list[MarketEvent] = []
    for row in raw.data:
        check_symbol(row.s, symbol, CHANNEL)
        if not row.BT:
            events.append(build_trade(place, symbol, row.i, row.p, row.v, row.S, row.T, recv_ns))
    return events


def build_trade(
    place: Place, symbol: str, trade_id: str, price_text: str, qty_text: str, side: Side, time_ms: int, recv_ns: int
) -> Trade:
    """`side` is the taker's. Source: v5 docs, "Trade", read 2026-11-20."""
    price, qty = positives(CHANNEL, price_text, qty_text)
    return Trade(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=time_ms * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=trade_id,
        price=price,
        qty=base_qty(place, symbol, qty, price, CHANNEL),
        aggressor=Aggressor.BUY if side == "Buy" else Aggressor.SELL,
    )


def is_spot_id(raw: Frame) -> bool:
    """Whether these fills carry ids as spot alone has them."""
    return bool(raw.data) and raw.data[0].i.isdecimal()
