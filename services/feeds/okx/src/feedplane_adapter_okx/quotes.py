"""Native best bid and ask: `bbo-tbt`, every 10 ms when changed."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import are_plain, non_negative, positive
from feedplane_core.events import MarketEvent, TopOfBook
from feedplane_core.names import NS_PER_MS

from .book import Level
from .places import Place
from .wire import EXCHANGE, Id, Ms

CHANNEL = "bbo-tbt"


class Quote(msgspec.Struct, frozen=True, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: Ms
    seqId: Id | None = None


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"arg":{"channel":"bbo-tbt","instId":"BCH-USDT-SWAP"},"data":[{"asks":[["111.06","55154","0","2"]],"bids":[["111.05","57745","0","2"]],"ts":"1670324386802","seqId":363996337}]}`"""

    data: list[Quote]


def decode_quotes(raw: Frame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """`ts` is the time of the matching engine; `seqId` is of the number space of the book. An empty side has price and quantity 0.

    Source: v5 docs, "Order book channel", read 2026-11-20.
    """
    return [_decode_quote(quote, place, recv_ns) for quote in raw.data]


def _decode_quote(quote: Quote, place: Place, recv_ns: int) -> TopOfBook:
    bid_price, bid_qty = _best(quote.bids, place)
    ask_price, ask_qty = _best(quote.asks, place)
    return TopOfBook(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=quote.ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bid_price=bid_price,
        bid_qty=bid_qty,
        ask_price=ask_price,
        ask_qty=ask_qty,
        seq=quote.seqId,
    )


def _best(levels: list[Level], place: Place) -> tuple[str, str]:
    if not levels:
        return "0", "0"
    price, qty = levels[0].price, levels[0].qty
    if not are_plain(price, qty) or not price.strip("0."):
        price, qty = positive(price, CHANNEL, "price"), non_negative(qty, CHANNEL, "qty")
    return price, place.base_qty(qty, price, CHANNEL)
