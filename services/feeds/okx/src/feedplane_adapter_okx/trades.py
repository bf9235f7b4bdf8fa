"""Trades: `trades-all` (single fills), `trades` (aggregated since the venue counts), and pages of history."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, Aggressor

from .places import Place
from .wire import EXCHANGE, Id, Ms, Side, check_name

CHANNEL = "trades-all"
AGGREGATED = "trades"

_AGGRESSOR = {"buy": Aggressor.BUY, "sell": Aggressor.SELL}


class Row(msgspec.Struct, frozen=True, gc=False):
    """`{"instId":"BSV-USDT","tradeId":"84834539","px":"42.52","sz":"3.75","side":"buy","ts":"1697760012017","source":"0"}`

    Aggregated rows also have `count` and `seqId`; their `tradeId` is the last of the group, `sz` its sum. `source` 1 is a fill of a retail order: a fill like any other.
    """

    instId: str
    tradeId: Id
    px: str
    sz: str
    side: Side
    ts: Ms


class Frame(msgspec.Struct, frozen=True, gc=False):
    data: list[Row]


def decode_trades(raw: Frame, place: Place, recv_ns: int) -> list[MarketEvent]:
    return [decode_trade(row, place, recv_ns) for row in raw.data]


def decode_trade(row: Row, place: Place, recv_ns: int) -> Trade:
    """`side` is the taker's. Ids count by one per instrument.

    Source: v5 docs, "All trades channel" and "Get trades history", read 2026-11-20.
    """
    check_name(row.instId, place.name, CHANNEL)
    price, qty = positives(CHANNEL, row.px, row.sz)
    return Trade(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=row.ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=str(row.tradeId),
        price=price,
        qty=place.base_qty(qty, price, CHANNEL),
        aggressor=_AGGRESSOR[row.side],
    )
