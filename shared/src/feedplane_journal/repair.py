"""Mend a journal that nobody has open: cut the torn tail, take damage out of sealed segments.

Damage is replaced in place by one filler frame of the same length, and the damaged bytes go to the quarantine. Every sound frame keeps its offset, so that no
cursor and no insert token changes its meaning.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from feedplane_core.errors import JournalError
from feedplane_core.journal import FILLER, FRAME_HEADER_BYTES, MAX_PAYLOAD_BYTES, Frame, frame_at, pack_frame_header

from .files import Files, OsFiles, publish
from .layout import CURSORS, LOCK, crc32c
from .locks import DirectoryLock
from .quarantine import quarantine
from .recovery import recover_tail
from .verify import CUT, FILL, Fault, segments_of, verify


def repair(path: Path, dry_run: bool = True, files: Files | None = None) -> list[Fault]:
    """What is wrong, and unless `dry_run` what was done about it.

    Raises: JournalLocked while a collector or a writer has the journal open (not for a dry run), JournalError if it is no journal or the disk refuses.
    """
    path = Path(path)
    segments_of(path)
    if dry_run:
        return list(verify(path))
    locks = _take_all_locks(path)
    try:
        return _mend(path, list(verify(path)), files or OsFiles())
    except OSError as error:
        raise JournalError(f"cannot repair {path}: {error.strerror}") from error
    finally:
        for lock in locks:
            lock.release()


def _take_all_locks(path: Path) -> list[DirectoryLock]:
    """The writer's lock and every sink's. Raises: JournalLocked, holding none."""
    locks: list[DirectoryLock] = []
    try:
        for file in [path / LOCK, *sorted((path / CURSORS).glob("*.lock"))]:
            lock = DirectoryLock(file)
            lock.acquire()
            locks.append(lock)
    except JournalError:
        for lock in locks:
            lock.release()
        raise
    return locks


def _mend(path: Path, found: list[Fault], files: Files) -> list[Fault]:
    for name in sorted({fault.segment for fault in found if fault.action == FILL}):
        _fill(path, name, [fault for fault in found if fault.segment == name and _can_fill(fault)], files)
    if any(fault.action == CUT for fault in found):
        recover_tail(path, files)
    return [replace(fault, done=fault.action == CUT or _can_fill(fault)) for fault in found]


def _can_fill(fault: Fault) -> bool:
    return fault.action == FILL and FRAME_HEADER_BYTES <= fault.size_bytes <= FRAME_HEADER_BYTES + MAX_PAYLOAD_BYTES


def _fill(path: Path, name: str, faults: list[Fault], files: Files) -> None:
    """Write the segment anew with fillers, atomically."""
    segment = path / name
    data = bytearray(segment.read_bytes())
    for fault in faults:
        end = fault.offset + fault.size_bytes
        quarantine(path, "frame", bytes(data[fault.offset : end]), f"{name}@{fault.offset} {fault.reason}")
        payload = bytes(fault.size_bytes - FRAME_HEADER_BYTES)
        following = frame_at(bytes(data[end:]), 0, crc32c)
        sequence = max(0, following.sequence - 1) if isinstance(following, Frame) else 0
        data[fault.offset : end] = pack_frame_header(payload, FILLER, 0, sequence, 0, crc32c) + payload
    publish(files, segment, bytes(data))
