"""The Python reference of the columns.

A row's scalars go into one flat list per record type by a single `extend` (the columns are its strides), levels into one flat list of texts per side, so no object is
built or kept per row or level: what lives until the commit is lists of references to texts and integers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeAlias

from feedplane_core.events import (
    AdvancedMetric,
    BookSnapshot,
    BookTop,
    Checkpoint,
    DepthDiff,
    DerivedL1,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Status,
    TopOfBook,
    Trade,
)
from feedplane_core.identity import depth_identity, identity_of
from feedplane_core.instruments import Instrument

from .blocks import Block, Store, Taken

_Append: TypeAlias = Callable[[Any, str | None, str | None], None]

_flat = chain.from_iterable


class PythonPending:
    """Rows taken out, not yet cast."""

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks

    def build(self) -> Taken:
        """Cast every column at once; a row with a number that does not cast is refused, all others are kept in order."""
        taken = Taken([], [])
        for block in self._blocks:
            batch, refused = block.build()
            if batch is not None:
                taken.batches.append((block.record_type, batch))
            taken.refused.extend(refused)
        return taken


class PythonRows:
    """Rows of one exchange as lists of references."""

    def __init__(self, exchange: str) -> None:
        self._stores: dict[str, Store] = {}
        self._appenders: dict[type[Event], _Append] = {
            event_type: make(self._store(record_type, exchange)) for event_type, record_type, make in _MAKERS
        }
        self._append_instrument = _instrument(self._store("instrument", exchange))

    def _store(self, record_type: str, exchange: str) -> Store:
        return self._stores.setdefault(record_type, Store(record_type, exchange))

    def append(self, event: Event, last_price: str | None = None, last_qty: str | None = None, /) -> None:
        self._appenders[type(event)](event, last_price, last_qty)

    def append_instrument(self, instrument: Instrument, recv_ns: int) -> None:
        self._append_instrument(instrument, recv_ns)

    @property
    def row_count(self) -> int:
        return sum(store.row_count for store in self._stores.values())

    @property
    def approx_bytes(self) -> int:
        return sum(store.approx_bytes for store in self._stores.values())

    def detach(self) -> PythonPending:
        return PythonPending([store.detach() for store in self._stores.values() if store.rows])


def _trade(store: Store) -> _Append:
    extend = store.rows.extend

    def append(e: Trade, _price: str | None, _qty: str | None) -> None:
        identity = "" if e.trade_id else identity_of(e)
        extend(
            (
                e.market_type,
                e.instrument,
                e.ts_event_ns,
                e.ts_recv_ns,
                e.trade_id,
                e.price,
                e.qty,
                e.aggressor,
                identity,
            )
        )

    return append


def _l1(source: str) -> Callable[[Store], _Append]:
    def make(store: Store) -> _Append:
        extend = store.rows.extend

        def append(e: TopOfBook | DerivedL1, last_price: str | None, last_qty: str | None) -> None:
            head = (e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns)
            quote = (e.bid_price, e.bid_qty, e.ask_price, e.ask_qty, e.seq, source, last_price, last_qty)
            extend(head + quote)

        return append

    return make


def _depth(is_snapshot: bool) -> Callable[[Store], _Append]:
    def make(store: Store) -> _Append:
        extend, bid_texts, ask_texts = store.rows.extend, store.flats[0], store.flats[1]
        extend_bids, extend_asks = bid_texts.extend, ask_texts.extend

        def append(e: BookSnapshot | DepthDiff, _price: str | None, _qty: str | None) -> None:
            bids, asks = e.bids, e.asks
            extend_bids(_flat(bids))
            extend_asks(_flat(asks))
            extend(
                (
                    e.market_type,
                    e.instrument,
                    e.ts_event_ns,
                    e.ts_recv_ns,
                    is_snapshot,
                    e.first_seq,
                    e.last_seq,
                    e.prev_seq,
                    "" if e.last_seq is not None else depth_identity(e),
                    len(bids),
                    len(bid_texts),
                    len(asks),
                    len(ask_texts),
                )
            )

        return append

    return make


def _book_top(store: Store) -> _Append:
    extend, bid_texts, ask_texts = store.rows.extend, store.flats[0], store.flats[1]

    def append(e: BookTop, _price: str | None, _qty: str | None) -> None:
        bid_texts.extend(_flat(e.bids))
        ask_texts.extend(_flat(e.asks))
        counts = (len(e.bids), len(bid_texts), len(e.asks), len(ask_texts))
        extend((e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns, e.depth, e.seq, *counts))

    return append


def _checkpoint(store: Store) -> _Append:
    extend, bid_texts, ask_texts = store.rows.extend, store.flats[0], store.flats[1]

    def append(e: Checkpoint, _price: str | None, _qty: str | None) -> None:
        bid_texts.extend(_flat(e.bids))
        ask_texts.extend(_flat(e.asks))
        counts = (len(e.bids), len(bid_texts), len(e.asks), len(ask_texts))
        extend((e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns, e.seq, *counts))

    return append


def _liquidation(store: Store) -> _Append:
    extend = store.rows.extend

    def append(e: Liquidation, _price: str | None, _qty: str | None) -> None:
        identity = "" if e.order_id else identity_of(e)
        head = (e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns)
        extend((*head, e.liquidated, e.price, e.qty, e.order_id, identity))

    return append


def _fields(*names: str) -> Callable[[Store], _Append]:
    """An appender that copies the named fields: for the types that are rare."""

    def make(store: Store) -> _Append:
        extend = store.rows.extend

        def append(e: Event, _price: str | None, _qty: str | None) -> None:
            head = (e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns)
            extend((*head, *(getattr(e, name) for name in names)))

        return append

    return make


def _gap(store: Store) -> _Append:
    extend = store.rows.extend

    def append(e: Gap, _price: str | None, _qty: str | None) -> None:
        head = (e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns)
        hole = (e.gap_id, e.gap_feed, e.from_ns, e.to_ns, e.from_seq, e.to_seq)
        extend((*head, *hole, e.reason, e.detected_by, e.state, e.repaired_from))

    return append


def _status(store: Store) -> _Append:
    extend = store.rows.extend

    def append(e: Status, _price: str | None, _qty: str | None) -> None:
        head = (e.market_type, e.instrument, e.ts_event_ns, e.ts_recv_ns)
        extend((*head, e.status_feed or "", e.status, e.detail))

    return append


def _instrument(store: Store) -> Callable[[Instrument, int], None]:
    extend = store.rows.extend

    def append(i: Instrument, recv_ns: int) -> None:
        head = (i.market_type, i.instrument, None, recv_ns)
        numbers = (i.tick, i.step, i.contract_size)
        extend(
            (*head, i.pair, i.base, i.quote, i.settle, *numbers, i.contract_unit, i.status, i.listed_ns, i.expiry_ns)
        )

    return append


_METRICS = ("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20", "trade_imb_1s", "seq")
_CANDLE = ("open_ns", "interval_s", "open", "high", "low", "close", "volume", "trades", "is_closed")

_MAKERS: tuple[tuple[type[Event], str, Callable[[Store], _Append]], ...] = (
    (Trade, "trade", _trade),
    (TopOfBook, "l1", _l1("native")),
    (DerivedL1, "l1", _l1("book")),
    (BookSnapshot, "depth", _depth(is_snapshot=True)),
    (DepthDiff, "depth", _depth(is_snapshot=False)),
    (BookTop, "book_top", _book_top),
    (Checkpoint, "checkpoint", _checkpoint),
    (Liquidation, "liquidation", _liquidation),
    (Kline, "kline", _fields(*_CANDLE)),
    (MarkPrice, "mark_price", _fields("mark_price", "index_price")),
    (FundingRate, "funding", _fields("rate", "interval_s", "next_funding_ns")),
    (OpenInterest, "open_interest", _fields("open_interest")),
    (AdvancedMetric, "advanced_metric", _fields(*_METRICS)),
    (Gap, "gap", _gap),
    (Status, "status", _status),
)
