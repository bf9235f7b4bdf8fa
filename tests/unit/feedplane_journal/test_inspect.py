"""What people see of a journal, and what `repair` does to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_core.errors import JournalError, JournalLocked
from feedplane_journal.inspect import cat, ls, repair, verify
from feedplane_journal.segments import CursorStore
from feedplane_testing.journals import (
    EXCHANGE,
    META,
    T0_NS,
    Clock,
    batches_of,
    book_snapshot,
    commit_trades,
    depth_diff,
    open_writer,
    read_all,
    top_of_book,
    trade,
    trade_ids,
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Three segments: trades 0-4 and 5-9 in two groups, a mix, and trades 10-14; sink `clickhouse` has passed the first group."""
    clock = Clock()
    writer = open_writer(tmp_path, clock, sinks=["clickhouse", "redis"])
    commit_trades(writer, 0, 5)
    store = CursorStore(tmp_path, "clickhouse")
    store.save(read_all(tmp_path)[-1].end)
    store.close()
    commit_trades(writer, 5, 5)
    clock.advance(61)
    writer.append(batches_of([book_snapshot(20), depth_diff(21), top_of_book(22), trade(23, "ETHUSDT")]))
    writer.commit()
    clock.advance(61)
    commit_trades(writer, 10, 5)
    writer.close()
    return tmp_path


def _flip(path: Path, offset: int) -> bytes:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_ls_counts_rows_and_says_how_far_sinks_are(journal: Path) -> None:
    listing = ls(journal)

    assert (listing.exchange, listing.mode, listing.feedset, listing.shard) == (EXCHANGE, "live", META.feedset, 0)
    assert [s.rows for s in listing.segments] == [{"trade": 10}, {"trade": 1, "l1": 1, "depth": 2}, {"trade": 5}]
    assert [(s.frames, s.is_live, s.is_whole) for s in listing.segments] == [
        (2, False, True), (3, False, True), (1, True, True),
    ]  # fmt: skip
    assert (listing.segments[0].first_ns, listing.segments[0].last_ns) == (T0_NS + 7, T0_NS + 9_007)
    sinks = {sink.sink: sink for sink in listing.sinks}
    assert (sinks["clickhouse"].backlog_rows, sinks["redis"].backlog_rows) == (14, 19)
    assert sinks["redis"].position is None
    assert sinks["redis"].is_registered


def test_cat_prints_events_and_filters_them(journal: Path) -> None:
    types = [row["type"] for row in cat(journal)]

    assert types == ["trade"] * 10 + ["trade", "top_of_book", "book_snapshot", "depth_diff"] + ["trade"] * 5
    [diff] = [row for row in cat(journal, record_types={"depth"}) if row["type"] == "depth_diff"]
    assert diff["bids"][0] == ["60000.1", "0.25"]
    assert (diff["first_seq"], diff["ts_recv_ns"]) == (210, T0_NS + 21_007)
    assert [row["trade_id"] for row in cat(journal, instruments={"ETHUSDT"})] == ["23"]
    inside = cat(journal, {"trade"}, from_ns=T0_NS + 3_007, to_ns=T0_NS + 5_007)
    assert [row["trade_id"] for row in inside] == ["3", "4"]


def test_wrong_use_is_said(tmp_path: Path, journal: Path) -> None:
    with pytest.raises(JournalError, match="no record type trades"):
        cat(journal, record_types={"trades"})
    for function in (ls, cat, repair, lambda path: list(verify(path))):
        with pytest.raises(JournalError, match="is no journal"):
            function(tmp_path / "cursors")
        with pytest.raises(JournalError, match="cannot read journal"):
            function(tmp_path / "absent")


def test_a_sound_journal_has_one_remark_about_the_sink_that_never_read(journal: Path) -> None:
    assert [(f.segment, f.reason) for f in verify(journal)] == [("redis", "cursor")]


def test_verify_names_each_fault_and_changes_nothing(journal: Path) -> None:
    frames = read_all(journal)
    files = sorted(journal.glob("*.fpj"))
    _flip(files[0], frames[1].start.offset + 60)
    files[2].write_bytes(files[2].read_bytes()[:-3])
    before = {p: p.read_bytes() for p in journal.rglob("*") if p.is_file()}
    faults = [f for f in verify(journal) if f.reason != "cursor"]

    assert [(f.segment, f.offset, f.reason, f.action) for f in faults] == [
        (files[0].name, frames[1].start.offset, "crc", "fill"),
        (files[2].name, frames[5].start.offset, "torn", "cut"),
    ]
    assert repair(journal) == list(verify(journal))
    assert {p: p.read_bytes() for p in journal.rglob("*") if p.is_file()} == before


def test_a_missing_segment_and_a_lost_header_are_faults(journal: Path) -> None:
    files = sorted(journal.glob("*.fpj"))
    _flip(files[2], 40)
    files[1].unlink()
    reasons = [f.reason for f in verify(journal)]

    assert reasons == ["header", "sequence", "cursor"]


def test_a_cursor_beyond_the_journal_is_a_fault(journal: Path) -> None:
    for file in sorted(journal.glob("*.fpj"))[1:]:
        file.unlink()
    store = CursorStore(journal, "clickhouse")
    position = read_all(journal)[-1].end
    store.save(position.__class__(9, 0, position.uuid))
    store.close()

    assert [f.detail for f in verify(journal) if f.segment == "clickhouse"] == [
        "points to segment 9, which was never written"
    ]


def test_repair_cuts_the_tail_takes_damage_out_and_moves_no_sound_frame(journal: Path) -> None:
    frames = read_all(journal)
    files = sorted(journal.glob("*.fpj"))
    _flip(files[0], frames[1].start.offset + 60)
    _flip(files[1], frames[3].start.offset + 4)
    files[2].write_bytes(files[2].read_bytes()[:-3])
    done = [f for f in repair(journal, dry_run=False) if f.reason != "cursor"]

    assert [(f.action, f.done) for f in done] == [("fill", True), ("fill", True), ("cut", True)]
    assert [f.reason for f in verify(journal)] == ["cursor"]
    after = read_all(journal)
    assert [(f.start, f.end, f.sequence) for f in after] == [
        (f.start, f.end, f.sequence) for n, f in enumerate(frames) if n not in (1, 3, 5)
    ]
    assert len(list((journal / "quarantine").glob("*.bin"))) == 3
    writer = open_writer(journal)
    commit_trades(writer, 90, 1)
    writer.close()
    assert trade_ids(read_all(journal))[-1] == 90
    assert [f.reason for f in verify(journal)] == ["cursor"]


def test_repair_waits_for_nobody_and_interrupts_nobody(journal: Path) -> None:
    writer = open_writer(journal)
    with pytest.raises(JournalLocked):
        repair(journal, dry_run=False)
    writer.close()
    store = CursorStore(journal, "redis")
    with pytest.raises(JournalLocked):
        repair(journal, dry_run=False)
    store.close()
    repair(journal, dry_run=False)
    open_writer(journal).close()
