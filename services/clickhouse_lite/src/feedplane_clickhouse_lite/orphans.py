"""Deduplication tokens that a crash left behind without their rows; taken back before the engine starts.

A MergeTree table writes an insert's token to `deduplication_logs/` and *then* renames the part into place: two system
calls, 60 us apart on a quiet machine (traced, 26.9). Killed in between, it remembers a token for rows that do not exist, and
the client's retry is acknowledged and dropped. Seen once in 135 kills; only the last part of a table can be concerned,
since both calls happen under one lock.

Log lines are `1 <tab> part <tab> token` for a token added, `2 ...` for one taken back.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

_ADD: Final = "1"
_DROP: Final = "2"
_PART: Final = re.compile(r"[^_]+_(?P<first>\d+)_(?P<last>\d+)_\d+(?:_\d+)?")


class Record(NamedTuple):
    """One line of a log."""

    operation: str
    part: str
    token: str


def take_back(db_path: Path) -> int:
    """Take back the tokens without rows of every table under `db_path`; returns how many. Needs the engine stopped."""
    taken = 0
    for folder in (db_path / "store").glob("*/*/deduplication_logs"):
        taken += _take_back_in(folder)
    return taken


def orphans(records: list[Record], parts: list[str]) -> list[Record]:
    """The tokens of the newest part in the log, if neither it nor anything newer is among the table's `parts`.

    A merged part covers the numbers of those it was made from, so a number above all `parts` was never stored.
    """
    live: dict[str, Record] = {}
    for record in records:
        live.pop(record.token, None)
        if record.operation == _ADD:
            live[record.token] = record
    if not live:
        return []
    newest = next(reversed(live.values())).part
    logged = _PART.fullmatch(newest)
    stored = [int(match["last"]) for name in parts if (match := _PART.fullmatch(name))]
    if logged is None or int(logged["first"]) <= max(stored, default=-1):
        return []
    return [record for record in live.values() if record.part == newest]


def _take_back_in(folder: Path) -> int:
    logs = sorted(folder.glob("deduplication_log_*.txt"), key=lambda path: int(path.stem.rpartition("_")[2]))
    if not logs:
        return 0
    text = "".join(path.read_text(encoding="utf-8") for path in logs)
    records = [Record(*fields) for line in text.splitlines() if len(fields := line.split("\t")) == len(Record._fields)]
    found = orphans(records, os.listdir(folder.parent))
    if not found:
        return 0
    with logs[-1].open("a", encoding="utf-8") as log:
        log.writelines(f"{_DROP}\t{record.part}\t{record.token}\n" for record in found)
        log.flush()
        os.fsync(log.fileno())
    logger.warning("token without rows taken back", extra={"table_path": str(folder.parent), "part": found[0].part})
    return len(found)
