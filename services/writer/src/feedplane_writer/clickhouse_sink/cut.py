"""From the frames of a round to insert slices: one table, one partition, a bounded number of rows each. Pure and
deterministic.

The same frames and limits give the same slices with the same bytes: that is what lets a retry, in this process or
the next, send the identical
insert under the identical token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

import google_crc32c
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from feedplane_journal.layout import Position
from feedplane_journal.reader import FrameRead

from ..feeds import Counts, add_counts, feed_counts, feeds_of_rows
from .columns import NS_PER_DAY, as_ns
from .guard import time_faults
from .levels import level_count
from .order import in_key_order
from .shards import of_shard, row_shards
from .tables import FEED_OF_TABLE, PARTITIONS, TARGETS, Built, Input

_ROW_BITS: Final = 20  # a frame holds at most 16 MiB, so fewer rows than this
_TOP_ROW_BYTES: Final = 1_400
_LEVEL_ROW_BYTES: Final = 140


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What decides where a round is cut and what its rows hold; recorded with it, so that a replay cuts alike."""

    max_rows: int
    l1_interval_ns: int
    max_event_age_ns: int
    compression: Literal["lz4", "none"]


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """The shard layout before this one: how far each of its shards had come. Rows before that are stored already."""

    positions: list[Position]  # by old shard

    def keeps(self, frame: FrameRead) -> pa.Array:
        """Mask of the frame's rows that their old shard has not stored."""
        is_done = pa.array([frame.start < position for position in self.positions], pa.bool_())
        return pc.invert(is_done.take(row_shards(frame.batch, len(self.positions))))


class Slice(NamedTuple):
    """One insert: an Arrow IPC stream of one record batch. `records` is each row's record, numbered per record type
    within the round."""

    table: str
    feed: str
    partition: str
    piece: int
    rows: int
    crc: int
    body: bytes
    records: pa.Array

    @property
    def name(self) -> str:
        return f"{self.table}:{self.partition}:{self.piece}"


class Refused(NamedTuple):
    """A record that is not sent at all."""

    feed: str
    reason: str
    row: dict[str, Any]


class Cut(NamedTuple):
    """What a round comes to: its slices, the records of this shard by feed, and those that were refused."""

    slices: list[Slice]
    read: Counts
    refused: list[Refused]
    newest_recv_ns: int


def cut(frames: Sequence[FrameRead], shard: int, shards: int, limits: Limits, handover: Handover | None = None) -> Cut:
    """The slices of `frames` (all of one segment) for one shard."""
    result = Cut([], {}, [], max((_newest(frame.batch) for frame in frames), default=0))
    for record_type, (batch, order) in _gathered(frames, shard, shards, handover).items():
        add_counts(result.read, feed_counts(record_type, batch))
        for built in _tables(record_type, batch, order, limits, result.refused):
            result.slices.extend(_sliced(in_key_order(built), limits))
    return result


def weight(frame: FrameRead) -> tuple[int, int]:
    """Rows that a frame becomes in its table, and about how many bytes: what a round is bounded by."""
    if frame.record_type in ("depth", "checkpoint"):
        rows = level_count(frame.batch.column("bids")) + level_count(frame.batch.column("asks"))
        return max(rows, frame.rows), rows * _LEVEL_ROW_BYTES + frame.batch.nbytes
    if frame.record_type == "book_top":
        return frame.rows, frame.rows * _TOP_ROW_BYTES
    return frame.rows, frame.batch.nbytes


def _newest(batch: pa.RecordBatch) -> int:
    return pc.max(as_ns(batch.column("ts_recv"))).as_py() or 0


def _gathered(
    frames: Sequence[FrameRead], shard: int, shards: int, handover: Handover | None
) -> dict[str, tuple[pa.RecordBatch, pa.Array]]:
    """One batch per record type of the rows that are this shard's, and each row's order of arrival in the journal."""
    batches: dict[str, list[pa.RecordBatch]] = {}
    for frame in frames:
        order = pc.add(pa.arange(0, frame.rows), frame.sequence << _ROW_BITS).cast(pa.uint64())
        batch = frame.batch.append_column("_order", order)
        if handover is not None:
            batch = batch.filter(handover.keeps(frame))
        batches.setdefault(frame.record_type, []).append(of_shard(batch, shard, shards))
    gathered = {}
    for record_type, parts in batches.items():
        whole = pa.concat_batches(parts)
        gathered[record_type] = (whole.drop_columns(["_order"]), whole.column("_order"))
    return gathered


