"""One owner at a time: an exclusive lock that dies with its process, and an epoch that outlives it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from feedplane_core.errors import JournalError, JournalLocked

from .files import Files, publish


class DirectoryLock:
    """An flock on `path`, which holds the owner's pid for people. Released by `release` or by the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises: JournalLocked naming the holder's pid."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise JournalLocked(f"{self._path} is held by process {holder}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    @property
    def held(self) -> bool:
        return self._fd is not None

    def release(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)  # drops the flock
            self._fd = None


def read_epoch(path: Path) -> int:
    """The epoch stored at `path`, 0 if there is none. Raises: JournalError if it is no number."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return 0
    if not text.strip().isdecimal():
        raise JournalError(f"{path} holds no epoch")
    return int(text)


def raise_epoch(path: Path, files: Files) -> int:
    """Store and return the next epoch; durable when this returns. The caller holds the lock."""
    epoch = read_epoch(path) + 1
    publish(files, path, f"{epoch}\n".encode())
    return epoch
