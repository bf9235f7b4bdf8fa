"""Bytes that could not be read or decoded, kept for people, bounded in number and size."""

from __future__ import annotations

import json
import logging
import os
from hashlib import blake2b
from pathlib import Path

from .layout import QUARANTINE

logger = logging.getLogger(__name__)

MAX_FILES = 1_000
MAX_TOTAL_BYTES = 64 << 20
MAX_ITEM_BYTES = 1 << 20


def quarantine(path: Path, reason: str, frame_bytes: bytes, detail: str) -> Path | None:
    """Keep `frame_bytes` under `<journal>/quarantine/`: a line of JSON that says why, then the bytes (the first MiB of them).

    The name comes from the content, so the same bytes met again are kept once. Returns the file, `None` if the quarantine is full or the disk refuses: keeping
    evidence must never stop the flow, and the caller counts the loss either way.
    """
    directory = Path(path) / QUARANTINE
    digest = blake2b(detail.encode() + frame_bytes, digest_size=12).hexdigest()
    target = directory / f"{reason}-{digest}.bin"
    line = json.dumps({"reason": reason, "detail": detail, "bytes": len(frame_bytes)}).encode() + b"\n"
    content = line + frame_bytes[:MAX_ITEM_BYTES]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return target
        if not _has_room(directory, len(content)):
            logger.warning("quarantine full", extra={"reason": reason, "bytes": len(frame_bytes)})
            return None
        temporary = directory / f".{target.name}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        logger.warning("quarantine failed", extra={"reason": reason, "error": str(error)})
        return None
    return target


def _has_room(directory: Path, size: int) -> bool:
    with os.scandir(directory) as entries:
        sizes = [entry.stat().st_size for entry in entries]
    return len(sizes) < MAX_FILES and sum(sizes) + size <= MAX_TOTAL_BYTES
