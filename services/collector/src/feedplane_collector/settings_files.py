"""The files that tell a collector what to do, read at start and watched for changed symbols."""

from __future__ import annotations

import os
from pathlib import Path

from feedplane_core.errors import UsageError
from feedplane_feedset.config import CollectorConfig, SymbolSelection, read_collector_config, read_symbols
from feedplane_feedset.errors import FeedSetError


class SettingsFiles:
    """One file, or two where the symbols stand apart. A mounted ConfigMap changes by a swapped symlink, so a file is told by what its path leads to."""

    def __init__(self, config: Path, symbols: Path | None) -> None:
        self._config = config
        self._symbols = symbols
        self._stamp = self._look()

    def read(self) -> CollectorConfig:
        """Raises: UsageError naming the file or the field."""
        symbols: SymbolSelection | None = None
        if self._symbols is not None:
            text = _bytes("symbols", self._symbols)
            try:
                symbols = read_symbols(text)
            except FeedSetError as e:
                raise UsageError("symbols", f"{self._symbols}: {e}") from e
        text = _bytes("config", self._config)
        try:
            return read_collector_config(text, symbols)
        except FeedSetError as e:
            raise UsageError("config", str(e)) from e

    def have_changed(self) -> bool:
        """Whether there is something else to read than at the last call; false while a file is missing (between two names of an editor)."""
        now = self._look()
        if None in now or now == self._stamp:
            return False
        self._stamp = now
        return True

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._config, self._symbols) if path is not None)


def _bytes(field: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise UsageError(field, f"{path} cannot be read: {e.strerror}") from e


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
