"""Native best bid and ask of spot: `aggre.bookTicker`, and its batch and older variants. Futures have no such channel."""

from __future__ import annotations

from feedplane_core.decimals import Dec, non_negative
from feedplane_core.events import MarketEvent, TopOfBook

from .protobuf import Message
from .symbols import Place
from .wire import EXCHANGE, version_of

CHANNEL = "aggre.bookTicker"


def decode_quote(
    body: Message, place: Place, symbol: str, ts_event_ns: int | None, recv_ns: int, version: str = ""
) -> list[MarketEvent]:
    """An empty side is an absent text and becomes 0. `version` is that of a batch around it."""
    number = body.version or version
    return [
        TopOfBook(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=symbol,
            ts_event_ns=ts_event_ns,
            ts_recv_ns=recv_ns,
            bid_price=_number(body.bidPrice, "bidPrice"),
            bid_qty=_number(body.bidQuantity, "bidQuantity"),
            ask_price=_number(body.askPrice, "askPrice"),
            ask_qty=_number(body.askQuantity, "askQuantity"),
            seq=version_of(number, CHANNEL, "version") if number else None,
        )
    ]


def decode_batch(body: Message, place: Place, symbol: str, ts_event_ns: int | None, recv_ns: int) -> list[MarketEvent]:
    """Each item is a quote of the one symbol; they share a version, which numbers a quote only where it is alone."""
    version = body.version if len(body.items) == 1 else ""
    return [event for item in body.items for event in decode_quote(item, place, symbol, ts_event_ns, recv_ns, version)]


def _number(text: str, field: str) -> Dec:
    return non_negative(text, CHANNEL, field) if text else "0"
