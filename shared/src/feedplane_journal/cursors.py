"""How far each sink has read: one small file a sink, replaced atomically, fenced by lock and epoch."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feedplane_core.errors import JournalError

from .files import Files, OsFiles, publish
from .layout import CURSORS, SINKS, Position
from .locks import DirectoryLock, raise_epoch, read_epoch

_SINK_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}").fullmatch
_CURSOR_SUFFIX = ".json"
END_OF_TIME = Position(segment=1 << 62, offset=0, uuid="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """A sink's cursor file: everything before `position` is in the store. `extra` is the sink's own (slices planned, counts)."""

    sink: str
    epoch: int
    position: Position
    extra: dict[str, Any]


class CursorStore:
    """The cursor of one sink, for the one process that drives that sink.

    Raises: JournalLocked on construction if another process has this sink's cursor open; JournalError for a name that is no file name.
    """

    def __init__(self, path: Path, sink: str, files: Files | None = None) -> None:
        if not _SINK_NAME(sink):
            raise JournalError(f"sink name {sink!r} is not lower-case letters, digits, '.', '_' and '-'")
        self._files = files or OsFiles()
        self._directory = Path(path) / CURSORS
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sink = sink
        self._file = self._directory / f"{sink}{_CURSOR_SUFFIX}"
        self._epoch_file = self._directory / f"{sink}.epoch"
        self._lock = DirectoryLock(self._directory / f"{sink}.lock")
        self._lock.acquire()
        self.epoch = raise_epoch(self._epoch_file, self._files)
        self.extra: dict[str, Any] = {}
        """What was stored beside the position that `load` or `save` saw last."""

    def load(self) -> Position | None:
        """The position saved last, `None` for a sink that never saved. Raises: JournalError if the file cannot be read."""
        cursor = read_cursor(self._file)
        if cursor is None:
            return None
        self.extra = cursor.extra
        return cursor.position

    def save(self, position: Position, extra: dict[str, Any] | None = None) -> None:
        """Make `position` the sink's cursor; durable when this returns. `extra` replaces what was stored before; `None` keeps it.

        Raises: JournalError if this store is closed or a later epoch of the sink has taken over; OSError if the disk refuses.
        """
        if not self._lock.held:
            raise JournalError(f"cursor of sink {self._sink} is closed")
        current = read_epoch(self._epoch_file)
        if current != self.epoch:
            raise JournalError(f"cursor of sink {self._sink} belongs to epoch {current}, not {self.epoch}")
        if extra is not None:
            self.extra = extra
        cursor = Cursor(sink=self._sink, epoch=self.epoch, position=position, extra=self.extra)
        publish(self._files, self._file, json.dumps(asdict(cursor)).encode())

    def close(self) -> None:
        """Let the next process have the sink. The saved position stays."""
        self._lock.release()


def read_cursor(path: Path) -> Cursor | None:
    """The cursor file at `path`, `None` if there is none. Raises: JournalError if it cannot be read."""
    try:
        raw = json.loads(path.read_bytes())
        position = Position.from_json(raw["position"])
        return Cursor(sink=str(raw["sink"]), epoch=int(raw["epoch"]), position=position, extra=dict(raw["extra"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"cursor {path} cannot be read: {error}") from error


def read_cursors(journal: Path) -> dict[str, Position]:
    """The saved position of every sink that has one. Raises: JournalError if one cannot be read."""
    cursors = {}
    with contextlib.suppress(FileNotFoundError):
        for path in sorted((journal / CURSORS).iterdir()):
            if path.suffix == _CURSOR_SUFFIX and (cursor := read_cursor(path)) is not None:
                cursors[cursor.sink] = cursor.position
    return cursors


def register_sinks(journal: Path, sinks: list[str], files: Files) -> None:
    """Record which sinks must have passed a segment before it may go."""
    publish(files, journal / SINKS, json.dumps(sorted(sinks)).encode())


def registered_sinks(journal: Path) -> list[str] | None:
    """The sinks recorded, `None` if nobody recorded any. Raises: JournalError if the file cannot be read."""
    path = journal / SINKS
    try:
        return [str(name) for name in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from error


def lowest_position(journal: Path) -> Position | None:
    """The least of the registered sinks' positions (of all saved cursors where none is registered): everything before it was passed by all.

    `None` while a sink has saved nothing, or where no sink is known. The end of all time where it is registered that there are no sinks.
    """
    cursors = read_cursors(journal)
    names = registered_sinks(journal)
    if names == []:
        return END_OF_TIME
    wanted = list(cursors) if names is None else names
    if not wanted or any(name not in cursors for name in wanted):
        return None
    return min(cursors[name] for name in wanted)
