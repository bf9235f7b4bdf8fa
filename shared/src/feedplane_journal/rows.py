"""Rows of the journal as JSON dicts, spelled as `feedplane decode` spells events: for `feedplane journal cat` and for tests of what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

from .schema import DECIMAL, INT64, LEVELS, TIME

_TIMES = {
    "ts_event": "ts_event_ns",
    "ts_recv": "ts_recv_ns",
    "open_time": "open_ns",
    "next_funding": "next_funding_ns",
    "from_ts": "from_ns",
    "to_ts": "to_ns",
    "listed": "listed_ns",
    "expiry": "expiry_ns",
}
_JOURNAL_ONLY = frozenset({"identity", "source", "is_snapshot"})
"""Columns that decide a row's `type` or its identity and are no fields of an event."""


def plain_text(value: Decimal) -> str:
    """The shortest plain decimal text of an exact value."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"


def row_dicts(record_type: str, batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Each row as the JSON object of its event: `type` first, numbers as plain text, times as integer ns."""
    names = [_TIMES.get(name, name) for name in batch.schema.names]
    columns = [_values(batch.column(index), field.type) for index, field in enumerate(batch.schema)]
    type_of = _TYPE_OF.get(record_type)
    for values in zip(*columns, strict=True):
        row = dict(zip(names, values, strict=True))
        yield {"type": record_type if type_of is None else type_of(row)} | {
            key: value for key, value in row.items() if key not in _JOURNAL_ONLY
        }


def _depth_type(row: dict[str, Any]) -> str:
    return "book_snapshot" if row["is_snapshot"] else "depth_diff"


def _l1_type(row: dict[str, Any]) -> str:
    return "top_of_book" if row["source"] == "native" else "derived_l1"


_TYPE_OF: dict[str, Callable[[dict[str, Any]], str]] = {"depth": _depth_type, "l1": _l1_type}


def _values(column: pa.Array, kind: pa.DataType) -> list[Any]:
    if kind == TIME:
        values: list[Any] = column.cast(INT64).to_pylist()
    elif kind == DECIMAL:
        values = [None if value is None else plain_text(value) for value in column.to_pylist()]
    elif kind == LEVELS:
        values = [[[plain_text(price), plain_text(qty)] for price, qty in levels] for levels in column.to_pylist()]
    else:
        values = column.to_pylist()
    return values
