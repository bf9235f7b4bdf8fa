"""The journal directories that a writer serves: those it is told of, and those that appear under a root."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from feedplane_core.errors import JournalError
from feedplane_core.names import Mode
from feedplane_journal.layout import list_segments, read_header

logger = logging.getLogger(__name__)


def find_journals(paths: Sequence[Path], root: Path | None) -> list[Path]:
    """Directories that hold at least one segment, in name order: of `paths`, and directly under `root`."""
    candidates = list(paths)
    if root is not None and root.is_dir():
        candidates += sorted(entry for entry in root.iterdir() if entry.is_dir())
    return [path for path in dict.fromkeys(p.resolve() for p in candidates) if has_segments(path)]


def has_segments(path: Path) -> bool:
    """Whether `path` is a journal that has begun."""
    try:
        return bool(list_segments(path))
    except JournalError:
        return False


def origin_of(path: Path) -> tuple[str, Mode]:
    """The exchange whose journal it is, and where its frames come from; the directory's name, and live, where no header can be read."""
    for segment in reversed(list_segments(path)):
        try:
            meta = read_header(segment.path)[0].meta
        except (JournalError, OSError) as e:
            logger.warning("segment header unreadable", extra={"segment": segment.path.name, "error": str(e)})
            continue
        return meta.exchange, meta.mode
    return path.name, Mode.LIVE
