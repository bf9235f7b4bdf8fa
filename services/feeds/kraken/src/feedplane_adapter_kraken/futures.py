"""Kraken Futures: `trade`, `book` and their snapshots. All times are milliseconds, all quantities contracts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import is_zero, plain
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    Liquidation,
    MarketEvent,
    Trade,
)
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, Aggressor, Liquidated

from .directory import base_qty
from .wire import EXCHANGE, Id, Level, Ms, Name, Number, Side, price_of, text_of

TRADE = "trade"
BOOK = "book"


# Trades -----------------------------------------------------------------------------------------------------------------------


class Fill(msgspec.Struct, gc=False):
    """`{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-...","side":"sell","type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}`"""

    uid: Name
    side: Side
    time: Ms
    qty: Number
    price: Number
    product_id: str = ""
    type: str = "fill"


class FillSnapshot(msgspec.Struct, gc=False):
    """`{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[...]}`, newest first."""

    product_id: Name
    trades: list[Fill]


def decode_fill(fill: Fill, contract: Instrument, recv_ns: int, *, drops_blocks: bool) -> list[MarketEvent]:
    """`side` and `type` are the taker's: one that is liquidated and sells was long. The liquidation's identity is that of its fill.

    Source: Futures WebSocket, "Trade" feed, read 2026-11-20.
    """
    if drops_blocks and fill.type == "block":
        return []
    price = price_of(fill.price, TRADE)
    qty = base_qty(contract, price_of(fill.qty, TRADE, "qty"), price, TRADE)
    at_ns = fill.time * NS_PER_MS
    trade = Trade(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        trade_id=fill.uid,
        price=price,
        qty=qty,
        aggressor=Aggressor.BUY if fill.side == "buy" else Aggressor.SELL,
    )
    if fill.type != "liquidation":
        return [trade]
    liquidation = Liquidation(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        liquidated=Liquidated.LONG if fill.side == "sell" else Liquidated.SHORT,
        price=price,
        qty=qty,
        order_id=fill.uid,
    )
    return [trade, liquidation]


def decode_fills(
    snapshot: FillSnapshot, contract: Instrument, recv_ns: int, *, drops_blocks: bool
) -> list[MarketEvent]:
    """Oldest first."""
    return [
        event
        for fill in reversed(snapshot.trades)
        for event in decode_fill(fill, contract, recv_ns, drops_blocks=drops_blocks)
    ]


# Books ------------------------------------------------------------------------------------------------------------------------


class WholeBook(msgspec.Struct, gc=False):
    """`{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,"bids":[{"price":34892.5,"qty":6385}],"asks":[...]}`"""

    product_id: Name
    timestamp: Ms
    seq: Id
    bids: list[Level]
    asks: list[Level]


class Change(msgspec.Struct, gc=False):
    """`{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326094134,"price":34981,"qty":0,"timestamp":1612269953629}`"""

    product_id: Name
    side: Side
    seq: Id
    price: Number
    qty: Number
    timestamp: Ms


def decode_whole_book(book: WholeBook, contract: Instrument, recv_ns: int) -> BookSnapshot:
    """Source: Futures WebSocket, "Book" feed, read 2026-11-20."""
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=book.timestamp * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=[_level(level.price, level.qty, contract) for level in book.bids],
        asks=[_level(level.price, level.qty, contract) for level in book.asks],
        last_seq=book.seq,
    )


def decode_change(change: Change, contract: Instrument, recv_ns: int) -> DepthDiff:
    """One level, absolute; `buy` is the bid side."""
    level = _level(change.price, change.qty, contract)
    is_bid = change.side == "buy"
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=change.timestamp * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=[level] if is_bid else [],
        asks=[] if is_bid else [level],
        first_seq=change.seq,
        last_seq=change.seq,
    )


def _level(price: Number, qty: Number, contract: Instrument) -> tuple[str, str]:
    """A negative quantity has been seen and removes like 0."""
    price_text = price_of(price, BOOK)
    qty_text = plain(text_of(qty, BOOK, "qty"), BOOK, "qty")
    if qty_text[0] == "-" or is_zero(qty_text):
        return price_text, "0"
    return price_text, base_qty(contract, qty_text, price_text, BOOK)


class FuturesRule:
    """The snapshot of the socket, then `seq` by one. Source: Futures WebSocket, "Book" feed, read 2026-11-20."""

    source = SnapshotSource.SOCKET
    sequenced = True
    snapshot_depth: int | None = None
    max_depth: int | None = None

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.last_seq == last_seq + 1 else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        """The venue sends none."""
        return None