def _tables(
    record_type: str, batch: pa.RecordBatch, order: pa.Array, limits: Limits, refused: list[Refused]
) -> Iterable[Built]:
    """The tables' rows with `record` numbering `batch`; records whose time cannot be go to `refused` instead."""
    if batch.num_rows == 0:
        return
    target = TARGETS[record_type]
    is_recv = pc.is_null(batch.column("ts_event"))
    filled = batch.set_column(
        3, batch.schema.field("ts_event"), pc.coalesce(batch.column("ts_event"), batch.column("ts_recv"))
    )
    faults = time_faults(filled.column(target.guard), filled.column("ts_recv"), limits.max_event_age_ns)
    if target.guard != "ts_event":
        faults = pc.coalesce(
            faults, time_faults(filled.column("ts_event"), filled.column("ts_recv"), limits.max_event_age_ns)
        )
    if faults.null_count == batch.num_rows:
        yield from target.build(Input(filled, is_recv, order, limits.l1_interval_ns))
        return
    bad = pc.indices_nonzero(pc.is_valid(faults))
    reasons = faults.take(bad).to_pylist()
    wrong = batch.take(bad)
    told = zip(feeds_of_rows(record_type, wrong), reasons, json_rows(wrong), strict=True)
    refused.extend(Refused(feed, reason, row) for feed, reason, row in told)
    good = pc.indices_nonzero(pc.is_null(faults)).cast(pa.int64())
    for built in target.build(Input(filled.take(good), is_recv.take(good), order.take(good), limits.l1_interval_ns)):
        yield built._replace(record=good.take(built.record))


def _sliced(built: Built, limits: Limits) -> Iterable[Slice]:
    batch = pa.RecordBatch.from_arrays(list(built.columns.values()), names=list(built.columns))
    for partition, rows in _partitions(built):
        part, records = (batch, built.record) if rows is None else (batch.take(rows), built.record.take(rows))
        for piece, first in enumerate(range(0, part.num_rows, limits.max_rows)):
            rows_of_piece = part.slice(first, limits.max_rows)
            body = encoded(rows_of_piece, limits.compression)
            crc = google_crc32c.value(body)
            yield Slice(
                built.table,
                FEED_OF_TABLE[built.table],
                partition,
                piece,
                rows_of_piece.num_rows,
                crc,
                body,
                records.slice(first, limits.max_rows).cast(pa.int32()),
            )


def _partitions(built: Built) -> Iterable[tuple[str, pa.Array | None]]:
    """Partition names and the rows of each; `None` for all rows. In order of time."""
    column, unit = PARTITIONS[built.table]
    if unit == "none" or len(built.record) == 0:
        yield "all", None
        return
    times = built.columns[column].cast(pa.timestamp("ns"))
    keys = (
        pc.divide(as_ns(times), NS_PER_DAY)
        if unit == "day"
        else pc.add(pc.multiply(pc.year(times), 12), pc.month(times))
    )
    distinct = sorted(pc.unique(keys).to_pylist())
    for key in distinct:
        rows = None if len(distinct) == 1 else pc.indices_nonzero(pc.equal(keys, key))
        yield _partition_name(key, unit), rows


def _partition_name(key: int, unit: str) -> str:
    if unit == "day":
        return f"{datetime.fromtimestamp(key * 86_400, UTC):%Y%m%d}"
    year, month = divmod(key - 1, 12)
    return f"{year:04d}{month + 1:02d}"


def encoded(batch: pa.RecordBatch, compression: str) -> bytes:
    """`batch` as an Arrow IPC stream: one block for the server, whatever its block settings."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression, use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decoded(body: bytes) -> pa.RecordBatch:
    """Inverse of `encoded`."""
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        return reader.read_next_batch()


def json_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as JSON can carry them: decimals as plain text, times as integer ns."""
    columns = [_plain(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = as_ns(column.cast(pa.timestamp("ns")))
    return [_plain_value(value) for value in column.to_pylist()]


def _plain_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return [_plain_value(item) for item in value] if isinstance(value, list) else value


def token(segment_uuid: str, first: int, last: int, owner: str, name: str, version: str) -> str:
    """The insert's identity: where its rows stand in the journal, whose they are (`<shard>of<shards>`) and what was made
    of them. No clock, process or host has part in it."""
    return f"{segment_uuid}:{first}-{last}:{owner}:{name}:v{version}"
