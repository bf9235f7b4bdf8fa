"""Appending to a journal: group commits, segments, recovery at start, the disk budget.

Durability: a group is *accepted* when `commit` returns. It is then framed, checksummed and inside a completed fdatasync of a file whose name is durable.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
from feedplane_core.errors import JournalError, JournalFull
from feedplane_core.journal import FRAME_HEADER_BYTES, RECORD_CODES, pack_frame_header

from .blocks import Refused
from .codec import Compression, Encoded, decode_batch, encode_frames
from .cursors import register_sinks
from .files import NO_SPACE, Files, OsFiles, publish, write_all
from .layout import (
    EPOCH,
    LOCK,
    SUSPECT_SUFFIX,
    Position,
    SegmentFile,
    SegmentHeader,
    SegmentMeta,
    crc32c,
    encode_header,
    encoded_schemas,
    list_segments,
    new_segment_uuid,
    segment_path,
)
from .locks import DirectoryLock, raise_epoch, read_epoch
from .recovery import NEW_JOURNAL, Recovery, Tail, check_owner, recover_tail, remove_leftovers
from .retention import Budget, Pressure
from .schema import SCHEMA_VERSION, SCHEMAS
from .shed import ShedRange, shed_ranges
from .stock import Stock

logger = logging.getLogger(__name__)

ROLL_BYTES = 64 << 20
ROLL_NS = 60 * 1_000_000_000
_SEGMENTS_PER_BUDGET = 8  # a small budget gets small segments, so that dropping one drops an eighth at most


class Committed(NamedTuple):
    """One accepted group. `position` is its end; `rows` and `bytes` are the caller's, without what the journal itself added.

    `shed` are ranges of unread rows that the size cap has cost: their gap rows are already in the journal.
    """

    sequence: int
    position: Position | None
    bytes: int
    rows: int
    shed: tuple[ShedRange, ...]


class _Live:
    """The segment being written. `size` is what is committed."""

    def __init__(self, file: SegmentFile, fd: int, size: int, created_ns: int) -> None:
        self.file = file
        self.fd = fd
        self.first_frame = size
        self.size = size
        self.created_ns = created_ns


class JournalWriter:
    """The one writer of the journal at `path`. `append` and `commit` may be called from different threads.

    `sinks` are the sinks that must pass a segment before retention removes it (`None`: whichever have cursors; `[]`: nobody reads).
    """

    def __init__(
        self,
        path: Path,
        *,
        meta: SegmentMeta,
        budget: Budget,
        clock_ns: Callable[[], int],
        sinks: Sequence[str] | None = None,
        files: Files | None = None,
        compression: Compression = "lz4",
        roll_bytes: int = ROLL_BYTES,
        roll_ns: int = ROLL_NS,
    ) -> None:
        self._path = Path(path)
        self._meta = meta
        self._clock_ns = clock_ns
        self._sinks = sinks
        self._files = files or OsFiles()
        self._compression = compression
        self._roll_bytes = min(roll_bytes, max(1, budget.max_bytes // _SEGMENTS_PER_BUDGET))
        self._roll_ns = roll_ns
        self._lock = DirectoryLock(self._path / LOCK)
        self._stock = Stock(self._path, meta.exchange, budget, self._files, reserve_bytes=self._roll_bytes)
        self._commit_lock = threading.Lock()
        self._pending_lock = threading.Lock()
        self._pending: list[Encoded] = []
        self._pending_positions: dict[str, Any] | None = None
        self._live: _Live | None = None
        self._tail: Tail = NEW_JOURNAL
        self._failure = ""
        self.epoch = 0
        """Raised by every `open`."""

    # -- life

    def open(self) -> Recovery:
        """Take the directory, cut its torn tail and tell what it held. The first commit starts a new segment.

        Raises: JournalLocked if another process writes here, JournalError for another exchange's, shard's or newer version's journal, or a disk that refuses.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except OSError as error:
            raise JournalError(f"cannot open journal {self._path}: {error.strerror}") from error
        try:
            check_owner(list_segments(self._path), self._meta)
            self.epoch = raise_epoch(self._path / EPOCH, self._files)
            remove_leftovers(self._path, self._files)
            self._tail = recover_tail(self._path, self._files)
            if self._sinks is not None:
                register_sinks(self._path, list(self._sinks), self._files)
            self._stock.load()
        except OSError as error:
            self._lock.release()
            raise JournalError(f"cannot open journal {self._path}: {error.strerror}") from error
        except BaseException:
            self._lock.release()
            raise
        tail = self._tail
        return Recovery(self._path, self.epoch, tail.positions, tail.positions_at, tail.truncated)

    def close(self) -> None:
        """Commit what is pending and let the next process write. Raises: as `commit`; the lock is released either way."""
        try:
            if self._lock.held and not self._failure:
                self.commit()
        finally:
            if self._live is not None:
                self._files.close(self._live.fd)
                self._live = None
            self._lock.release()

    # -- append and commit

    def append(
        self, batches: Iterable[tuple[str, pa.RecordBatch]], positions: dict[str, Any] | None = None
    ) -> list[Refused]:
        """Encode `batches` (record type, rows) for the next commit. Returns rows that are larger than a frame may be: they are not kept.

        `positions` is what the collector wants to know at restart, as of these batches inclusive, never ahead of them; it is stored in the next segment's header.
        The dict is kept, so it must not change afterwards; `None` leaves the last one.
        """
        encoded: list[Encoded] = []
        refused: list[Refused] = []
        for record_type, batch in batches:
            try:
                encoded += encode_frames(record_type, batch, self._compression)
            except ValueError as error:
                refused.append(Refused(record_type, batch.num_rows, str(error)))
        with self._pending_lock:
            self._pending += encoded
            if positions is not None:
                self._pending_positions = positions
        return refused

    @property
    def pending_bytes(self) -> int:
        """Bytes that the next commit will write."""
        with self._pending_lock:
            return _frame_bytes(self._pending)

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments."""
        return self._stock.total_bytes

    def commit(self) -> Committed:
        """Write and sync all that was appended; it is accepted when this returns. Blocks for the disk: call it from a worker thread.

        Also rolls segments and enforces the budget, so it is worth a call now and then without data.
        Raises: JournalFull if there is no room (the group stays pending: commit again later, or `discard` it); JournalError on any other fault of the disk, after
        which this writer is done for: the segment is marked suspect and the process has to end.
        """
        with self._commit_lock:
            self._check_usable()
            with self._pending_lock:
                group, self._pending = self._pending, []
                positions, self._pending_positions = self._pending_positions, None
            try:
                return self._commit(group, positions)
            except OSError as error:
                self._on_disk_error(error, group, positions)

    def discard(self) -> list[ShedRange]:
        """Give up what was appended and not committed; its ranges, for gap rows to be written when there is room again."""
        with self._commit_lock, self._pending_lock:
            group, self._pending = self._pending, []
            self._pending_positions = None
        return shed_ranges((e.record_type, decode_batch(e.payload, SCHEMAS[e.record_type], e.rows)) for e in group)

    def pressure(self) -> Pressure:
        """How hard the collector must shed before encoding; as of the last commit."""
        return self._stock.pressure

    # -- how a commit goes

    def _commit(self, group: list[Encoded], positions: dict[str, Any] | None) -> Committed:
        now_ns = self._clock_ns()
        self._roll_if_due(_frame_bytes(group), now_ns)
        room = self._stock.make_room(_frame_bytes(group), now_ns)
        frames = [*room.frames, *group]
        if frames:
            self._write(frames, now_ns)
        if positions is not None:
            position = self._live.file.at(self._live.size) if self._live is not None else self._tail.positions_at
            self._tail = self._tail._replace(positions=positions, positions_at=position)
        self._stock.remove(room.drop)  # after their gap rows are safe
        end = self._live.file.at(self._live.size) if self._live is not None else None
        rows = sum(frame.rows for frame in group)
        return Committed(self._tail.next_sequence - 1, end, _frame_bytes(group), rows, room.shed)

    def _roll_if_due(self, group_bytes: int, now_ns: int) -> None:
        live = self._live
        if live is None or live.size == live.first_frame:
            return
        if live.size + group_bytes > self._roll_bytes or now_ns - live.created_ns >= self._roll_ns:
            self._files.close(live.fd)
            self._live = None
            self._start_segment(now_ns)

    def _start_segment(self, now_ns: int) -> _Live:
        """Create the next segment: its name is durable before the first frame goes in."""
        tail = self._tail
        index, uuid = self._stock.take_index(), new_segment_uuid()
        header = SegmentHeader(
            uuid=uuid,
            index=index,
            created_ns=now_ns,
            meta=self._meta,
            schema_version=SCHEMA_VERSION,
            schemas=encoded_schemas(),
            epoch=self.epoch,
            first_sequence=tail.next_sequence,
            rows_before=tail.rows,
            bytes_before=tail.bytes,
            positions=tail.positions,
            positions_at=tail.positions_at,
        )
        data = encode_header(header)
        file = SegmentFile(index, uuid, segment_path(self._path, index, uuid))
        publish(self._files, file.path, data)
        self._live = _Live(file, self._files.open_existing(file.path), len(data), now_ns)
        self._stock.add(file, len(data), now_ns)
        return self._live

    def _write(self, frames: list[Encoded], now_ns: int) -> None:
        live = self._live or self._start_segment(now_ns)
        parts: list[bytes] = []
        first = self._tail.next_sequence
        for index, frame in enumerate(frames):
            code = RECORD_CODES[frame.record_type]
            parts += (pack_frame_header(frame.payload, code, frame.rows, first + index, index, crc32c), frame.payload)
        data = b"".join(parts)
        write_all(self._files, live.fd, data, live.size)
        self._files.sync_data(live.fd)
        live.size += len(data)
        self._stock.grow(len(data))
        self._tail = self._tail._replace(
            next_sequence=first + len(frames),
            rows=self._tail.rows + sum(frame.rows for frame in frames),
            bytes=self._tail.bytes + len(data),
        )

    # -- how it fails

    def _check_usable(self) -> None:
        if not self._lock.held:
            raise JournalError(f"journal {self._path} is not open")
        if self._failure:
            raise JournalError(f"journal {self._path} failed before: {self._failure}")
        if (current := read_epoch(self._path / EPOCH)) != self.epoch:
            self._failure = (
                f"epoch {current} has taken over from {self.epoch}"  # the lock did not hold: a volume mounted twice
            )
            raise JournalError(f"journal {self._path} failed: {self._failure}")

    def _on_disk_error(self, error: OSError, group: list[Encoded], positions: dict[str, Any] | None) -> NoReturn:
        """Keep the group for a later try if only room is missing; else end this writer. Always raises."""
        if error.errno in NO_SPACE:
            with self._pending_lock:
                self._pending = group + self._pending
                self._pending_positions = self._pending_positions or positions
            self._stock.pressure = Pressure.FULL
            if self._abandon_segment():
                logger.warning("journal full", extra={"journal": str(self._path), "pending_bytes": _frame_bytes(group)})
                raise JournalFull(f"no room in {self._path}: {error.strerror}") from error
        self._fail(error)
        raise JournalError(f"journal {self._path} failed: {error.strerror}") from error

    def _abandon_segment(self) -> bool:
        """Seal the live segment at its last accepted byte after a write that found no room; `False` if even that fails.

        What a reader may have seen of the group must not be overwritten with other content, so the next commit starts a new segment.
        """
        live, self._live = self._live, None
        if live is None:
            return True
        try:
            self._files.truncate(live.fd, live.size)
            self._files.sync_data(live.fd)
        except OSError:
            self._live = live
            return False
        self._files.close(live.fd)
        return True

    def _fail(self, error: OSError) -> None:
        """After a failed sync the kernel may call lost pages clean: mark the segment so that recovery trusts only what was accepted before."""
        self._failure = error.strerror or type(error).__name__
        logger.error("journal failed", extra={"journal": str(self._path), "error": self._failure})
        if self._live is not None:
            note = {"committed_bytes": self._live.size, "error": self._failure}
            with suppress(OSError):  # a disk this broken may refuse the note as well
                publish(self._files, self._live.file.path.with_suffix(SUSPECT_SUFFIX), json.dumps(note).encode())


def _frame_bytes(frames: list[Encoded]) -> int:
    return sum(FRAME_HEADER_BYTES + len(frame.payload) for frame in frames)
