"""Check a journal byte by byte, without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from feedplane_core.errors import JournalCorrupt, JournalError
from feedplane_core.journal import FILLER, Damage, Frame, scan

from .codec import decode_batch
from .cursors import read_cursors, registered_sinks
from .layout import SegmentFile, SegmentHeader, crc32c, decoded_schemas, list_segments
from .recovery import cut_at, header_or_none
from .schema import SCHEMAS

CUT = "cut"
FILL = "fill"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `action` is what `repair` does about it: `cut` the tail, `fill` the stretch, or "" for nothing; `done` whether it has."""

    segment: str  # file name, or a cursor's
    offset: int
    size_bytes: int
    reason: str  # header, a Flaw, suspect, payload, sequence, cursor
    detail: str
    action: str = ""
    done: bool = False


def segments_of(path: Path) -> list[SegmentFile]:
    """Raises: JournalError if there is not one segment in `path`."""
    files = list_segments(Path(path))
    if not files:
        raise JournalError(f"{path} is no journal: it holds no segment")
    return files


def verify(path: Path) -> Iterator[Fault]:
    """Every fault of every header, frame, record batch, sequence and cursor. Beside a live collector the last frame may be caught half written.

    Raises: JournalError if `path` is no journal or one of a newer version.
    """
    files = segments_of(path)
    expected: int | None = None
    for file in files:
        try:
            data = file.path.read_bytes()
        except FileNotFoundError:
            continue  # retention was faster
        check = _Check(file, data, expected, is_last=file == files[-1])
        yield from check.faults()
        expected = check.expected
    yield from _cursor_faults(Path(path), files)


class _Check:
    """One pass over one segment. `expected` is the sequence that should come next, `None` after damage."""

    def __init__(self, file: SegmentFile, data: bytes, expected: int | None, is_last: bool) -> None:
        self._file = file
        self._data = data
        self._is_last = is_last
        self.expected = expected

    def faults(self) -> Iterator[Fault]:
        header, first_frame = header_or_none(self._data)
        if header is None:
            yield self._fault(0, 0, "header", "header cannot be read: frames are read with the present schemas")
        parts = list(scan(self._data, first_frame, crc32c))
        cut, reason = cut_at(self._file, header, parts) if self._is_last else (None, "")
        schemas = self._schemas(header)
        for part in parts:
            if cut is not None and part.start >= cut:
                break
            if isinstance(part, Damage):
                yield from self._damage(part, header is None and part.start == 0)
            else:
                yield from self._frame(part, schemas)
        if cut is not None:
            yield self._fault(cut, len(self._data) - cut, reason, "tail that was never accepted", CUT)

    def _damage(self, damage: Damage, is_header: bool) -> Iterator[Fault]:
        if not is_header:
            self.expected = None
            size = damage.end - damage.start
            yield self._fault(damage.start, size, damage.flaw.value, "damaged in place", FILL)

    def _frame(self, frame: Frame, schemas: dict[str, pa.Schema]) -> Iterator[Fault]:
        size = frame.end - frame.start
        if frame.record == FILLER:  # an earlier repair: how many frames are gone is not known
            self.expected = None
            return
        if self.expected is not None and frame.sequence != self.expected:
            detail = f"frame {frame.sequence} stands where {self.expected} was due"
            yield self._fault(frame.start, size, "sequence", detail)
        self.expected = frame.sequence + 1
        schema = schemas.get(frame.record_type) if frame.record_type is not None else None
        if schema is None:
            yield self._fault(frame.start, size, "payload", f"unknown record code {frame.record}")
            return
        try:
            decode_batch(frame.payload, schema, frame.rows).validate(full=True)
        except (JournalCorrupt, pa.ArrowException, ValueError) as error:
            yield self._fault(frame.start, size, "payload", str(error))

    def _schemas(self, header: SegmentHeader | None) -> dict[str, pa.Schema]:
        return SCHEMAS if header is None else decoded_schemas(header.schemas)

    def _fault(self, offset: int, size: int, reason: str, detail: str, action: str = "") -> Fault:
        return Fault(self._file.path.name, offset, size, reason, detail, action)


def _cursor_faults(path: Path, files: list[SegmentFile]) -> Iterator[Fault]:
    cursors = read_cursors(path)
    uuids = {file.index: file.uuid for file in files}
    for sink, position in cursors.items():
        uuid = uuids.get(position.segment)
        if position.segment > files[-1].index:
            yield Fault(
                sink, position.offset, 0, "cursor", f"points to segment {position.segment}, which was never written"
            )
        elif uuid is not None and uuid != position.uuid:
            yield Fault(
                sink, position.offset, 0, "cursor", f"points to another segment {position.segment} of that number"
            )
    for sink in registered_sinks(path) or []:
        if sink not in cursors:
            yield Fault(sink, 0, 0, "cursor", "registered, and has not passed anything yet: nothing is removed")
