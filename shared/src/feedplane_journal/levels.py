"""Depth rows spread to one row per level, vectorised: what the history's level tables are filled from."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from .schema import DECIMAL, TEXT

LEVEL_ROWS = pa.schema(
    [
        pa.field("parent", pa.int64(), nullable=False),  # row of the batch
        pa.field("side", TEXT, nullable=False),  # B or A
        pa.field("level", pa.int64(), nullable=False),  # from 1, in the order of the message
        pa.field("price", DECIMAL, nullable=False),
        pa.field("qty", DECIMAL, nullable=False),
    ]
)


def levels_table(batch: pa.RecordBatch) -> pa.Table:
    """One row per level of `batch` (record type depth, book_top or checkpoint): all bids in row order, then all asks.

    `parent` takes any column along: `batch.column("instrument").take(table["parent"])`. A row without levels has none here.
    """
    return pa.Table.from_batches([_side(batch, "bids", "B"), _side(batch, "asks", "A")], LEVEL_ROWS)


def _side(batch: pa.RecordBatch, column: str, side: str) -> pa.RecordBatch:
    lists = batch.column(column)
    parent = pc.list_parent_indices(lists)
    flat = pc.list_flatten(lists)
    arrays = [
        parent,
        pa.repeat(pa.scalar(side, TEXT), len(flat)),
        _numbers(lists, parent),
        pc.list_element(flat, 0),
        pc.list_element(flat, 1),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=LEVEL_ROWS)


def _numbers(lists: pa.Array, parent: pa.Array) -> pa.Array:
    """1, 2, ... inside each row: the running count less the row's first."""
    running = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), len(parent)))
    starts = lists.offsets.slice(0, len(lists)).cast(pa.int64())
    first = pc.subtract(starts, lists.offsets[0].cast(pa.int64()))
    return pc.subtract(running, first.take(parent))
