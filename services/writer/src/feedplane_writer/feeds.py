"""Which feed a record is accounted under: as `feedplane_core.events.feed_of`, and pseudo feeds for what is not
market data. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from feedplane_core.names import Feed
from feedplane_journal.schema import account_of

Counts = dict[str, int]


def feed_counts(record_type: str, batch: pa.RecordBatch) -> Counts:
    """Records of `batch` by feed; `book_top` is told by its depth, everything else by its type."""
    if record_type != "book_top":
        return {account_of(record_type): batch.num_rows} if batch.num_rows else {}
    five = pc.sum(pc.equal(batch.column("depth"), 5)).as_py() or 0
    counts = {Feed.OB_TOP5.value: five, Feed.OB_TOP20.value: batch.num_rows - five}
    return {feed: n for feed, n in counts.items() if n}


def feeds_of_rows(record_type: str, batch: pa.RecordBatch) -> list[str]:
    """Feed of every record of `batch`, for the few that are quarantined."""
    if record_type != "book_top":
        return [account_of(record_type)] * batch.num_rows
    return [Feed.OB_TOP5.value if depth == 5 else Feed.OB_TOP20.value for depth in batch.column("depth").to_pylist()]


def add_counts(total: Counts, more: Mapping[str, int]) -> None:
    """Add `more` to `total`, in place."""
    for feed, n in more.items():
        total[feed] = total.get(feed, 0) + n
