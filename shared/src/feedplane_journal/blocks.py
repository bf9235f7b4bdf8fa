"""Rows on their way to a record batch: one flat list per record type, cast column by column.

A row in `Store.rows` is the schema's fields after `exchange` without the level columns, then for each level column the number of its levels and the length of its
flat text list after the row. The second number is the row's end in the texts; both together show a level that is no (price, qty) pair.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from .schema import DECIMAL, LEVELS, SCHEMAS, TEXT

_BYTES_PER_SCALAR = 14  # mean over the schemas: 8 for times and sequences, 16 for decimals, 4 and the text for texts
_BYTES_PER_NUMBER = 16

_CAST_ERRORS = (ValueError, TypeError, OverflowError)
"""What pyarrow raises for a value that is not of the column's type (ArrowInvalid is a ValueError, ArrowTypeError a TypeError)."""


class Refused(NamedTuple):
    """Rows left out of a batch because a value does not fit its column."""

    record_type: str
    row_count: int
    detail: str


class Taken(NamedTuple):
    """Batches by record type, and the rows that do not fit their columns."""

    batches: list[tuple[str, pa.RecordBatch]]
    refused: list[Refused]


class Pending(Protocol):
    """Rows taken out of the columns. `build` may run in another thread while the columns fill again."""

    def build(self) -> Taken:
        """The rows as batches; one with a value that does not fit is refused, all others are kept in order."""
        ...


class Store:
    """Where appenders put the rows of one record type. The lists stay the same objects for ever: appenders hold on to them."""

    def __init__(self, record_type: str, exchange: str) -> None:
        schema = SCHEMAS[record_type]
        self.record_type = record_type
        self.exchange = exchange
        self.rows: list[Any] = []
        self.flats: list[list[str]] = [[] for field in schema if field.type == LEVELS]
        self.width = len(schema) - 1 + len(self.flats)

    @property
    def row_count(self) -> int:
        return len(self.rows) // self.width

    @property
    def approx_bytes(self) -> int:
        return len(self.rows) * _BYTES_PER_SCALAR + sum(map(len, self.flats)) * _BYTES_PER_NUMBER

    def detach(self) -> Block:
        """The rows as columns; the store is empty afterwards."""
        columns = [self.rows[i :: self.width] for i in range(self.width)]
        flats = [flat[:] for flat in self.flats]
        self.rows.clear()
        for flat in self.flats:
            flat.clear()
        return Block(self.record_type, self.exchange, columns, flats, [0] * len(flats))


class Block(NamedTuple):
    """Columns of plain values; `bases` is where each text list begins, on the scale of the rows' ends."""

    record_type: str
    exchange: str
    columns: list[list[Any]]
    flats: list[list[str]]
    bases: list[int]

    @property
    def row_count(self) -> int:
        return len(self.columns[0])

    def build(self) -> tuple[pa.RecordBatch | None, list[Refused]]:
        """One batch of all rows that cast, in order (`None` if there is none), and those that did not."""
        good: list[pa.RecordBatch] = []
        refused: list[Refused] = []
        self._bisect(good, refused)
        if not good:
            return None, refused
        return (good[0] if len(good) == 1 else pa.concat_batches(good)), refused

    def _bisect(self, good: list[pa.RecordBatch], refused: list[Refused]) -> None:
        try:
            good.append(self._cast())
        except _CAST_ERRORS as error:
            half = self.row_count // 2
            if half == 0:
                refused.append(Refused(self.record_type, 1, str(error)))
                return
            self._slice(0, half)._bisect(good, refused)
            self._slice(half, self.row_count)._bisect(good, refused)

    def _slice(self, start: int, stop: int) -> Block:
        columns = [column[start:stop] for column in self.columns]
        flats, bases = [], []
        for number, (flat, base) in enumerate(zip(self.flats, self.bases, strict=True)):
            ends = self._ends(number)
            first = ends[start - 1] if start else base
            flats.append(flat[first - base : ends[stop - 1] - base])
            bases.append(first)
        return Block(self.record_type, self.exchange, columns, flats, bases)

    def _counts(self, number: int) -> list[int]:
        """Levels of each row in level column `number`."""
        return self.columns[len(self.columns) - 2 * len(self.flats) + 2 * number]

    def _ends(self, number: int) -> list[int]:
        """End of each row in the texts of level column `number`."""
        return self.columns[len(self.columns) - 2 * len(self.flats) + 2 * number + 1]

    def _cast(self) -> pa.RecordBatch:
        schema = SCHEMAS[self.record_type]
        arrays = [pa.repeat(pa.scalar(self.exchange, TEXT), self.row_count)]
        scalars = iter(self.columns)
        level_columns = iter(range(len(self.flats)))
        for field in list(schema)[1:]:
            if field.type == LEVELS:
                array = self._levels(next(level_columns))
            elif field.type == DECIMAL:
                array = pa.array(next(scalars), TEXT).cast(DECIMAL)
            else:
                array = pa.array(next(scalars), field.type)
            if array.null_count and not field.nullable:
                raise ValueError(f"{field.name} is missing")
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _levels(self, number: int) -> pa.Array:
        flat = self.flats[number]
        offsets = list(accumulate(self._counts(number), initial=0))
        if 2 * offsets[-1] != len(flat):
            raise ValueError("a level is not a (price, qty) pair")
        numbers = pa.array(flat, TEXT).cast(DECIMAL)
        if numbers.null_count:
            raise ValueError("a level has no number")
        levels = pa.FixedSizeListArray.from_arrays(numbers, 2)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), levels)
