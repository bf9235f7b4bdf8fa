"""The record of a round's slices, on disk before the first of them is sent (BEFORE). The cursor that passes it is
its AFTER."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from feedplane_journal.files import OsFiles, publish
from feedplane_journal.layout import CURSORS, Position

from .cut import Handover, Limits, Slice
from .tables import TABLE_VERSION

logger = logging.getLogger(__name__)


class SliceRecord(msgspec.Struct, frozen=True):
    """One slice: `table:partition:piece`, its rows, CRC-32C of its body."""

    name: str
    rows: int
    crc: int


class RoundRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that makes a retry the same insert, also by the next process."""

    cursor: Position  # where the shard stood: the end of the segment before, when a new one begins here
    start: Position
    end: Position
    shard: int
    shards: int
    limits: Limits
    table_version: int = TABLE_VERSION
    variant: int = (
        0  # raised where an earlier cut of these frames could not be repeated: its tokens may stand for other rows
    )
    settings: dict[str, str]
    slices: list[SliceRecord]
    handover: Handover | None = None


def records_of(slices: list[Slice]) -> list[SliceRecord]:
    return [SliceRecord(piece.name, piece.rows, piece.crc) for piece in slices]


class RoundFile:
    """`<journal>/cursors/clickhouse.<shard>.slices`: the round in work of one shard."""

    def __init__(self, journal: Path, shard: int) -> None:
        self._files = OsFiles()
        self._path = journal / CURSORS / f"clickhouse.{shard}.slices"

    def save(self, record: RoundRecord) -> None:
        """Replace the record atomically; durable when this returns. Raises: OSError."""
        publish(self._files, self._path, msgspec.json.encode(record))

    def load(self, cursor: Position, shards: int) -> RoundRecord | None:
        """The round that was begun with the shard at `cursor` and not finished; `None` if there is none, or it is of
        another layout."""
        try:
            record = msgspec.json.decode(self._path.read_bytes(), type=RoundRecord)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as e:
            logger.warning("slice record unreadable", extra={"path": str(self._path), "error": str(e)})
            return None
        return record if record.cursor == cursor and record.shards == shards else None
