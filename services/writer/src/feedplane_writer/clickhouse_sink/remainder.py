"""What an ending writer leaves behind in a journal that dies with its pod: told as ranges, and declared as holes while there is time.

Rows that are declared here and were on their way into the store all the same are covered twice, never missing without notice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from feedplane_core.errors import JournalError
from feedplane_core.names import Feed
from feedplane_journal.columns import Columns
from feedplane_journal.layout import Position
from feedplane_journal.reader import FrameRead, JournalReader
from feedplane_journal.schema import CARRIED
from feedplane_journal.shed import ShedRange, gap_of, shed_ranges

from .cut import Handover, Limits, cut
from .sender import INSERT_SETTINGS, Sender, Stopped

logger = logging.getLogger(__name__)

REASON: Final = "undrained"
_READ_BYTES: Final = 4 << 20
_GAP_AGE_NS: Final = 1 << 62  # a hole is declared however old it is


class Remainder(NamedTuple):
    """What of one journal no shard has stored. `is_whole` is false where there was no time to look at all of it."""

    exchange: str
    start: Position
    ranges: list[ShedRange]
    carried: list[tuple[str, pa.RecordBatch]]  # holes, statuses and instruments that wait themselves
    is_whole: bool

    @property
    def is_empty(self) -> bool:
        return not self.ranges and not self.carried

    def told(self) -> list[dict[str, Any]]:
        """One entry a feed, the one with the most records first."""
        by_feed: dict[Feed, list[ShedRange]] = {}
        for item in self.ranges:
            by_feed.setdefault(item.feed, []).append(item)
        entries = [
            {
                "exchange": self.exchange,
                "feed": str(feed),
                "records": sum(item.rows for item in items),
                "from_ns": min(item.from_ns for item in items),
                "to_ns": max(item.to_ns for item in items),
            }
            for feed, items in by_feed.items()
        ]
        return sorted(entries, key=lambda entry: -entry["records"])


def remainder_of(path: Path, exchange: str, positions: Sequence[Position], has_time: Callable[[], bool]) -> Remainder:
    """Read what lies behind `positions` (by shard). Without time for all of it, the ranges found reach to the end of time."""
    undone = Handover(positions=list(positions))
    found: list[ShedRange] = []
    carried: list[tuple[str, pa.RecordBatch]] = []
    at = start = min(positions)
    reader = JournalReader(path)
    is_whole = True
    try:
        while reads := reader.read(at, _READ_BYTES):
            batches = [(read.record_type, read.batch.filter(undone.keeps(read))) for read in reads]
            found = _merged(found + shed_ranges(batches))
            carried += [(kind, batch) for kind, batch in batches if kind in CARRIED and batch.num_rows]
            at = reads[-1].end
            if not has_time():
                is_whole = False
                break
    except (JournalError, OSError) as e:
        logger.error("remainder cannot be read", extra={"journal": path.name, "error": str(e)})
        is_whole = False
    finally:
        reader.close()
    return Remainder(exchange, start, found, carried, is_whole)


def _merged(ranges: list[ShedRange]) -> list[ShedRange]:
    merged: dict[tuple[str, str, str], ShedRange] = {}
    for item in ranges:
        key = (item.market_type, item.instrument, item.feed)
        held = merged.get(key)
        merged[key] = item if held is None else _joined(held, item)
    return list(merged.values())


def _joined(a: ShedRange, b: ShedRange) -> ShedRange:
    firsts = [seq for seq in (a.from_seq, b.from_seq) if seq is not None]
    lasts = [seq for seq in (a.to_seq, b.to_seq) if seq is not None]
    return a._replace(
        from_ns=min(a.from_ns, b.from_ns),
        to_ns=max(a.to_ns, b.to_ns),
        from_seq=min(firsts, default=None),
        to_seq=max(lasts, default=None),
        rows=a.rows + b.rows,
    )


def declare(left: Remainder, shard: int, shards: int, sender: Sender, now_ns: int) -> bool:
    """Store one shard's part of the holes, and the rows that tell of other holes; whether the store took them. One try: `sender` must stop at the first failure."""
    columns = Columns(left.exchange)
    for item in left.ranges:
        reach_ns = item.to_ns if left.is_whole else max(item.to_ns, now_ns)
        columns.append(gap_of(item._replace(to_ns=reach_ns), left.exchange, now_ns, REASON))
    prefix = f"{left.start.uuid}:{left.start.offset}:{REASON}"
    return store_beside(columns.take().batches + left.carried, prefix, shard, shards, sender)


def store_beside(
    batches: Sequence[tuple[str, pa.RecordBatch]], prefix: str, shard: int, shards: int, sender: Sender
) -> bool:
    """Store one shard's part of rows that are in no journal; whether the store took them. `prefix` is their identity."""
    nowhere = Position(0, 0, "")
    frames = [
        FrameRead(kind, batch, nowhere, nowhere, batch.num_rows, number)
        for number, (kind, batch) in enumerate(batches, start=1)
    ]
    limits = Limits(max_rows=10_000, l1_interval_ns=1, max_event_age_ns=_GAP_AGE_NS, compression="lz4")
    try:
        for piece in cut(frames, shard, shards, limits).slices:
            # The rows name their own identity: of two tries of two processes the newer row stays.
            sender.deliver(piece, f"{prefix}:{shard}of{shards}:{piece.name}:{piece.crc}", INSERT_SETTINGS)
    except Stopped:
        return False
    return True
