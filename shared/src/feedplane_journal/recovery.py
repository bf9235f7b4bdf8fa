"""What a writer does to a journal before it appends: check whose it is, cut the torn tail, find out where to go on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from feedplane_core.errors import JournalCorrupt, JournalError
from feedplane_core.journal import FILLER, Damage, Frame, scan, torn_from

from .files import Files
from .layout import (
    SUSPECT_SUFFIX,
    Position,
    SegmentFile,
    SegmentHeader,
    SegmentMeta,
    crc32c,
    decode_header,
    list_segments,
    read_header,
)
from .quarantine import quarantine
from .reader import FrameRead, JournalReader

logger = logging.getLogger(__name__)


class Truncation(NamedTuple):
    """Bytes cut from the end of the last segment: written, never accepted. They are in the quarantine."""

    position: Position
    size_bytes: int
    reason: str  # a Flaw, or "suspect" after an I/O error


class Recovery(NamedTuple):
    """What a journal held when it was opened. `positions` are the collector's own, as of `positions_at`; `frames` tells what was accepted since."""

    path: Path
    epoch: int
    positions: dict[str, Any]
    positions_at: Position | None
    truncated: Truncation | None

    def frames(self) -> Iterator[FrameRead]:
        """Every frame after `positions_at`; to be read before the first commit."""
        reader = JournalReader(self.path)
        cursor = self.positions_at
        try:
            while reads := reader.read(cursor):
                yield from reads
                cursor = reads[-1].end
        finally:
            reader.close()


class Tail(NamedTuple):
    """Where a journal goes on."""

    next_sequence: int
    rows: int
    bytes: int
    positions: dict[str, Any]
    positions_at: Position | None
    truncated: Truncation | None


NEW_JOURNAL = Tail(1, 0, 0, {}, None, None)


def check_owner(segments: list[SegmentFile], meta: SegmentMeta) -> None:
    """Raises: JournalError if the newest readable header is another exchange's, mode's or shard's, or of a newer version."""
    for segment in reversed(segments):
        try:
            found = read_header(segment.path)[0].meta
        except JournalCorrupt:
            continue
        for field in ("exchange", "mode", "feedset", "shard"):
            theirs, ours = getattr(found, field), getattr(meta, field)
            if theirs != ours:
                raise JournalError(f"journal {segment.path.parent} belongs to {field} {theirs}, not {ours}")
        return


def remove_leftovers(journal: Path, files: Files) -> None:
    """Delete temporary files that a crash left. The caller holds the lock."""
    for path in journal.glob("*.tmp"):
        files.unlink(path)


def recover_tail(journal: Path, files: Files) -> Tail:
    """Cut what was never accepted from the last segment, sync the rest, and count. The caller holds the lock.

    Raises: JournalError if the disk refuses: nothing may be appended then.
    """
    segments = list_segments(journal)
    if not segments:
        return NEW_JOURNAL
    last = segments[-1]
    data = last.path.read_bytes()
    header, first_frame = header_or_none(data)
    parts = list(scan(data, first_frame, crc32c))
    cut, reason = cut_at(last, header, parts)
    truncated = None
    if cut is not None:
        truncated = Truncation(last.at(cut), len(data) - cut, reason)
        quarantine(journal, "tail", data[cut:], f"{last.uuid}@{cut} {reason}")
        logger.warning(
            "journal tail truncated", extra={"segment": last.path.name, "offset": cut, "size_bytes": len(data) - cut}
        )
    _settle(last, cut, files)
    sound = [part for part in parts if isinstance(part, Frame) and part.record != FILLER]
    frames = [frame for frame in sound if cut is None or frame.end <= cut]
    end = len(data) if cut is None else cut
    return _tail(segments, header, frames, end - first_frame, truncated)


def header_or_none(data: bytes) -> tuple[SegmentHeader | None, int]:
    try:
        return decode_header(data)
    except JournalCorrupt as error:
        logger.warning("journal header damaged", extra={"error": str(error)})
        return None, 0


def cut_at(last: SegmentFile, header: SegmentHeader | None, parts: list[Frame | Damage]) -> tuple[int | None, str]:
    """Where the last segment stops being accepted, and why; `None` if it ends whole."""
    frames = [part for part in parts if isinstance(part, Frame)]
    if header is None:
        # the header itself is damage now, which no torn write explains: judge only what stands behind the first whole frame
        parts = parts[parts.index(frames[0]) :] if frames else []
    first = header.first_sequence if header is not None else (frames[0].sequence if frames else 0)
    cut = torn_from(parts, first)
    reason = next((part.flaw.value for part in parts if isinstance(part, Damage) and part.start == cut), "")
    committed = committed_bytes(last)
    if committed is not None and parts and parts[-1].end > committed and (cut is None or committed < cut):
        return committed, "suspect"
    return cut, reason


def suspect_path(segment: SegmentFile) -> Path:
    return segment.path.with_suffix(SUSPECT_SUFFIX)


def committed_bytes(segment: SegmentFile) -> int | None:
    """What the writer vouched for before an I/O error, `None` if there was none."""
    try:
        return int(json.loads(suspect_path(segment).read_bytes())["committed_bytes"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{suspect_path(segment)} cannot be read: {error}") from error


def _settle(last: SegmentFile, cut: int | None, files: Files) -> None:
    """Make the last segment durable as it now stands: what survived a killed process may still be in memory only."""
    try:
        fd = files.open_existing(last.path)
        try:
            if cut is not None:
                files.truncate(fd, cut)
            files.sync_data(fd)
        finally:
            files.close(fd)
        if suspect_path(last).exists():
            files.unlink(suspect_path(last))
            files.sync_directory(last.path.parent)
    except OSError as error:
        raise JournalError(f"cannot recover {last.path}: {error.strerror}") from error


def _tail(
    segments: list[SegmentFile],
    header: SegmentHeader | None,
    frames: list[Frame],
    frame_bytes: int,
    truncated: Truncation | None,
) -> Tail:
    last = segments[-1]
    base = header if header is not None else _older_header(segments)
    next_sequence = frames[-1].sequence + 1 if frames else (base.first_sequence if base is not None else 1)
    rows = sum(frame.rows for frame in frames)
    if base is None:
        return Tail(next_sequence, rows, frame_bytes, {}, None, truncated)
    positions_at = base.positions_at if base.positions_at is not None else last.start
    return Tail(
        next_sequence, base.rows_before + rows, base.bytes_before + frame_bytes, base.positions, positions_at, truncated
    )


def _older_header(segments: list[SegmentFile]) -> SegmentHeader | None:
    """The newest header that can be read, where the last one cannot."""
    for segment in reversed(segments[:-1]):
        try:
            return read_header(segment.path)[0]
        except JournalCorrupt:
            continue
    return None
