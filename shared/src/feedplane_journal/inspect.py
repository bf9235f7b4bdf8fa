"""A journal for people: list it, print it, check it, mend it. Everything but `repair` only reads, and may run beside a live plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feedplane_core.errors import JournalCorrupt, JournalError
from feedplane_core.journal import FRAME_HEADER_BYTES, RECORD_TYPES, Frame, Peek, frame_at, peek_at

from .codec import decode_batch
from .cursors import read_cursors, registered_sinks
from .layout import Position, SegmentFile, SegmentHeader, crc32c, decoded_schemas, read_header
from .reader import JournalReader
from .repair import repair
from .rows import row_dicts
from .schema import INT64, SCHEMAS
from .verify import Fault, segments_of, verify

__all__ = ["Fault", "Listing", "SegmentInfo", "SinkInfo", "cat", "ls", "repair", "verify"]


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment, by its frames' headers. Times are of `ts_recv`: the least of the first frame, the greatest of the last; `None` where there is no frame."""

    index: int
    uuid: str
    path: Path
    size_bytes: int
    frames: int
    rows: dict[str, int]  # by record type
    first_ns: int | None
    last_ns: int | None
    is_live: bool
    is_whole: bool  # frames follow each other to the last byte; `verify` says what else there is

    @property
    def row_count(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class SinkInfo:
    """How far one sink is. `is_registered`: retention waits for it."""

    sink: str
    position: Position | None
    is_registered: bool
    backlog_rows: int
    backlog_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What `ls` shows."""

    exchange: str
    mode: str
    feedset: str
    shard: int
    segments: list[SegmentInfo]
    sinks: list[SinkInfo]


def ls(path: Path) -> Listing:
    """Segments and sinks. Raises: JournalError if `path` is no journal, or one of a newer version."""
    files = segments_of(path)
    headers = [_header(file) for file in files]
    newest = next((header for header in reversed(headers) if header is not None), None)
    if newest is None:
        raise JournalError(f"{path}: no segment header can be read")
    infos = [_info(file, header, file == files[-1]) for file, header in zip(files, headers, strict=True)]
    meta = newest.meta
    return Listing(meta.exchange, meta.mode.value, meta.feedset, meta.shard, infos, _sinks(Path(path)))


def cat(
    path: Path,
    record_types: Collection[str] = (),
    instruments: Collection[str] = (),
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows in journal order as JSON dicts. Empty filters take all; the time range is of `ts_recv`, its end exclusive.

    Damage is passed over: `verify` tells of it. Raises: JournalError if `path` is no journal, or for a record type that does not exist.
    """
    unknown = sorted(set(record_types) - set(RECORD_TYPES))
    if unknown:
        raise JournalError(f"no record type {', '.join(unknown)}: there are {', '.join(RECORD_TYPES)}")
    segments_of(path)
    return _rows(path, record_types, instruments, from_ns, to_ns)


def _rows(
    path: Path, record_types: Collection[str], instruments: Collection[str], from_ns: int | None, to_ns: int | None
) -> Iterator[dict[str, Any]]:
    reader = JournalReader(path, keep=False)
    cursor: Position | None = None
    try:
        while reads := reader.read(cursor):
            for read in reads:
                if not record_types or read.record_type in record_types:
                    yield from row_dicts(read.record_type, _filtered(read.batch, instruments, from_ns, to_ns))
            cursor = reads[-1].end
    finally:
        reader.close()


def _filtered(
    batch: pa.RecordBatch, instruments: Collection[str], from_ns: int | None, to_ns: int | None
) -> pa.RecordBatch:
    if instruments:
        batch = batch.filter(pc.is_in(batch.column("instrument"), pa.array(sorted(instruments))))
    if from_ns is not None:
        batch = batch.filter(pc.greater_equal(batch.column("ts_recv").cast(INT64), from_ns))
    if to_ns is not None:
        batch = batch.filter(pc.less(batch.column("ts_recv").cast(INT64), to_ns))
    return batch


def _header(file: SegmentFile) -> SegmentHeader | None:
    try:
        return read_header(file.path)[0]
    except (JournalCorrupt, FileNotFoundError):
        return None


def _info(file: SegmentFile, header: SegmentHeader | None, is_live: bool) -> SegmentInfo:
    rows: Counter[str] = Counter()
    first = last = None
    frames = 0
    with file.path.open("rb", buffering=0) as opened:
        size = at = opened.seek(0, 2)
        if header is not None:
            at = read_header(file.path)[1]
        while isinstance(head := _peek(opened, at), Peek):
            if 0 < head.record <= len(RECORD_TYPES):
                rows[RECORD_TYPES[head.record - 1]] += head.rows
                first, last = (at if first is None else first), at
            frames += 1
            at += FRAME_HEADER_BYTES + head.length
    span = [_times(file, header, offset) for offset in (first, last)]
    first_ns, last_ns = span[0][0], span[1][1]
    is_whole = header is not None and at == size
    return SegmentInfo(file.index, file.uuid, file.path, size, frames, dict(rows), first_ns, last_ns, is_live, is_whole)


def _peek(opened: Any, at: int) -> Peek | None:
    opened.seek(at)
    head = peek_at(opened.read(FRAME_HEADER_BYTES), 0)
    return head if isinstance(head, Peek) else None


def _times(file: SegmentFile, header: SegmentHeader | None, offset: int | None) -> tuple[int | None, int | None]:
    """Least and greatest `ts_recv` of the frame at `offset`; `None` where it cannot be read."""
    if offset is None or header is None:
        return None, None
    with file.path.open("rb") as opened:
        opened.seek(offset)
        head = opened.read(FRAME_HEADER_BYTES)
        peek = peek_at(head, 0)
        frame = frame_at(head + opened.read(peek.length), 0, crc32c) if isinstance(peek, Peek) else None
    if not isinstance(frame, Frame) or frame.record_type is None:
        return None, None
    try:
        schemas = decoded_schemas(header.schemas) if header is not None else SCHEMAS
        batch = decode_batch(frame.payload, schemas[frame.record_type], frame.rows)
    except (JournalCorrupt, KeyError):
        return None, None
    span = pc.min_max(batch.column("ts_recv").cast(INT64)).as_py()
    return span["min"], span["max"]


def _sinks(path: Path) -> list[SinkInfo]:
    cursors = read_cursors(path)
    registered = registered_sinks(path)
    reader = JournalReader(path, keep=False)
    found = []
    for sink in sorted({*cursors, *(registered or [])}):
        position = cursors.get(sink)
        backlog = reader.backlog(position)
        is_registered = registered is None or sink in registered
        found.append(SinkInfo(sink, position, is_registered, backlog.rows, backlog.bytes))
    reader.close()
    return found
