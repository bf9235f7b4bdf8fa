"""Depth rows spread to levels: the same as a loop over them."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
from feedplane_core.events import DepthDiff
from feedplane_journal.levels import LEVEL_ROWS, levels_table
from feedplane_testing.journals import batches_of, depth_diff, head
from hypothesis import given
from hypothesis import strategies as st

sides = st.lists(st.tuples(st.integers(1, 10**9).map(str), st.integers(0, 10**9).map(str)), max_size=5)


def _by_loop(batch: pa.RecordBatch) -> list[tuple[int, str, int, Decimal, Decimal]]:
    return [
        (row, side, number, price, qty)
        for column, side in (("bids", "B"), ("asks", "A"))
        for row, levels in enumerate(batch.column(column).to_pylist())
        for number, (price, qty) in enumerate(levels, start=1)
    ]


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=6), st.data())
def test_levels_equal_a_loop_over_the_rows_also_of_a_slice(
    rows: list[tuple[list[tuple[str, str]], ...]], data: st.DataObject
) -> None:
    events = [DepthDiff(**head(i), bids=bids, asks=asks, last_seq=i) for i, (bids, asks) in enumerate(rows)]
    [(_, whole)] = batches_of(events)
    start = data.draw(st.integers(0, len(rows) - 1))
    batch = whole.slice(start, data.draw(st.integers(0, len(rows) - start)))

    table = levels_table(batch)

    assert table.schema.equals(LEVEL_ROWS)
    assert [tuple(row.values()) for row in table.to_pylist()] == _by_loop(batch)


def test_parents_take_any_column_along() -> None:
    [(_, batch)] = batches_of([depth_diff(1, 2, "BTCUSDT"), depth_diff(2, 1, "ETHUSDT")])
    table = levels_table(batch)

    instruments = pa.chunked_array([batch.column("instrument")]).take(table["parent"]).to_pylist()
    assert instruments == ["BTCUSDT", "BTCUSDT", "ETHUSDT"] * 2
