"""Native best bid and ask: `spot.book_ticker`, `futures.book_ticker`, in real time."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import is_zero, non_negative, positive
from feedplane_core.events import MarketEvent, TopOfBook

from .symbols import Place, base_qty
from .wire import EXCHANGE, Count, instant_ns, number_text

SPOT_QUOTES = "spot.book_ticker"
FUTURES_QUOTES = "futures.book_ticker"

_NONE = ("0", "0")


class Quote(msgspec.Struct, frozen=True, gc=False):
    """`{"t":1606293275123,"u":48733182,"s":"BTC_USDT","b":"19177.79","B":"0.0003341504","a":"19179.38","A":"0.09"}`; contracts may be JSON numbers. `u` is of the book's count."""

    t: Count
    u: Count
    s: str
    b: str
    B: msgspec.Raw
    a: str
    A: msgspec.Raw


def decode_quote(quote: Quote, place: Place, channel: str, recv_ns: int) -> list[MarketEvent]:
    """`[]` for a quote of no time, which is none: it has been seen."""
    at_ns = instant_ns(quote.t, channel)
    if at_ns is None:
        return []
    bid_price, bid_qty = _side(quote.b, quote.B, place, quote.s, channel)
    ask_price, ask_qty = _side(quote.a, quote.A, place, quote.s, channel)
    return [
        TopOfBook(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=quote.s,
            ts_event_ns=at_ns,
            ts_recv_ns=recv_ns,
            bid_price=bid_price,
            bid_qty=bid_qty,
            ask_price=ask_price,
            ask_qty=ask_qty,
            seq=quote.u,
        )
    ]


def _side(price_text: str, size: msgspec.Raw, place: Place, symbol: str, channel: str) -> tuple[str, str]:
    """An empty side is price `""` and size 0 on the wire."""
    qty = non_negative(number_text(size), channel, "size")
    if not price_text or is_zero(qty):
        return _NONE
    price = positive(price_text, channel, "price")
    return price, base_qty(place, symbol, qty, price, channel)
