"""What lies where in a journal directory, and what a segment's header says.

<journal>/lock  epoch  sinks.json                     who writes, how often it was opened, which sinks must pass a segment before it goes
<journal>/<index>-<uuid>.fpj                          segments; the highest index is the live one, all others are sealed
<journal>/<index>-<uuid>.suspect                      that segment met an I/O error: nothing behind `committed_bytes` is trusted
<journal>/cursors/<sink>.json .lock .epoch            how far each sink is
<journal>/quarantine/                                 bytes that could not be read or decoded
"""

from __future__ import annotations

import base64
import json
import os
import re
import uuid as uuids
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
from feedplane_core.errors import JournalCorrupt, JournalError
from feedplane_core.journal import (
    SEGMENT_PREFIX_BYTES,
    pack_segment_header,
    segment_header_bytes,
    unpack_segment_header,
)
from feedplane_core.names import Mode

from .schema import SCHEMA_VERSION, SCHEMAS

LOCK = "lock"
EPOCH = "epoch"
SINKS = "sinks.json"
CURSORS = "cursors"
QUARANTINE = "quarantine"
SEGMENT_SUFFIX = ".fpj"
SUSPECT_SUFFIX = ".suspect"

_SEGMENT_NAME = re.compile(r"([0-9]{10})-([0-9a-f]{32})\.fpj").fullmatch


def crc32c(start: int, data: bytes) -> int:
    """CRC-32C of `data`, continuing from `start` (0 at first)."""
    return int(google_crc32c.extend(start, data))


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A place in a journal. Orders by time; `offset` 0 is the start of the segment. An (uuid, offset) never stands for two different contents."""

    segment: int
    offset: int
    uuid: str

    @classmethod
    def from_json(cls, raw: Any) -> Position:
        """Raises: KeyError, TypeError, ValueError for anything but what `asdict` gave."""
        return cls(int(raw["segment"]), int(raw["offset"]), str(raw["uuid"]))


@dataclass(frozen=True, order=True, slots=True)
class SegmentFile:
    """A segment as its file name tells it."""

    index: int
    uuid: str
    path: Path

    @property
    def start(self) -> Position:
        return Position(self.index, 0, self.uuid)

    def at(self, offset: int) -> Position:
        return Position(self.index, offset, self.uuid)


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentMeta:
    """Whose journal it is. A directory with another `exchange`, `mode` or `shard` is refused."""

    exchange: str
    mode: Mode = Mode.LIVE
    feedset: str = ""
    shard: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentHeader:
    """The JSON at the head of a segment.

    `positions` is the collector's state after the frame that ends at `positions_at` (`None`: nothing was ever recorded); `rows_before` and `bytes_before` count the
    frames of all segments before this one since the journal began, so that a backlog is a subtraction.
    """

    uuid: str
    index: int
    created_ns: int
    meta: SegmentMeta
    schema_version: int
    schemas: dict[str, str]  # record type -> base64 of the Arrow IPC schema message
    epoch: int
    first_sequence: int
    rows_before: int
    bytes_before: int
    positions: dict[str, Any]
    positions_at: Position | None


def segment_path(journal: Path, index: int, uuid: str) -> Path:
    return journal / f"{index:010d}-{uuid}{SEGMENT_SUFFIX}"


def new_segment_uuid() -> str:
    """Random, never a clock or a host's name: insert tokens are made from it."""
    return uuids.uuid4().hex


def list_segments(journal: Path) -> list[SegmentFile]:
    """The segments in `journal`, oldest first. Raises: JournalError if the directory cannot be read."""
    found = []
    try:
        with os.scandir(journal) as entries:
            for entry in entries:
                match = _SEGMENT_NAME(entry.name)
                if match:
                    found.append(SegmentFile(int(match[1]), match[2], Path(entry.path)))
    except OSError as error:
        raise JournalError(f"cannot read journal {journal}: {error.strerror}") from error
    return sorted(found)


def encode_header(header: SegmentHeader) -> bytes:
    """A segment's first bytes."""
    return pack_segment_header(json.dumps(asdict(header), separators=(",", ":")).encode(), crc32c)


def decode_header(data: bytes) -> tuple[SegmentHeader, int]:
    """The header, and the offset of the first frame.

    Raises: JournalCorrupt for damage, JournalError for a newer format or schema version.
    """
    body, end = unpack_segment_header(data, crc32c)
    try:
        raw = json.loads(body)
        version = int(raw["schema_version"])
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"journal schema version {version} is newer than {SCHEMA_VERSION}: use the version that wrote it"
            )
        return _header_of(raw), end
    except (ValueError, KeyError, TypeError) as error:
        raise JournalCorrupt(f"segment header: {error!r}") from error


def _header_of(raw: dict[str, Any]) -> SegmentHeader:
    meta, at = raw["meta"], raw["positions_at"]
    return SegmentHeader(
        **raw
        | {
            "meta": SegmentMeta(**meta | {"mode": Mode(meta["mode"])}),
            "positions_at": None if at is None else Position.from_json(at),
        }
    )


def read_header(path: Path) -> tuple[SegmentHeader, int]:
    """The header of the segment at `path`. Raises: as `decode_header`; FileNotFoundError if the segment is gone."""
    with path.open("rb") as file:
        prefix = file.read(SEGMENT_PREFIX_BYTES)
        return decode_header(prefix + file.read(segment_header_bytes(prefix) - len(prefix)))


def encoded_schemas() -> dict[str, str]:
    """The present schemas, for a header."""
    return {name: base64.b64encode(schema.serialize()).decode() for name, schema in SCHEMAS.items()}


@lru_cache(maxsize=256)
def _schema(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def decoded_schemas(texts: Mapping[str, str]) -> dict[str, pa.Schema]:
    """Schemas by record type as a header tells them. Raises: JournalCorrupt."""
    try:
        return {name: _schema(text) for name, text in texts.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise JournalCorrupt(f"segment header: schema cannot be read: {error}") from error
