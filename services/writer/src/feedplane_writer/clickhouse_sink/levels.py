"""Book sides as lists of (price, qty) turned into rows of levels, and into flat columns of the best ones. Pure and
vectorised."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from feedplane_journal.levels import levels_table

from .columns import ZERO, Columns, constant

NO_LEVELS: Final = 0
"""`level` of the one row that stands for a message without levels; real levels count from 1."""
LAST_LEVEL: Final = 65_535
"""Levels beyond this place share its number; their price tells them apart."""


def level_rows(batch: pa.RecordBatch) -> tuple[pa.Array, Columns]:
    """One row per level, bids then asks: the message that each row is of, and the columns `side level price qty`.

    A message without any level becomes one row of level `NO_LEVELS`, price 0 and qty 0, so that the chain of its
    sequence numbers is not lost.
    """
    levels = levels_table(batch).combine_chunks()
    silent = pc.equal(pc.add(*(pc.list_value_length(batch.column(side)) for side in ("bids", "asks"))), 0)
    empty = pc.indices_nonzero(silent).cast(pa.int64())
    n, zeros = len(empty), pa.repeat(ZERO, len(empty))
    marker = {
        "parent": empty,
        "side": constant("B", n, pa.string()),
        "level": constant(NO_LEVELS, n, pa.int64()),
        "price": zeros,
        "qty": zeros,
    }
    columns = {name: pa.concat_arrays([*levels.column(name).chunks, marker[name]]) for name in marker}
    columns["level"] = pc.min_element_wise(columns["level"], LAST_LEVEL).cast(pa.uint16())
    return columns.pop("parent"), columns


def _starts(counts: pa.Array) -> pa.Array:
    """Index of each list's first level among all levels."""
    return pc.subtract(pc.cumulative_sum(counts), counts)


def flat_levels(bids: pa.Array, asks: pa.Array, depth: int) -> Columns:
    """Columns `b1_px b1_sz .. aN_px aN_sz`; 0 where a book is shorter than `depth`."""
    columns: Columns = {}
    for name, levels in (("b", bids), ("a", asks)):
        counts = pc.list_value_length(levels).cast(pa.int64())
        starts = _starts(counts)
        pairs = pc.list_flatten(levels)
        prices, sizes = pc.list_element(pairs, 0), pc.list_element(pairs, 1)
        for place in range(depth):
            at = pc.if_else(pc.greater(counts, place), pc.add(starts, place), pa.scalar(None, pa.int64()))
            columns[f"{name}{place + 1}_px"] = pc.fill_null(prices.take(at), ZERO)
            columns[f"{name}{place + 1}_sz"] = pc.fill_null(sizes.take(at), ZERO)
    return columns


def level_count(levels: pa.Array) -> int:
    """Levels in all lists together."""
    return pc.sum(pc.list_value_length(levels)).as_py() or 0
