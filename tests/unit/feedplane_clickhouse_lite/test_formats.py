"""Joining the pieces of a streamed result."""

from __future__ import annotations

import pyarrow as pa
import pytest
from feedplane_clickhouse_lite.formats import Joiner, can_stream, content_type


def _stream(values: list[int]) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"a": pa.array(values, pa.int64())})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def test_arrow_streams_join_into_one() -> None:
    joiner = Joiner("ArrowStream")
    pieces = [bytes(part) for values in ([1, 2], [3], [4, 5]) for part in joiner.add(_stream(values))]

    table = pa.ipc.open_stream(b"".join([*pieces, joiner.end()])).read_all()

    assert table["a"].to_pylist() == [1, 2, 3, 4, 5]


def test_other_formats_pass_as_they_are() -> None:
    joiner = Joiner("CSV")

    assert (joiner.add(b"1\n"), joiner.end()) == ([b"1\n"], b"")


@pytest.mark.parametrize("name", ["JSON", "CSVWithNames", "Parquet", "Arrow", "Pretty", "XML", "RowBinaryWithNames"])
def test_formats_with_a_frame_are_sent_whole(name: str) -> None:
    assert not can_stream(name)


def test_content_types() -> None:
    assert content_type("JSONEachRow") == "application/x-ndjson; charset=UTF-8"
    assert content_type("CSVWithNames").endswith("header=present")
    assert content_type("Native") == "application/octet-stream"
