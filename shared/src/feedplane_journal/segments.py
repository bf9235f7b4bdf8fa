"""The journal on disk: write, read, keep cursors. The names that collectors and writers use."""

from __future__ import annotations

from .codec import Compression
from .cursors import Cursor, CursorStore, read_cursors, registered_sinks
from .files import Files, OsFiles
from .layout import Position, SegmentFile, SegmentHeader, SegmentMeta, list_segments, read_header
from .quarantine import quarantine
from .reader import Backlog, FrameRead, JournalReader, Problem
from .recovery import Recovery, Truncation
from .retention import Budget, Pressure
from .shed import ShedRange, gap_of
from .writer import Committed, JournalWriter

__all__ = [
    "Backlog",
    "Budget",
    "Committed",
    "Compression",
    "Cursor",
    "CursorStore",
    "Files",
    "FrameRead",
    "JournalReader",
    "JournalWriter",
    "OsFiles",
    "Position",
    "Pressure",
    "Problem",
    "Recovery",
    "SegmentFile",
    "SegmentHeader",
    "SegmentMeta",
    "ShedRange",
    "Truncation",
    "gap_of",
    "list_segments",
    "quarantine",
    "read_cursors",
    "read_header",
    "registered_sinks",
]
