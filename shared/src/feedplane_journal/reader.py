"""Reading a journal, live or at rest: any number of readers, each with its own cursor, none of them seen by the writer.

A reader may meet frames that are written and not yet synced: they are true data that a power cut can take back. That is harmless, because the bytes of an
(uuid, offset) never change: after any crash or full disk the writer goes on in a new segment.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from feedplane_core.errors import JournalCorrupt
from feedplane_core.journal import FILLER, FRAME_HEADER_BYTES, Flaw, Frame, Peek, frame_at, next_frame, peek_at

from .codec import decode_batch
from .layout import Position, SegmentFile, SegmentHeader, crc32c, decoded_schemas, list_segments, read_header
from .quarantine import quarantine
from .schema import SCHEMAS

logger = logging.getLogger(__name__)

DEFAULT_READ_BYTES = 4 << 20
_COUNT_CHUNK_BYTES = 256 << 10
_MTIME_GRAIN_NS = 20_000_000  # a directory's time stamp moves in steps: a listing this young may have missed a change
_RETRY_TORN_S = 0.05


class FrameRead(NamedTuple):
    """One decoded frame. `end` is the cursor to save once the frame is in the store."""

    record_type: str
    batch: pa.RecordBatch
    start: Position
    end: Position
    rows: int
    sequence: int


class Problem(NamedTuple):
    """Bytes that were skipped, and why. They are in the quarantine as far as it has room."""

    position: Position
    size_bytes: int
    reason: str  # a Flaw, "header" or "payload"
    detail: str


class Backlog(NamedTuple):
    """What lies between a cursor and the end of the journal."""

    rows: int
    bytes: int


class _Open:
    """The one segment that a reader has open."""

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.header: SegmentHeader | None = None
        self.first_frame = 0
        self.schemas = SCHEMAS
        self.fault = ""
        self.fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.header, self.first_frame = read_header(file.path)
            self.schemas = decoded_schemas(self.header.schemas)
        except JournalCorrupt as error:
            self.fault = str(
                error
            )  # the frames behind a damaged header still check themselves; the present schemas must do
        except BaseException:
            os.close(self.fd)
            raise

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.fd, size, offset)


class JournalReader:
    """Reads frames from `path` in order. Not thread-safe.

    `on_problem` is told once of every stretch that had to be skipped; `keep` puts it in the quarantine.
    Methods raise JournalError if the directory cannot be read or is of a newer version.
    """

    def __init__(self, path: Path, on_problem: Callable[[Problem], None] | None = None, *, keep: bool = True) -> None:
        self._path = Path(path)
        self._keep = keep
        self._on_problem = on_problem
        self._told: set[Position] = set()
        self._segments: list[SegmentFile] = []
        self._listed_mtime_ns = -1
        self._open: _Open | None = None
        self._fruitless: tuple[Position, int, float] | None = None
        self._counted: dict[tuple[str, str], tuple[int, int]] = {}

    def segments(self) -> list[SegmentFile]:
        """The segments that exist now, oldest first."""
        self._refresh(force=True)
        return list(self._segments)

    def close(self) -> None:
        """Close the open segment. The reader can be used again."""
        if self._open is not None:
            os.close(self._open.fd)
            self._open = None

    def read(self, cursor: Position | None, max_bytes: int = DEFAULT_READ_BYTES) -> list[FrameRead]:
        """The next frames after `cursor` (`None`: from the oldest), at least one if there is a whole one, else about `max_bytes` of them at most.

        `[]` at the end of what is written. Damage in a sealed segment is skipped to the next whole frame; at the end of the live one it may still become whole.
        """
        self._refresh()
        segment, offset = self._locate(cursor)
        while segment is not None:
            sealed = segment.index < self._segments[-1].index
            reads = self._read_segment(segment, offset, max_bytes, sealed)
            if reads:
                return reads
            if not sealed:
                self._refresh(force=self._recently_changed())
                if segment.index >= self._segments[-1].index:
                    self._remember_fruitless(segment, offset)
                    return []
                continue  # sealed meanwhile: once more, for what was written after our read
            segment, offset = self._after(segment), 0
        return []

    def has_news(self, cursor: Position | None) -> bool:
        """Whether `read(cursor)` is worth a call: one fstat and one stat. It may say so once in vain."""
        self._refresh()
        segment, offset = self._locate(cursor)
        if segment is None:
            return False
        if segment.index < self._segments[-1].index:
            return True
        opened = self._opened(segment)
        if opened is None:
            return True
        size = opened.size()
        if size <= max(offset, opened.first_frame):
            return False
        if self._fruitless is None or self._fruitless[:2] != (segment.at(offset), size):
            return True
        return time.monotonic() - self._fruitless[2] > _RETRY_TORN_S

    def wait(self, cursor: Position | None, timeout_s: float, poll_s: float = 0.003) -> bool:
        """Block until there are news after `cursor`; `False` after `timeout_s` without. For threads: asyncio code polls `has_news`."""
        deadline = time.monotonic() + timeout_s
        while not self.has_news(cursor):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(poll_s, left))
        return True

    def backlog(self, cursor: Position | None) -> Backlog:
        """Rows and frame bytes after `cursor`. Headers alone are read; damaged stretches make it an estimate."""
        self._refresh(force=True)
        if not self._segments:
            return Backlog(0, 0)
        segment, offset = self._locate(cursor)
        last = self._segments[-1]
        end_rows, end_bytes = self._totals_at(last, None)
        if segment is None:
            return Backlog(0, 0)
        rows, size = self._totals_at(segment, offset)
        return Backlog(max(0, end_rows - rows), max(0, end_bytes - size))

    # -- where things are

    def _refresh(self, force: bool = False) -> None:
        try:
            mtime_ns = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            mtime_ns = -1
        if mtime_ns == self._listed_mtime_ns and not force:
            return
        self._segments = list_segments(self._path) if mtime_ns >= 0 else []
        self._listed_mtime_ns = mtime_ns

    def _recently_changed(self) -> bool:
        return time.time_ns() - self._listed_mtime_ns < _MTIME_GRAIN_NS

    def _locate(self, cursor: Position | None) -> tuple[SegmentFile | None, int]:
        """The segment to read and the offset in it: the cursor's own, or the first one after it where that is gone."""
        if not self._segments:
            return None, 0
        if cursor is None:
            return self._segments[0], 0
        for segment in reversed(self._segments):
            if segment.index == cursor.segment:
                return segment, cursor.offset if segment.uuid == cursor.uuid else 0
            if segment.index < cursor.segment:
                return self._after(segment), 0
        return self._segments[0], 0

    def _after(self, segment: SegmentFile) -> SegmentFile | None:
        return next((s for s in self._segments if s.index > segment.index), None)

    def _opened(self, segment: SegmentFile) -> _Open | None:
        """`segment` opened, `None` if it was deleted under us."""
        if self._open is not None and self._open.file == segment:
            return self._open
        self.close()
        try:
            self._open = _Open(segment)
        except FileNotFoundError:
            return None
        if self._open.fault:
            self._tell(Problem(segment.start, 0, "header", self._open.fault), b"")
        return self._open

    def _remember_fruitless(self, segment: SegmentFile, offset: int) -> None:
        if self._open is not None and self._open.file == segment:
            self._fruitless = (segment.at(offset), self._open.size(), time.monotonic())

    # -- frames

    def _read_segment(self, segment: SegmentFile, offset: int, max_bytes: int, sealed: bool) -> list[FrameRead]:
        opened = self._opened(segment)
        if opened is None:
            self._refresh(force=True)
            return []
        offset = max(offset, opened.first_frame)
        while True:
            frames, flaw = self._whole_frames(opened, offset, max_bytes)
            reads = [read for frame in frames if (read := self._decode(opened, frame)) is not None]
            if reads:
                return reads
            if frames:
                offset = frames[-1].end
            elif flaw is Flaw.END or not sealed:
                return []
            else:
                following = self._skip_damage(opened, offset, flaw)
                if following is None:
                    return []
                offset = following

    def _whole_frames(self, opened: _Open, offset: int, max_bytes: int) -> tuple[list[Frame], Flaw]:
        data = opened.read(offset, max(max_bytes, FRAME_HEADER_BYTES))
        head = peek_at(data, 0)
        if isinstance(head, Peek) and len(data) < FRAME_HEADER_BYTES + head.length:
            data = opened.read(offset, FRAME_HEADER_BYTES + head.length)
        frames: list[Frame] = []
        at = 0
        while isinstance(found := frame_at(data, at, crc32c, offset), Frame):
            frames.append(found)
            at = found.end - offset
        return frames, found

    def _skip_damage(self, opened: _Open, offset: int, flaw: Flaw) -> int | None:
        """Quarantine what stands at `offset`; the offset of the next whole frame, `None` if the segment has no more."""
        rest = opened.read(offset, max(0, opened.size() - offset))
        following = next_frame(rest, 1, crc32c, offset)
        end = offset + len(rest) if following is None else following.start
        problem = Problem(opened.file.at(offset), end - offset, flaw.value, f"segment {opened.file.path.name}")
        self._tell(problem, rest[: end - offset])
        return None if following is None else following.start

    def _decode(self, opened: _Open, frame: Frame) -> FrameRead | None:
        if frame.record == FILLER:
            return None
        start = opened.file.at(frame.start)
        record_type = frame.record_type
        schema = opened.schemas.get(record_type) if record_type is not None else None
        if record_type is None or schema is None:
            self._tell(Problem(start, frame.end - frame.start, "payload", f"record code {frame.record}"), frame.payload)
            return None
        try:
            batch = decode_batch(frame.payload, schema, frame.rows)
        except JournalCorrupt as error:
            self._tell(Problem(start, frame.end - frame.start, "payload", str(error)), frame.payload)
            return None
        return FrameRead(record_type, batch, start, opened.file.at(frame.end), frame.rows, frame.sequence)

    def _tell(self, problem: Problem, content: bytes) -> None:
        if problem.position in self._told:
            return
        self._told.add(problem.position)
        place = f"{problem.position.uuid}@{problem.position.offset}"
        logger.warning(
            "journal bytes skipped", extra={"place": place, "reason": problem.reason, "size_bytes": problem.size_bytes}
        )
        if content and self._keep:
            quarantine(self._path, "frame", content, f"{place} {problem.reason} {problem.detail}")
        if self._on_problem is not None:
            self._on_problem(problem)

    # -- counting

    def _totals_at(self, segment: SegmentFile, offset: int | None) -> tuple[int, int]:
        """Rows and frame bytes from the journal's beginning to `offset` of `segment` (`None`: its end)."""
        try:
            header, first_frame = read_header(segment.path)
        except (JournalCorrupt, FileNotFoundError):
            return 0, 0
        size = segment.path.stat().st_size
        stop = size if offset is None else min(max(offset, first_frame), size)
        rows = self._count_rows(segment, first_frame, stop, "end" if offset is None else "cursor")
        return header.rows_before + rows, header.bytes_before + stop - first_frame

    def _count_rows(self, segment: SegmentFile, first_frame: int, stop: int, slot: str) -> int:
        """Rows of the frames before `stop`, going on from where the last count of this `slot` ended."""
        at, rows = self._counted.get((segment.uuid, slot), (first_frame, 0))
        if at > stop:
            at, rows = first_frame, 0
        with segment.path.open("rb", buffering=0) as file:
            while at < stop:
                file.seek(at)
                data = file.read(_COUNT_CHUNK_BYTES) or b""
                inside = 0
                while at + inside < stop and isinstance(head := peek_at(data, inside), Peek):
                    inside += FRAME_HEADER_BYTES + head.length
                    rows += head.rows
                if inside == 0:
                    break
                at += inside
        self._counted = {key: value for key, value in self._counted.items() if key[1] != slot}
        self._counted[(segment.uuid, slot)] = (at, rows)
        return rows
