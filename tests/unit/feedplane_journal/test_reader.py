"""Readers: own cursors, tailing, roll-over, backlog."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from feedplane_core.errors import JournalError
from feedplane_journal.segments import Backlog, CursorStore, JournalReader, Position
from feedplane_testing.journals import Clock, commit_trades, open_writer, read_all, trade_ids


def test_readers_with_small_and_large_steps_see_the_same(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    for group in range(20):
        commit_trades(writer, group * 7, 7)
        clock.advance(20)
    writer.close()

    for max_bytes in (1, 700, 5_000, 1 << 20):
        assert trade_ids(read_all(tmp_path, max_bytes=max_bytes)) == list(range(140))


def test_every_frames_end_is_a_cursor_to_the_next(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    for group in range(6):
        commit_trades(writer, group, 1)
        clock.advance(30)
    writer.close()
    frames = read_all(tmp_path)

    for number, frame in enumerate(frames):
        assert trade_ids(read_all(tmp_path, frame.end)) == list(range(number + 1, 6))


def test_nothing_there_is_no_news_and_no_error(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "absent")
    assert reader.segments() == []
    assert reader.read(None) == []
    assert not reader.has_news(None)
    assert reader.backlog(None) == Backlog(0, 0)
    assert not reader.wait(None, timeout_s=0.01)


def test_a_file_in_place_of_the_journal_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot read journal"):
        JournalReader(tmp_path / "file").segments()


def test_the_tail_is_followed_across_segments_while_it_is_written(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    groups = 60

    def write() -> None:
        for group in range(groups):
            commit_trades(writer, group * 5, 5)
            clock.advance(25)
            time.sleep(0.001)

    thread = threading.Thread(target=write)
    thread.start()
    reader = JournalReader(tmp_path)
    cursor: Position | None = None
    found: list[int] = []
    deadline = time.monotonic() + 30
    while len(found) < groups * 5 and time.monotonic() < deadline:
        if reader.wait(cursor, timeout_s=1):
            reads = reader.read(cursor)
            found += trade_ids(reads)
            cursor = reads[-1].end if reads else cursor
    thread.join()

    assert found == list(range(groups * 5))
    assert not reader.has_news(cursor)
    assert len(reader.segments()) > 10
    writer.close()


def test_an_idle_poll_is_cheap(tmp_path: Path) -> None:
    """At 3 ms a poll, 1 % of a core is 30 us: an idle poll stays well below it, by CPU time."""
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 5)
    reader = JournalReader(tmp_path)
    cursor = reader.read(None)[-1].end
    assert reader.read(cursor) == []
    best = min(_poll_cost_s(reader, cursor) for _ in range(5))
    writer.close()

    assert best < 30e-6


def _poll_cost_s(reader: JournalReader, cursor: Position) -> float:
    started = time.process_time()
    for _ in range(1_000):
        assert not reader.has_news(cursor)
    return (time.process_time() - started) / 1_000


def test_the_backlog_is_what_is_left_to_read(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    reader = JournalReader(tmp_path)
    for group in range(12):
        commit_trades(writer, group * 3, 3)
        clock.advance(25)
    frames = read_all(tmp_path)
    sizes = [frame.end.offset - frame.start.offset for frame in frames]

    assert reader.backlog(None) == Backlog(36, sum(sizes))
    for number, frame in enumerate(frames):
        assert reader.backlog(frame.end) == Backlog(36 - 3 * (number + 1), sum(sizes[number + 1 :]))
    commit_trades(writer, 100, 4)
    assert reader.backlog(frames[-1].end).rows == 4
    assert reader.backlog(frames[0].end).rows == 37
    writer.close()


def test_a_cursor_into_a_segment_that_retention_took_goes_on_with_the_next(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    for group in range(4):
        commit_trades(writer, group, 1)
        clock.advance(61)
    writer.close()
    frames = read_all(tmp_path)
    for segment in JournalReader(tmp_path).segments()[:2]:
        segment.path.unlink()

    assert trade_ids(read_all(tmp_path, frames[0].end)) == [2, 3]
    assert trade_ids(read_all(tmp_path, None)) == [2, 3]


def test_a_cursor_of_another_journal_starts_the_segment_of_its_number_anew(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 3)
    writer.close()

    assert trade_ids(read_all(tmp_path, Position(1, 99_999, "0" * 32))) == [0, 1, 2]


def test_a_wiped_directory_does_not_hide_new_data_behind_old_cursors(tmp_path: Path) -> None:
    store = CursorStore(tmp_path, "redis")
    store.save(Position(50, 4_000, "0" * 32))
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 3)
    writer.close()

    assert trade_ids(read_all(tmp_path, store.load())) == [0, 1, 2]
    store.close()
