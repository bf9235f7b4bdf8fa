"""Native best bid and ask: `<symbol>@bookTicker`, in real time."""

from __future__ import annotations

from feedplane_core.decimals import are_plain, non_negative
from feedplane_core.events import MarketEvent, TopOfBook
from feedplane_core.names import NS_PER_MS, MarketType

from .symbols import EXCHANGE
from .wire import Id, Ms, Payload

CHANNEL = "bookTicker"


class BookTicker(Payload, frozen=True, gc=False, tag="bookTicker", kw_only=True):
    """`{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66","st":1}`"""

    u: Id
    T: Ms | None = None  # of before 2020 without any time
    b: str
    B: str
    a: str
    A: str


def decode_quote(raw: BookTicker, market: MarketType, recv_ns: int) -> list[MarketEvent]:
    """`u` is of the number space of the depth ids. An empty side has price and size 0. RPI orders are not in it."""
    bid_price, bid_qty, ask_price, ask_qty = raw.b, raw.B, raw.a, raw.A
    if not are_plain(bid_price, bid_qty, ask_price, ask_qty):
        bid_price, bid_qty, ask_price, ask_qty = (
            non_negative(text, CHANNEL, "quote") for text in (bid_price, bid_qty, ask_price, ask_qty)
        )
    return [
        TopOfBook(
            exchange=EXCHANGE,
            market_type=market,
            instrument=raw.s,
            ts_event_ns=None if raw.T is None else raw.T * NS_PER_MS,
            ts_recv_ns=recv_ns,
            bid_price=bid_price,
            bid_qty=bid_qty,
            ask_price=ask_price,
            ask_qty=ask_qty,
            seq=raw.u,
        )
    ]
