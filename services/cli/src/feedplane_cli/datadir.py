"""The data directory of a local plane: one per mode, locked while in use, with a note of where its parts listen."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from feedplane_core.errors import UsageError
from feedplane_core.names import Mode

DEFAULT_ROOT = Path("data")
_NOTE = "plane.json"
_NOTE_KEYS = frozenset({"mode", "feedset", "stores", "database", "collectors", "writers", "data"})
_CURRENT = "current"


class DataDir:
    """`<root>/<mode>/`: `journal/ redis/ clickhouse/ config/ logs/ plane.json`. Simulated and replayed data never share it with live data."""

    def __init__(self, root: Path, mode: Mode) -> None:
        self.root = root
        self.path = root / mode
        self._lock: int | None = None

    def open(self) -> None:
        """Create and lock it. Raises: UsageError if it is in use or not writable."""
        try:
            for name in ("journal", "redis", "clickhouse", "config", "logs"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise UsageError("--data", f"{self.path} cannot be used: {e.strerror}", "choose another with --data") from e
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._lock, 32).decode(errors="replace").strip()
            raise UsageError(
                "--data",
                f"{self.path} is in use by another feedplane (pid {holder or 'unknown'})",
                "stop it or choose another directory with --data",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def write_note(self, note: dict[str, Any]) -> None:
        """Where everything listens, for `status` and `query`; replaced atomically."""
        target = self.path / _NOTE
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(note, indent=2))
        temporary.replace(target)
        current = self.root / f"{_CURRENT}.tmp"
        current.write_text(self.path.name)
        current.replace(self.root / _CURRENT)

    def close(self) -> None:
        """Forget the note and let go of the lock."""
        (self.path / _NOTE).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def read_note(root: Path) -> dict[str, Any]:
    """The note of the plane that runs in `root`. Raises: UsageError if none does."""
    try:
        mode = (root / _CURRENT).read_text().strip()
        note: dict[str, Any] = json.loads((root / Mode(mode) / _NOTE).read_text())
    except (OSError, ValueError) as e:
        raise UsageError("--data", f"no plane is running in {root}", "start one with `feedplane up`") from e
    if not isinstance(note, dict) or not note.keys() >= _NOTE_KEYS:
        raise UsageError("--data", f"{root / mode / _NOTE} is no note of a plane", "start one with `feedplane up`")
    return note
