"""Native best bid and ask: `orderbook.1.<symbol>`, every 10 ms where it changed."""

from __future__ import annotations

from typing import NamedTuple

from feedplane_core.decimals import Levels, check_levels, is_zero
from feedplane_core.events import MarketEvent, TopOfBook

from .book import CHANNEL, Frame, event_ns
from .symbols import Place, base_qty
from .wire import EXCHANGE, check_symbol

_NONE = ("0", "0")


class Quote(NamedTuple):
    """(price, qty) of both sides; an empty side is `("0", "0")`."""

    bid: tuple[str, str]
    ask: tuple[str, str]


def decode_quote(raw: Frame, place: Place, symbol: str, recv_ns: int, held: dict[str, Quote]) -> list[MarketEvent]:
    """A snapshot of one level per side. The same `u` comes again after 3 s without change: a sign of life, which trackers know as a repeat.

    Until 2025-03-20 the channel sent deltas as well, in which a side without levels has not changed: `held` is what each symbol's quote was. A delta that nothing
    is known before yields nothing.
    Source: v5 docs, "Orderbook" and change log 2025-03, read 2026-11-20.
    """
    data = raw.data
    check_symbol(data.s, symbol, CHANNEL)
    bids, asks = check_levels(data.b, CHANNEL), check_levels(data.a, CHANNEL)
    if raw.type == "snapshot":
        quote = Quote(_best(bids, place, symbol), _best(asks, place, symbol))
    else:
        before = held.get(symbol)
        if before is None:
            return []
        quote = Quote(
            _best(bids, place, symbol) if bids else before.bid, _best(asks, place, symbol) if asks else before.ask
        )
    held[symbol] = quote
    return [
        TopOfBook(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=symbol,
            ts_event_ns=event_ns(raw),
            ts_recv_ns=recv_ns,
            bid_price=quote.bid[0],
            bid_qty=quote.bid[1],
            ask_price=quote.ask[0],
            ask_qty=quote.ask[1],
            seq=data.u,
        )
    ]


def _best(levels: Levels, place: Place, symbol: str) -> tuple[str, str]:
    """The one level that has a size: the channel has been seen to send others with 0."""
    for price, qty in levels:
        if not is_zero(qty):
            return price, base_qty(place, symbol, qty, price, CHANNEL)
    return _NONE
