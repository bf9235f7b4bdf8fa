"""`feedplane journal`: a journal on the terminal."""

from __future__ import annotations

import dataclasses
import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import orjson
from feedplane_core.errors import UsageError
from feedplane_core.journal import RECORD_TYPES
from feedplane_journal import inspect
from feedplane_journal.layout import list_segments
from rich.table import Table

from feedplane_cli.console import out


def _time(ns: int | None) -> str:
    return "-" if ns is None else datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def check_path(path: Path) -> None:
    """Raises: UsageError where there is no journal at all; damage inside one is for the commands to tell."""
    example = "as in data/live/journal/<collector>"
    if not path.is_dir():
        raise UsageError("PATH", f"{path} is no directory", example)
    if not list_segments(path):
        inside = sorted(child.name for child in path.iterdir() if child.is_dir() and list_segments(child))
        hint = f"there are journals in it: {', '.join(inside)}" if inside else example
        raise UsageError("PATH", f"{path} is no journal: it holds no segment", hint)


def list_journal(path: Path, *, as_json: bool) -> None:
    check_path(path)
    listing = inspect.ls(path)
    if as_json:
        sys.stdout.buffer.write(
            orjson.dumps(dataclasses.asdict(listing), default=str, option=orjson.OPT_APPEND_NEWLINE)
        )
        return
    out.print(f"{listing.exchange}, {listing.mode}, feedset {listing.feedset}, shard {listing.shard}", markup=False)
    segments = Table("segment", "bytes", "frames", "rows", "first (UTC)", "last (UTC)", "", box=None, pad_edge=False)
    for info in listing.segments:
        note = "live" if info.is_live else ("" if info.is_whole else "damaged")
        segments.add_row(
            f"{info.index}", f"{info.size_bytes:,}", f"{info.frames:,}", f"{info.row_count:,}",
            _time(info.first_ns), _time(info.last_ns), note,
        )  # fmt: skip
    out.print(segments)
    sinks = Table("sink", "at segment", "offset", "rows to read", "bytes to read", box=None, pad_edge=False)
    for sink in listing.sinks:
        at = sink.position
        sinks.add_row(
            sink.sink, str(at.segment) if at else "-", str(at.offset) if at else "-",
            f"{sink.backlog_rows:,}", f"{sink.backlog_bytes:,}",
        )  # fmt: skip
    out.print(sinks)


def cat_journal(path: Path, record_type: str | None, instrument: str | None, limit: int) -> None:
    check_path(path)
    if record_type is not None and record_type not in RECORD_TYPES:
        raise UsageError("--type", f"no record type {record_type!r}", f"one of {', '.join(RECORD_TYPES)}")
    rows = inspect.cat(path, [record_type] if record_type else [], [instrument] if instrument else [])
    for row in islice(rows, limit or None):
        sys.stdout.buffer.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def verify_journal(path: Path, *, as_json: bool) -> bool:
    """Whether it is whole."""
    check_path(path)
    faults = list(inspect.verify(path))
    if as_json:
        sys.stdout.buffer.write(
            orjson.dumps([dataclasses.asdict(f) for f in faults], default=str, option=orjson.OPT_APPEND_NEWLINE)
        )
    else:
        for fault in faults:
            out.print(str(fault), markup=False, soft_wrap=True)
        out.print(
            "whole" if not faults else f"{len(faults)} faults; `feedplane journal repair {path}` shows what to do",
            markup=False,
            soft_wrap=True,
        )
    return not faults


def repair_journal(path: Path, *, apply: bool) -> None:
    check_path(path)
    faults = inspect.repair(path, dry_run=not apply)
    for fault in faults:
        out.print(str(fault), markup=False, soft_wrap=True)
    if not faults:
        out.print("nothing to repair")
    elif not apply:
        out.print("nothing changed: add --apply to do this")
