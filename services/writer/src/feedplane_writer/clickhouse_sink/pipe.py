"""From one journal to one shard: frames gathered into rounds, each cut, recorded and replayable."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from feedplane_core.errors import JournalError
from feedplane_journal.layout import Position
from feedplane_journal.reader import FrameRead, JournalReader, Problem

from ..feeds import feed_counts
from .cursor import SinkCursor
from .cut import Cut, Handover, Limits, Slice, cut, token, weight
from .round_file import RoundFile, RoundRecord, records_of
from .sender import INSERT_SETTINGS
from .tables import TABLE_VERSION

logger = logging.getLogger(__name__)

_READ_BYTES: Final = 128 << 10  # compressed; decoded it is some four times that


class Round(NamedTuple):
    """What is to be stored before the cursor may pass `record.end`."""

    record: RoundRecord
    cut: Cut

    def token(self, piece: Slice) -> str:
        record = self.record
        owner = f"{record.shard}of{record.shards}"
        version = f"{record.table_version}.{record.variant}" if record.variant else str(record.table_version)
        return token(record.start.uuid, record.start.offset, record.end.offset, owner, piece.name, version)


class _Gathered:
    """Frames of one segment that will make a round."""

    def __init__(self) -> None:
        self.frames: list[FrameRead] = []
        self.rows: dict[str, int] = {}
        self.size_bytes = 0
        self.since_ns = 0
        self.is_closed = False  # the segment ends here

    def add(self, frame: FrameRead, now_ns: int) -> None:
        if not self.frames:
            self.since_ns = now_ns
        rows, size_bytes = weight(frame)
        self.frames.append(frame)
        self.rows[frame.record_type] = self.rows.get(frame.record_type, 0) + rows
        self.size_bytes += size_bytes


class Pipe:
    """Reads one journal for one shard. Not thread-safe: its shard's worker drives it."""

    def __init__(
        self,
        path: Path,
        exchange: str,
        cursor: SinkCursor,
        shard: int,
        shards: int,
        limits: Limits,
        *,
        max_age_ns: int,
        max_bytes: int,
        clock_ns: Callable[[], int],
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        """`max_bytes` bounds what it holds decoded; `clock_ns` is monotonic and only ages what was gathered."""
        self.path = path
        self.exchange = exchange
        self.cursor = cursor
        self.shard = shard
        self.has_skipped = False
        self.is_idle = False
        """Whether everything that was in the journal at the last look is settled. For any thread."""
        self._shards = shards
        self._limits = limits
        self._max_age_ns = max_age_ns
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._reader = JournalReader(path, on_problem)
        self._file = RoundFile(path, shard)
        self._position = cursor.position(shard)
        self._gathered = _Gathered()
        self._cut_ahead: tuple[Cut, Handover | None] | None = None
        self._variant = 0
        self._unfinished = self._file.load(self._position, shards)

    @property
    def held_bytes(self) -> int:
        """Decoded bytes that it holds, about."""
        return self._gathered.size_bytes

    def gather(self) -> None:
        """Take in what the journal has, up to the bounds of a round."""
        has_read = self._gather()
        self.is_idle = self._unfinished is None and not has_read and not self._gathered.frames

    def look_ahead(self) -> None:
        """Gather, and cut if that makes a round, while the round before is with the store. In another thread, which has the
        pipe to itself; what it fails at, the next `gather` or `next_round` fails at again."""
        self._gather()
        if self._is_full():
            handover = self.cursor.handover
            self._cut_ahead = cut(self._gathered.frames, self.shard, self._shards, self._limits, handover), handover

    def _gather(self) -> bool:
        """Whether the last look found anything."""
        reads: list[FrameRead] = []
        while self._unfinished is None and not self._is_full():
            reads = self._reader.read(self._position, _READ_BYTES)
            if not reads or not all(self._take(frame) for frame in reads):
                break
        return bool(reads)

    def is_due(self, is_draining: bool) -> bool:
        """Whether there is a round to be sent now."""
        if self._unfinished is not None:
            return True
        if not self._gathered.frames:
            return False
        return is_draining or self._is_full() or self._clock_ns() - self._gathered.since_ns >= self._max_age_ns

    def next_round(self) -> Round:
        """The round to send: one that an earlier process left unfinished, or what was gathered. Call when `is_due`."""
        if self._unfinished is not None:
            unfinished, self._unfinished = self._unfinished, None
            replayed = self._replayed(unfinished)
            if replayed is not None:
                return replayed
            self._variant = unfinished.variant + 1
            self.gather()
        frames, self._gathered = self._gathered.frames, _Gathered()
        ahead, self._cut_ahead = self._cut_ahead, None
        handover = self.cursor.handover
        made, handover = ahead or (cut(frames, self.shard, self._shards, self._limits, handover), handover)
        start, end = (frames[0].start, frames[-1].end) if frames else (self._position, self._position)
        return self._recorded(made, start, end, handover)

    def save(self, planned: Round) -> None:
        """BEFORE: put the round's boundaries on disk. Raises: OSError."""
        self._file.save(planned.record)

    def close(self) -> None:
        """Close the journal's files."""
        self._reader.close()

    def _is_full(self) -> bool:
        held = self._gathered
        return (
            held.is_closed
            or held.size_bytes >= self._max_bytes
            or max(held.rows.values(), default=0) >= self._limits.max_rows
        )

    def _take(self, frame: FrameRead) -> bool:
        """Gather `frame` unless the round must end before it."""
        held = self._gathered
        if self._is_full():
            return False
        if held.frames and held.frames[0].start.uuid != frame.start.uuid:
            held.is_closed = True  # tokens name one segment
            return False
        if frame.start.segment != self._position.segment:
            self._note_skip(frame.start)
        self._observe(frame)
        held.add(frame, self._clock_ns())
        self._position = frame.end
        return True

    def _observe(self, frame: FrameRead) -> None:
        self.cursor.account.observe(frame.end, feed_counts(frame.record_type, frame.batch))

    def _note_skip(self, start: Position) -> None:
        """The journal may have dropped segments that were not read: under pressure it sheds, and says so by gap
        rows."""
        present = {segment.index for segment in self._reader.segments()}
        if self._position.segment not in present or start.segment > self._position.segment + 1:
            self.has_skipped = True

    def _recorded(self, made: Cut, start: Position, end: Position, handover: Handover | None) -> Round:
        record = RoundRecord(
            cursor=self.cursor.position(self.shard),
            start=start,
            end=end,
            shard=self.shard,
            shards=self._shards,
            limits=self._limits,
            settings=dict(INSERT_SETTINGS),
            slices=records_of(made.slices),
            variant=self._variant,
            handover=handover,
        )
        self._variant = 0
        return Round(record, made)

    def _replayed(self, unfinished: RoundRecord) -> Round | None:
        """The very round that was recorded, or None where the journal no longer gives it (damage, or other code):
        then rows that were stored
        already come again under another token, and fall to their identity."""
        frames = self._frames_of(unfinished)
        made = cut(frames, self.shard, self._shards, unfinished.limits, unfinished.handover)
        if records_of(made.slices) != unfinished.slices or unfinished.table_version != TABLE_VERSION:
            logger.warning(
                "unfinished slices cannot be repeated",
                extra={"journal": self.path.name, "slices": len(unfinished.slices)},
            )
            return None
        for frame in frames:
            self._observe(frame)
        self._position = unfinished.end
        logger.info("repeating unfinished slices", extra={"journal": self.path.name, "slices": len(unfinished.slices)})
        return Round(unfinished, made)

    def _frames_of(self, unfinished: RoundRecord) -> list[FrameRead]:
        frames: list[FrameRead] = []
        at = unfinished.start
        while at < unfinished.end:
            reads = [frame for frame in self._reader.read(at, _READ_BYTES) if frame.end <= unfinished.end]
            if not reads or reads[0].start.uuid != unfinished.start.uuid:
                break
            frames += reads
            at = reads[-1].end
        return frames


def count_ahead(path: Path, cursor: SinkCursor, reader: JournalReader, max_bytes: int = 1 << 20) -> bool:
    """Count a step of what no pipe has read yet; whether there was anything. For the thread that keeps `pending`
    true while a store is away."""
    try:
        reads = reader.read(cursor.account.counted_to, max_bytes)
    except (JournalError, OSError) as e:
        logger.warning("journal cannot be counted", extra={"journal": path.name, "error": str(e)})
        return False
    for frame in reads:
        cursor.account.observe(frame.end, feed_counts(frame.record_type, frame.batch))
    return bool(reads)
