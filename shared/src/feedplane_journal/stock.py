"""The segments on disk as the writer knows them: sizes, who has passed them, what goes when room is short."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from feedplane_core.errors import JournalCorrupt, JournalError

from .codec import Encoded, encode_frames
from .columns import Columns
from .cursors import lowest_position, read_cursors
from .files import Files
from .layout import Position, SegmentFile, list_segments, read_header
from .reader import FrameRead, JournalReader
from .retention import Budget, Plan, Pressure, Sealed, plan, pressure
from .schema import CARRIED
from .shed import ShedRange, gap_of, shed_ranges

logger = logging.getLogger(__name__)

_LOOK_EVERY_NS = 1_000_000_000


class Room(NamedTuple):
    """How room is made: segments to drop once `frames` (gap rows for `shed`, and what is carried forward) are accepted."""

    drop: tuple[int, ...]
    frames: list[Encoded]
    shed: tuple[ShedRange, ...]


_NOTHING = Room((), [], ())


class _Held:
    """One segment on disk. `created_ns` is read from its header when retention first asks."""

    def __init__(self, file: SegmentFile, size_bytes: int, created_ns: int | None) -> None:
        self.file = file
        self.size_bytes = size_bytes
        self._created_ns = created_ns

    def created_ns(self) -> int:
        if self._created_ns is None:
            try:
                self._created_ns = read_header(self.file.path)[0].created_ns
            except (JournalCorrupt, FileNotFoundError):
                self._created_ns = 0
        return self._created_ns


class Stock:
    """Bookkeeping of one journal's segments. The writer's thread alone uses it; `pressure` may be read from anywhere."""

    def __init__(self, journal: Path, exchange: str, budget: Budget, files: Files, reserve_bytes: int) -> None:
        self._journal = journal
        self._exchange = exchange
        self._budget = budget
        self._files = files
        self._reserve_bytes = reserve_bytes
        self._held: list[_Held] = []
        self._lowest: Position | None = None
        self._looked_ns: int | None = None
        self._next_index = 1
        self.total_bytes = 0
        self.pressure = Pressure.NONE

    def load(self) -> None:
        """Take stock of the directory. The next index is above every segment and every cursor there is: a wiped directory must not hide new data behind old cursors."""
        self._held = [_Held(file, file.path.stat().st_size, None) for file in list_segments(self._journal)]
        self.total_bytes = sum(held.size_bytes for held in self._held)
        cursors = [position.segment for position in read_cursors(self._journal).values()]
        self._next_index = 1 + max([held.file.index for held in self._held] + cursors, default=0)

    def add(self, file: SegmentFile, size_bytes: int, created_ns: int) -> None:
        """A new live segment."""
        self._held.append(_Held(file, size_bytes, created_ns))
        self.total_bytes += size_bytes

    def take_index(self) -> int:
        """The next segment's index. Never given twice, even if creating that segment fails half-way."""
        self._next_index += 1
        return self._next_index - 1

    def grow(self, size_bytes: int) -> None:
        """The live segment took `size_bytes` more."""
        self._held[-1].size_bytes += size_bytes
        self.total_bytes += size_bytes

    def make_room(self, group_bytes: int, now_ns: int) -> Room:
        """Delete what may go, and say what must be dropped so that a group of `group_bytes` fits. Looks at cursors once a second, and whenever the cap is near."""
        over = self.total_bytes + group_bytes > self._budget.max_bytes
        if not over and self._looked_ns is not None and 0 <= now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return _NOTHING
        self._looked_ns = now_ns
        self._lowest = self._lowest_or_none()
        decided = self._plan(group_bytes, now_ns)
        self.remove(decided.delete)
        unread = sum(held.size_bytes for held in self._held if not self._is_passed(held))
        self.pressure = pressure(unread, self._budget, self._files.free_bytes(self._journal), self._reserve_bytes)
        return self._prepare_drop(decided.drop, now_ns) if decided.drop else _NOTHING

    def remove(self, indices: tuple[int, ...]) -> None:
        """Delete segments. A file that is gone already is no fault."""
        for index in indices:
            held = next(held for held in self._held if held.file.index == index)
            self._files.unlink(held.file.path)
            self._held.remove(held)
            self.total_bytes -= held.size_bytes

    def _lowest_or_none(self) -> Position | None:
        try:
            return lowest_position(self._journal)
        except JournalError as error:
            logger.warning("cursors not readable", extra={"error": str(error)})
            return None  # nobody is known to have passed anything: keep all

    def _is_passed(self, held: _Held) -> bool:
        lowest = self._lowest
        if lowest is None:
            return False
        if lowest.segment == held.file.index:
            return lowest.uuid == held.file.uuid and lowest.offset >= held.size_bytes
        return lowest.segment > held.file.index

    def _plan(self, group_bytes: int, now_ns: int) -> Plan:
        sealed = [
            Sealed(held.file.index, held.size_bytes, following.created_ns(), self._is_passed(held))
            for held, following in zip(self._held, self._held[1:], strict=False)
        ]
        free_bytes = self._files.free_bytes(self._journal)
        return plan(sealed, self.total_bytes + group_bytes, self._budget, free_bytes, self._reserve_bytes, now_ns)

    def _prepare_drop(self, drop: tuple[int, ...], now_ns: int) -> Room:
        """Read what is about to be dropped: unread rows become gap rows; gaps, statuses and instruments are carried forward."""
        reads = [read for read in self._frames_of(drop) if self._lowest is None or read.start >= self._lowest]
        shed = shed_ranges((read.record_type, read.batch) for read in reads)
        columns = Columns(self._exchange)
        for item in shed:
            columns.append(gap_of(item, self._exchange, now_ns))
        batches = columns.take().batches + [(r.record_type, r.batch) for r in reads if r.record_type in CARRIED]
        frames = [frame for record_type, batch in batches for frame in encode_frames(record_type, batch, "lz4")]
        logger.error("journal segments dropped", extra={"segments": len(drop), "rows": sum(item.rows for item in shed)})
        return Room(drop, frames, tuple(shed))

    def _frames_of(self, indices: tuple[int, ...]) -> list[FrameRead]:
        reader = JournalReader(self._journal)
        found: list[FrameRead] = []
        try:
            files = [held.file for held in self._held if held.file.index in indices]
            cursor = files[0].start
            while reads := reader.read(cursor):
                inside = [read for read in reads if read.start.segment in indices]
                found += inside
                if len(inside) < len(reads):
                    break
                cursor = reads[-1].end
        finally:
            reader.close()
        return found
