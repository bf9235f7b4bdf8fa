"""Best bid and ask: `<s>@bookTicker`, which has neither an event type nor a time."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import non_negative
from feedplane_core.events import TopOfBook
from feedplane_core.names import MarketType

from .wire import EXCHANGE, Id, Symbol

CHANNEL = "bookTicker"
_SPOT = MarketType.SPOT


class BookTickerData(msgspec.Struct, gc=False):
    """`{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}`."""

    u: Id
    s: Symbol
    b: str
    B: str
    a: str
    A: str


def decode_book_ticker(data: BookTickerData, recv_ns: int) -> TopOfBook:
    """`u` is of the same id space as the depth updates. An empty side has price and size 0.

    Source: WebSocket Streams, "Individual Symbol Book Ticker Streams", read 2026-11-20.
    """
    return TopOfBook(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=data.s,
        ts_event_ns=None,
        ts_recv_ns=recv_ns,
        bid_price=non_negative(data.b, CHANNEL, "bid_price"),
        bid_qty=non_negative(data.B, CHANNEL, "bid_qty"),
        ask_price=non_negative(data.a, CHANNEL, "ask_price"),
        ask_qty=non_negative(data.A, CHANNEL, "ask_qty"),
        seq=data.u,
    )
