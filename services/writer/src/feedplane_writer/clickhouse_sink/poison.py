"""Rows that no store will take, kept for people: NDJSON beside the journal, named by what they are, so that a replay
writes the same file again."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from feedplane_journal.files import OsFiles, publish
from feedplane_journal.layout import QUARANTINE

logger = logging.getLogger(__name__)

MAX_FILES: Final = 2_000
MAX_FILE_BYTES: Final = 16 << 20


def keep_rows(journal: Path, name: str, lines: Sequence[dict[str, Any]]) -> Path | None:
    """Write `lines` (`table reason code message row`) to `<journal>/quarantine/rows-<hash of name>.ndjson`; durable
    when this returns.

    Returns None where there is no room or the disk refuses: the rows are counted either way, and evidence must never
    stop the flow.
    """
    folder = journal / QUARANTINE
    target = folder / f"rows-{blake2b(name.encode(), digest_size=12).hexdigest()}.ndjson"
    body = b"".join(json.dumps({"slice": name, **line}, default=str).encode() + b"\n" for line in lines)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists() and sum(1 for _ in folder.glob("rows-*.ndjson")) >= MAX_FILES:
            logger.error("quarantine full", extra={"folder": str(folder), "rows": len(lines)})
            return None
        publish(OsFiles(), target, body[:MAX_FILE_BYTES])
    except OSError as e:
        logger.error("quarantine failed", extra={"folder": str(folder), "rows": len(lines), "error": str(e)})
        return None
    return target
