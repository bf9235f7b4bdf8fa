"""`status`: mark, funding and open interest of one derivative, and the liquidations of all."""

from __future__ import annotations

from collections.abc import Callable

from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import Liquidated, MarketType

from .wire import EXCHANGE, Row, Value, at, ms_ns, price_of, rate_of, row_of, signed_size, size_of

CHANNEL = "status"
DERIVATIVE, LIQUIDATIONS = "deriv:", "liq:global"
FUNDING_INTERVAL_S = 28_800
"""00, 08 and 16 UTC on all contracts."""
INDEX_SOURCES = ("mark", "spot", "none")
COUNTED = ("triggers", "fills")

# Places in a row of the socket and of the history; in the live answer of REST the key stands in front of them.
_SPOT_PRICE, _NEXT_FUNDING, _FUNDING, _MARK, _OPEN_INTEREST = 3, 7, 11, 14, 17


def decode_status(row: Row, symbol: str, market: MarketType, recv_ns: int, index_source: str) -> list[MarketEvent]:
    """Mark, funding and open interest, as far as the row tells them; old rows are shorter.

    The mark is the composite spot index itself, without premium, so both are one number; `SPOT_PRICE` is the mid of the venue's own spot book, often stale.
    `CURRENT_FUNDING` is what is charged at the next event; `NEXT_FUNDING_ACCRUED` is of the event after it and not read.
    Raises: DecodeError. Source: v2 docs, WS public status, read 2026-11-20.
    """
    at_ns = ms_ns(row[0], CHANNEL)
    events: list[MarketEvent] = []
    mark, spot = at(row, _MARK), at(row, _SPOT_PRICE)
    mark_price = None if mark is None else price_of(mark, CHANNEL, "mark price")
    index_price = mark_price if index_source == "mark" else None
    if index_source == "spot" and spot is not None:
        index_price = price_of(spot, CHANNEL, "spot price")
    if mark_price is not None or index_price is not None:
        events.append(
            MarkPrice(
                exchange=EXCHANGE,
                market_type=market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                mark_price=mark_price,
                index_price=index_price,
            )
        )
    rate, next_ms = at(row, _FUNDING), at(row, _NEXT_FUNDING)
    if rate is not None:
        events.append(
            FundingRate(
                exchange=EXCHANGE,
                market_type=market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                rate=rate_of(rate, CHANNEL, "funding"),
                interval_s=FUNDING_INTERVAL_S,
                next_funding_ns=None if not next_ms else ms_ns(next_ms, CHANNEL, "next funding"),
            )
        )
    interest = at(row, _OPEN_INTEREST)
    if interest is not None:
        events.append(
            OpenInterest(
                exchange=EXCHANGE,
                market_type=market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                open_interest=size_of(interest, CHANNEL, "open interest"),
            )
        )
    return events


class Status:
    """One `deriv:` channel: pushed every second, new every third."""

    def __init__(self, symbol: str, market: MarketType, index_source: str) -> None:
        self._symbol = symbol
        self._market = market
        self._index_source = index_source
        self._last_ns: int | None = None

    def on_status(self, value: Value, recv_ns: int) -> list[MarketEvent]:
        """`[]` for a row that was pushed before. Raises: DecodeError."""
        row = row_of(value, CHANNEL, 1)
        events = decode_status(row, self._symbol, self._market, recv_ns, self._index_source)
        at_ns = ms_ns(row[0], CHANNEL)
        if at_ns == self._last_ns:
            return []
        self._last_ns = at_ns
        return events


def decode_liquidations(
    value: Value, market_of: Callable[[str], MarketType], recv_ns: int, *, counts_fills: bool
) -> list[MarketEvent]:
    """`[["pos", ID, MTS, null, SYMBOL, AMOUNT, BASE_PRICE, null, IS_MATCH, IS_MARKET_SOLD, null, PRICE_ACQUIRED], ...]`; `null` where there is none.

    The amount is that of the position: positive, a long died. One trigger (`IS_MATCH` 0) has any number of fills (1): one of both kinds is counted, never both.
    A trigger may come without `PRICE_ACQUIRED`; it is then told at `BASE_PRICE`, the entry price of the position.
    Raises: DecodeError. Source: v2 docs, WS public status, liquidation feed, read 2026-11-20.
    """
    if value is None:
        return []
    events: list[MarketEvent] = []
    for entry in row_of(value, CHANNEL, 0):
        row = row_of(entry, CHANNEL, 9)
        if row[0] != "pos" or row[8] not in (0, 1):
            raise DecodeError(CHANNEL, "schema", "no liquidation of a position")
        symbol = row[4]
        if type(symbol) is not str:
            raise DecodeError(CHANNEL, "schema", "liquidation without its symbol")
        if bool(row[8]) is not counts_fills:
            continue
        qty, is_long = signed_size(row[5], CHANNEL)
        acquired = at(row, 11)
        events.append(
            Liquidation(
                exchange=EXCHANGE,
                market_type=market_of(symbol),
                instrument=symbol,
                ts_event_ns=ms_ns(row[2], CHANNEL),
                ts_recv_ns=recv_ns,
                liquidated=Liquidated.LONG if is_long else Liquidated.SHORT,
                price=price_of(row[6] if acquired is None else acquired, CHANNEL),
                qty=qty,
                ordinal=sum(isinstance(e, Liquidation) and e.instrument == symbol for e in events),
            )
        )
    return events
