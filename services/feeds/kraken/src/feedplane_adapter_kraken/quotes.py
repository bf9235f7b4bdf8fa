"""Spot's best bid and ask: `ticker`, subscribed with `event_trigger` `bbo`."""

from __future__ import annotations

import msgspec
from feedplane_core.events import MarketEvent, TopOfBook
from feedplane_core.names import NS_PER_S, MarketType

from .wire import EXCHANGE, Kind, Name, Number, iso_ns, sizes_of

CHANNEL = "ticker"
_NO_TIME_BEFORE_NS = 86_400 * NS_PER_S


class Row(msgspec.Struct, gc=False):
    """The 24 hours' statistics beside the quote are not read."""

    symbol: Name
    bid: Number
    bid_qty: Number
    ask: Number
    ask_qty: Number
    timestamp: str = ""


class Frame(msgspec.Struct, gc=False):
    """`{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,"ask_qty":740.0,"last":0.10035,...,"timestamp":"2023-09-25T09:04:31.742648Z"}]}`"""

    type: Kind
    data: list[Row]


def decode_quotes(frame: Frame, recv_ns: int) -> list[MarketEvent]:
    """Messages stamped with the epoch occur and are invalid: they are left out.

    Source: Spot WebSocket v2, "Ticker" channel; tardis-node, Kraken mapper, 2026-07-10 (epochs); read 2026-11-20.
    """
    events: list[MarketEvent] = []
    for row in frame.data:
        at_ns = iso_ns(row.timestamp, CHANNEL) if row.timestamp else None
        if at_ns is not None and at_ns < _NO_TIME_BEFORE_NS:
            continue
        bid, bid_qty, ask, ask_qty = sizes_of(CHANNEL, row.bid, row.bid_qty, row.ask, row.ask_qty)
        events.append(
            TopOfBook(
                exchange=EXCHANGE,
                market_type=MarketType.SPOT,
                instrument=row.symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                bid_price=bid,
                bid_qty=bid_qty,
                ask_price=ask,
                ask_qty=ask_qty,
            )
        )
    return events
