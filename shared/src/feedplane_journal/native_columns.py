"""Columns of the compiled core: it writes values into typed buffers as events come; here they are told where to find them, and wrapped as Arrow arrays."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pyarrow as pa
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

from .blocks import Refused, Taken
from .schema import DECIMAL, INT32, INT64, LEVEL, LEVELS, SCHEMAS, TEXT, TIME

_KINDS = {TEXT: "T", DECIMAL: "D", TIME: "I", INT64: "I", INT32: "i", pa.bool_(): "B", LEVELS: "L"}
_HEAD = ("market_type", "instrument", "ts_event_ns", "ts_recv_ns")

_Source = tuple[str, str | None, Any]
_LAST: tuple[_Source, ...] = (("last_price", None, None), ("last_qty", None, None))


def _fields(*names: str) -> tuple[_Source, ...]:
    return tuple(("field", name, None) for name in names)


def _constant(value: object) -> _Source:
    return ("constant", None, value)


def _identity(unless: str, of: Callable[[Any], str] = identity_of) -> _Source:
    """Stored only where no id or sequence says it."""
    return ("unless", unless, of)


def _depth(is_snapshot: bool) -> tuple[_Source, ...]:
    numbers = _fields("bids", "asks", "first_seq", "last_seq", "prev_seq")
    return (_constant(is_snapshot), *numbers, _identity("last_seq", depth_identity))


_QUOTE = _fields("bid_price", "bid_qty", "ask_price", "ask_qty", "seq")
_METRICS = _fields("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20", "trade_imb_1s", "seq")
_CANDLE = _fields("open_ns", "interval_s", "open", "high", "low", "close", "volume", "trades", "is_closed")
_HOLE = _fields("gap_id", "gap_feed", "from_ns", "to_ns", "from_seq", "to_seq")

_ROUTES: tuple[tuple[type[Event], str, tuple[_Source, ...]], ...] = (  # what stands after the head of a schema
    (TopOfBook, "l1", (*_QUOTE, _constant("native"), *_LAST)),
    (DepthDiff, "depth", _depth(is_snapshot=False)),
    (Trade, "trade", (*_fields("trade_id", "price", "qty", "aggressor"), _identity("trade_id"))),
    (DerivedL1, "l1", (*_QUOTE, _constant("book"), *_LAST)),
    (Kline, "kline", _CANDLE),
    (BookTop, "book_top", _fields("depth", "bids", "asks", "seq")),
    (MarkPrice, "mark_price", _fields("mark_price", "index_price")),
    (FundingRate, "funding", _fields("rate", "interval_s", "next_funding_ns")),
    (OpenInterest, "open_interest", _fields("open_interest")),
    (Liquidation, "liquidation", (*_fields("liquidated", "price", "qty", "order_id"), _identity("order_id"))),
    (AdvancedMetric, "advanced_metric", _METRICS),
    (BookSnapshot, "depth", _depth(is_snapshot=True)),
    (Checkpoint, "checkpoint", _fields("bids", "asks", "seq")),
    (Gap, "gap", (*_HOLE, *_fields("reason", "detected_by", "state", "repaired_from"))),
    (Status, "status", (("call", None, lambda e: e.status_feed or ""), *_fields("status", "detail"))),
)
"""Where each event type's columns are found; those that come most stand first."""


class NativeRows:
    """Rows of one exchange in the buffers of the compiled core."""

    def __init__(self, exchange: str, core: ModuleType) -> None:
        self._exchange = exchange
        self._set = core.ColumnSet(_decimal_bytes)
        tables = {record_type: self._add_table(record_type, schema) for record_type, schema in SCHEMAS.items()}
        for event_type, record_type, sources in _ROUTES:
            self._set.add_route(event_type, tables[record_type], (*_fields(*_HEAD), *sources))
        self._instruments = tables["instrument"]
        self.append: Callable[..., None] = self._set.append

    def _add_table(self, record_type: str, schema: pa.Schema) -> int:
        fields = list(schema)[1:]  # the exchange is one and the same
        kinds = "".join(_KINDS[field.type] + ("?" if field.nullable else " ") for field in fields)
        table: int = self._set.add_table(record_type, tuple(field.name for field in fields), kinds)
        return table

    def append_instrument(self, i: Instrument, recv_ns: int) -> None:
        head = (i.market_type, i.instrument, None, recv_ns, i.pair, i.base, i.quote, i.settle)
        numbers = (i.tick, i.step, i.contract_size)
        rest = (i.contract_unit, i.status, i.listed_ns, i.expiry_ns)
        self._set.append_row(self._instruments, (*head, *numbers, *rest))

    @property
    def row_count(self) -> int:
        count: int = self._set.rows
        return count

    @property
    def approx_bytes(self) -> int:
        size: int = self._set.approx_bytes
        return size

    def detach(self) -> NativePending:
        return NativePending(self._exchange, self._set.detach())


class NativePending:
    """Buffers taken out of the core. Rows that do not fit were left out as they came."""

    def __init__(self, exchange: str, taken: list[tuple[str, int, Any, int, str]]) -> None:
        self._exchange = exchange
        self._taken = taken

    def build(self) -> Taken:
        """Wrap the buffers; they are not copied."""
        taken = Taken([], [])
        for record_type, rows, columns, refused, why in self._taken:
            if rows:
                taken.batches.append((record_type, self._batch(record_type, rows, columns)))
            if refused:
                taken.refused.append(Refused(record_type, refused, why))
        return taken

    def _batch(self, record_type: str, rows: int, columns: Any) -> pa.RecordBatch:
        schema = SCHEMAS[record_type]
        arrays = [pa.repeat(pa.scalar(self._exchange, TEXT), rows)]
        for field, column in zip(list(schema)[1:], columns, strict=True):
            valid, offsets, data = (None if part is None else pa.py_buffer(part) for part in column)
            if field.type == LEVELS:
                arrays.append(_levels(rows, offsets, data))
            else:
                parts = [valid, data] if offsets is None else [valid, offsets, data]
                arrays.append(pa.Array.from_buffers(field.type, rows, parts))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _levels(rows: int, offsets: pa.Buffer, data: pa.Buffer) -> pa.Array:
    pairs = data.size // (2 * DECIMAL.byte_width)
    numbers = pa.Array.from_buffers(DECIMAL, 2 * pairs, [None, data])
    levels = pa.Array.from_buffers(LEVEL, pairs, [None], children=[numbers])
    return pa.Array.from_buffers(LEVELS, rows, [None, offsets], children=[levels])


def _decimal_bytes(value: object) -> bytes:
    """What is no plain text, as the column would cast it. Raises: ValueError or TypeError for what is no number that fits."""
    number: bytes = pa.array([value], TEXT).cast(DECIMAL).buffers()[1].to_pybytes()
    return number[: DECIMAL.byte_width]
