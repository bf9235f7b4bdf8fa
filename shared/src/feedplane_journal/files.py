"""The file operations that durability rests on, behind one small protocol so that tests can make them fail or crash between any two."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that mean "no room", after which the same write may succeed later."""


class Files(Protocol):
    """What the journal does to its directory. Every method raises OSError as the operating system does."""

    def create(self, path: Path) -> int:
        """A new, empty file for writing; fails if it exists. Returns a descriptor."""

    def open_existing(self, path: Path) -> int:
        """An existing file for writing, not truncated. Returns a descriptor."""

    def write(self, fd: int, data: bytes, offset: int) -> int:
        """Write at `offset`; may write less than asked. Returns the number of bytes written."""

    def sync_data(self, fd: int) -> None:
        """`fdatasync`: the file's bytes and length are durable."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes."""

    def close(self, fd: int) -> None: ...

    def rename(self, source: Path, target: Path) -> None:
        """Atomically, replacing `target`."""

    def unlink(self, path: Path) -> None: ...

    def sync_directory(self, path: Path) -> None:
        """Names created, renamed and removed in `path` are durable."""

    def free_bytes(self, path: Path) -> int:
        """Bytes that this process may still write on `path`'s file system."""


class OsFiles:
    """The operating system's files."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open_existing(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def sync_data(self, fd: int) -> None:
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        stats = os.statvfs(path)
        return stats.f_bavail * stats.f_frsize


def write_all(files: Files, fd: int, data: bytes, offset: int) -> None:
    """Write the whole of `data`, however short the single writes are. Raises: OSError."""
    done = 0
    while done < len(data):
        written = files.write(fd, data[done:] if done else data, offset + done)
        if written <= 0:
            raise OSError(errno.EIO, "write made no progress")
        done += written


def publish(files: Files, path: Path, data: bytes) -> None:
    """Make `path` hold `data`, atomically and durably: temp, sync, rename, directory sync. Raises: OSError; the temporary file is then gone."""
    temporary = path.with_name(path.name + ".tmp")
    files.unlink(temporary)
    fd = files.create(temporary)
    try:
        try:
            write_all(files, fd, data, 0)
            files.sync_data(fd)
        finally:
            files.close(fd)
        files.rename(temporary, path)
    except OSError:
        files.unlink(temporary)
        raise
    files.sync_directory(path.parent)
