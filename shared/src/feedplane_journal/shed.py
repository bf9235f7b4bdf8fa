"""What was dropped for lack of room, as ranges per instrument and feed, and the gap rows that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from feedplane_core.events import Gap
from feedplane_core.identity import raw_hash
from feedplane_core.names import Feed, MarketType

from .schema import FEEDS, INT64, TEXT


class ShedRange(NamedTuple):
    """Rows of one feed of one instrument that are gone. The span holds both the venue's time and ours of each, ends inclusive; sequences `None` where the feed has none."""

    market_type: MarketType
    instrument: str
    feed: Feed
    from_ns: int
    to_ns: int
    from_seq: int | None
    to_seq: int | None
    rows: int


_KEYS = ["market_type", "instrument", "feed"]


def shed_ranges(batches: Iterable[tuple[str, pa.RecordBatch]]) -> list[ShedRange]:
    """The ranges that `batches` (record type, rows) cover; what no venue sent (gaps, statuses, instruments, checkpoints) is left out."""
    parts = [
        _outline(record_type, batch)
        for record_type, batch in batches
        if record_type in FEEDS or record_type == "book_top"
    ]
    if not parts:
        return []
    spans = [("from", "min"), ("to", "max"), ("first", "min"), ("last", "max"), ("from", "count")]
    table = pa.Table.from_batches(parts).group_by(_KEYS).aggregate(spans).sort_by([(key, "ascending") for key in _KEYS])
    return [
        ShedRange(
            MarketType(row["market_type"]),
            row["instrument"],
            Feed(row["feed"]),
            row["from_min"],
            row["to_max"],
            row["first_min"],
            row["last_max"],
            row["from_count"],
        )
        for row in table.to_pylist()
    ]


def _outline(record_type: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each row's instrument, feed, times and sequence range."""
    stamped, received = (batch.column(name).cast(INT64) for name in ("ts_event", "ts_recv"))
    nothing = pa.nulls(batch.num_rows, INT64)
    first = last = batch.column("seq") if "seq" in batch.schema.names else nothing
    if record_type == "depth":
        last = batch.column("last_seq")
        first = batch.column("first_seq").fill_null(last)
    return pa.RecordBatch.from_arrays(
        [
            batch.column("market_type"),
            batch.column("instrument"),
            _feeds(record_type, batch),
            pc.min_element_wise(stamped, received),  # a time that the venue does not send is passed over
            pc.max_element_wise(stamped, received),
            first,
            last,
        ],
        names=[*_KEYS, "from", "to", "first", "last"],
    )


def _feeds(record_type: str, batch: pa.RecordBatch) -> pa.Array:
    if record_type != "book_top":
        return pa.repeat(pa.scalar(FEEDS[record_type].value, TEXT), batch.num_rows)
    is_top5 = pc.equal(batch.column("depth"), 5)
    return pc.if_else(is_top5, pa.scalar(Feed.OB_TOP5.value, TEXT), pa.scalar(Feed.OB_TOP20.value, TEXT))


def gap_of(shed: ShedRange, exchange: str, detected_ns: int, reason: str = "shed") -> Gap:
    """The gap row of a range: the open interval around it. Its id comes from the range alone, so that saying it twice says it once."""
    return Gap(
        exchange=exchange,
        market_type=shed.market_type,
        instrument=shed.instrument,
        ts_event_ns=None,
        ts_recv_ns=detected_ns,
        gap_id=raw_hash(reason, exchange, shed.market_type, shed.instrument, shed.feed, shed.from_ns, shed.to_ns),
        gap_feed=shed.feed,
        from_ns=shed.from_ns - 1,
        to_ns=shed.to_ns + 1,
        from_seq=shed.from_seq,
        to_seq=shed.to_seq,
        reason=reason,
        detected_by="journal",
        state="closed",
    )
