"""Disks that fail: file layers for the journal that refuse, write short, fill up, or are cut off between any two operations.

`CrashLog` is an op-log crash model (after "All File Systems Are Not Created Equal", OSDI 2014): it does every operation for real and remembers it, then builds the
directory as it may stand after a power cut: content not yet synced is lost, kept or torn at 512-byte sectors; names not yet synced are lost or kept, each on its own.
"""

from __future__ import annotations

import errno
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from feedplane_journal.files import OsFiles

SECTOR_BYTES = 512


class FaultyFiles(OsFiles):
    """The operating system's files, failing as told. Attributes may be changed while the journal is open."""

    def __init__(self) -> None:
        self.room_bytes: int | None = None  # bytes that still fit; None: any number
        self.write_limit_bytes: int | None = None  # most that one write takes
        self.sync_error: int | None = None
        self.truncate_error: int | None = None
        self.syncs = 0

    def create(self, path: Path) -> int:
        if self.room_bytes == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().create(path)

    def write(self, fd: int, data: bytes, offset: int) -> int:
        allowed = min(len(data), self.write_limit_bytes or len(data))
        if self.room_bytes is not None:
            allowed = min(allowed, self.room_bytes)
            if allowed == 0 and data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room_bytes -= allowed
        return super().write(fd, data[:allowed], offset)

    def sync_data(self, fd: int) -> None:
        self.syncs += 1
        if self.sync_error is not None:
            raise OSError(self.sync_error, os.strerror(self.sync_error))

    def truncate(self, fd: int, size: int) -> None:
        if self.truncate_error is not None:
            raise OSError(self.truncate_error, os.strerror(self.truncate_error))
        super().truncate(fd, size)

    def sync_directory(self, path: Path) -> None:
        return

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.room_bytes is None else self.room_bytes


@dataclass(frozen=True)
class Op:
    """One remembered operation. `kind`: create rename unlink syncdir write truncate sync promise."""

    kind: str
    inode: int = 0
    path: str = ""
    target: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class _Disk:
    """What surely is on the disk, and what may be."""

    content: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    pending_content: dict[int, list[Op]] = field(default_factory=lambda: defaultdict(list))
    pending_names: list[Op] = field(default_factory=list)

    def apply(self, op: Op) -> None:
        if op.kind in ("write", "truncate"):
            self.pending_content[op.inode].append(op)
        elif op.kind == "sync":
            for pending in self.pending_content.pop(op.inode, []):
                self.content[op.inode] = _changed(self.content.get(op.inode, b""), pending)
        elif op.kind == "syncdir":
            done = [name for name in self.pending_names if str(Path(name.path).parent) == op.path]
            for pending in done:
                _name(self.names, pending)
            self.pending_names = [name for name in self.pending_names if name not in done]
        elif op.kind != "promise":
            self.pending_names.append(op)


class CrashLog(OsFiles):
    """Does everything for real under `root`, quickly, and remembers it. `promise` marks what the journal has vouched for by then."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inodes: dict[int, int] = {}  # descriptor -> inode
        self._names: dict[str, int] = {}
        self._start = _Disk()
        self.ops: list[Op] = []
        for path in sorted(root.rglob("*")):
            if path.is_file():
                inode = len(self._names) + 1
                self._names[str(path)] = self._start.names[str(path)] = inode
                self._start.content[inode] = path.read_bytes()
        self._next_inode = len(self._names) + 1

    def promise(self, text: str) -> None:
        self.ops.append(Op("promise", path=text))

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._inodes[fd] = self._names[str(path)] = self._next_inode
        self.ops.append(Op("create", self._next_inode, str(path)))
        self._next_inode += 1
        return fd

    def open_existing(self, path: Path) -> int:
        fd = super().open_existing(path)
        self._inodes[fd] = self._names[str(path)]
        return fd

    def write(self, fd: int, data: bytes, offset: int) -> int:
        self.ops.append(Op("write", self._inodes[fd], offset=offset, data=data))
        return super().write(fd, data, offset)

    def sync_data(self, fd: int) -> None:
        self.ops.append(Op("sync", self._inodes[fd]))

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self.ops.append(Op("truncate", self._inodes[fd], offset=size))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        inode = self._names[str(target)] = self._names.pop(str(source))
        self.ops.append(Op("rename", inode, str(source), str(target)))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        if self._names.pop(str(path), None) is not None:
            self.ops.append(Op("unlink", path=str(path)))

    def sync_directory(self, path: Path) -> None:
        self.ops.append(Op("syncdir", path=str(path)))

    def crashes(self, rng: random.Random, variants: int) -> Iterator[tuple[list[str], dict[str, bytes]]]:
        """(promises made by then, files relative to the root) for a crash after every operation, in `variants` ways each."""
        disk = self._start
        promised: list[str] = []
        for op in self.ops:
            disk.apply(op)
            if op.kind == "promise":
                promised = [*promised, op.path]
            for number in range(variants):
                yield promised, self._state(disk, rng, keep={0: 0.0, 1: 1.0}.get(number, 0.5))

    def _state(self, disk: _Disk, rng: random.Random, keep: float) -> dict[str, bytes]:
        names = dict(disk.names)
        for op in disk.pending_names:
            if rng.random() < keep:
                _name(names, op)
        files = {}
        for path, inode in names.items():
            content = disk.content.get(inode, b"")
            for op in disk.pending_content.get(inode, []):
                content = _torn(content, op, rng, keep)
            files[str(Path(path).relative_to(self._root))] = content
        return files


def _name(names: dict[str, int], op: Op) -> None:
    if op.kind == "create":
        names[op.path] = op.inode
    elif op.kind == "rename":
        names.pop(op.path, None)
        names[op.target] = op.inode
    else:
        names.pop(op.path, None)


def _changed(content: bytes, op: Op) -> bytes:
    if op.kind == "truncate":
        return content[: op.offset]
    grown = content.ljust(op.offset, b"\0")
    return grown[: op.offset] + op.data + grown[op.offset + len(op.data) :]


def _torn(content: bytes, op: Op, rng: random.Random, keep: float) -> bytes:
    """`content` with each 512-byte sector of the operation there or not."""
    if op.kind == "truncate" or keep in (0.0, 1.0):
        return _changed(content, op) if rng.random() < keep or keep == 1.0 else content
    whole = _changed(content, op)
    result = bytearray(content)
    first = op.offset // SECTOR_BYTES * SECTOR_BYTES
    for start in range(first, op.offset + len(op.data), SECTOR_BYTES):
        if rng.random() < keep:
            end = min(start + SECTOR_BYTES, len(whole))
            result.extend(bytes(max(0, end - len(result))))
            result[start:end] = whole[start:end]
    return bytes(result)


def materialise(root: Path, files: dict[str, bytes]) -> None:
    """Write a crash state out."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
