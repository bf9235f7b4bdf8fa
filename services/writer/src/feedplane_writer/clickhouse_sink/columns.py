"""Small vectorised steps on Arrow columns that several tables share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

Columns = dict[str, pa.Array]
"""Columns of equal length by name, in order."""

NS_PER_DAY: Final = 86_400_000_000_000
ZERO: Final = pa.scalar(Decimal(0), pa.decimal128(38, 18))


def arange(n: int) -> pa.Array:
    """0, 1, .. n-1 as int64."""
    return pa.arange(0, n)


def constant(value: object, n: int, kind: pa.DataType) -> pa.Array:
    """`n` times the same value."""
    return pa.repeat(pa.scalar(value, kind), n)


def as_ns(times: pa.Array) -> pa.Array:
    """timestamp[ns] as int64."""
    return times.cast(pa.int64())


def as_time(ns: pa.Array) -> pa.Array:
    """int64 nanoseconds as timestamp[ns]."""
    return ns.cast(pa.timestamp("ns"))


def taken(columns: Mapping[str, pa.Array], indices: pa.Array) -> Columns:
    """The rows at `indices` of every column."""
    return {name: column.take(indices) for name, column in columns.items()}


def dictionaries(columns: Mapping[str, pa.Array]) -> Columns:
    """Texts as dictionaries, each distinct one once; other columns, and what is a dictionary already, as they are."""
    return {name: c.dictionary_encode() if pa.types.is_string(c.type) else c for name, c in columns.items()}


def indices_where(mask: pa.Array) -> pa.Array:
    """Indices at which `mask` is true."""
    return pc.indices_nonzero(mask).cast(pa.int64())


def last_of_each(key: pa.Array) -> pa.Array:
    """Ascending indices of the last occurrence of each value."""
    n = len(key)
    if n == 0:
        return pa.array([], pa.int64())
    backwards = key.take(pc.subtract(n - 1, arange(n)))
    from_end = pc.index_in(pc.unique(backwards), value_set=backwards).cast(
        pa.int64()
    )  # first match of a repeated value
    last = pc.subtract(n - 1, from_end)
    return last.take(pc.sort_indices(last))


def mapped(column: pa.Array, names: Mapping[str, Any], kind: pa.DataType) -> pa.Array:
    """Each text replaced by its value in `names`; null where it has none."""
    return pa.array(list(names.values()), kind).take(pc.index_in(column, value_set=pa.array(list(names), pa.string())))
