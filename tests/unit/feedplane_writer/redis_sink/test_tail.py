"""The cursor of the Redis writer: behind what is settled, and never held up for long by a store that is down."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_core.names import NS_PER_S, KeyStyle
from feedplane_journal.cursors import read_cursor
from feedplane_testing.journals import Clock, batches_of, open_writer, top_of_book
from feedplane_writer.redis_sink.entries import Entry, HotKey
from feedplane_writer.redis_sink.keyspace import Keyspace
from feedplane_writer.redis_sink.tail import JournalTail


class Bench:
    """A journal with quotes, a tail, and a store that takes what it is told to take."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock(0)
        self.due: list[Entry] = []
        self.journal = open_writer(path)
        self.tail = self.new_tail()

    def new_tail(self) -> JournalTail:
        keyspace = Keyspace(KeyStyle.FLAT, self.due.append, self.clock)
        return JournalTail(self.path, keyspace, stale_after_ns=15 * NS_PER_S, clock=self.clock, wall_ms=lambda: 1)

    def quote(self, number: int) -> None:
        self.journal.append(batches_of([top_of_book(number)]))
        self.journal.commit()
        self.tail.step()

    def store_all(self) -> None:
        for entry in self.due:
            assert isinstance(entry, HotKey)
            row, entry.row = entry.row, None
            if row is not None:
                row.stored("l1", entry.ts_ns)
        self.due.clear()

    def save(self, *, last: bool = False) -> None:
        candidate = self.tail.settled(last=last)
        if candidate is not None:
            self.tail.write(candidate)

    def saved_written(self) -> int | None:
        cursor = read_cursor(self.path / "cursors" / "redis.json")
        return None if cursor is None else int(cursor.extra["written"].get("l1", 0))


def test_the_cursor_waits_for_rows_that_redis_does_not_have(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.quote(1)
    bench.save()
    bench.save()
    assert bench.saved_written() is None

    bench.store_all()
    bench.quote(2)  # read, not stored, and behind the position that is saved
    bench.save()
    assert bench.saved_written() == 1


def test_a_store_that_is_down_holds_the_journal_for_a_minute_at_most(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.quote(1)
    bench.save()
    bench.clock.advance(59)
    bench.save()
    assert bench.saved_written() is None

    bench.clock.advance(2)
    bench.save()
    assert bench.saved_written() == 1


def test_accounts_go_on_from_the_cursor_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(1, 4):
        bench.quote(number)
    bench.save()
    bench.store_all()
    bench.save()
    bench.quote(4)  # read by the first tail, settled by nobody
    bench.tail.close()

    bench.due.clear()
    bench.tail = bench.new_tail()
    bench.tail.step()
    bench.store_all()
    bench.tail.settle()

    assert bench.tail.account.rows()["l1"] == {"journalled": 4, "written": 4, "quarantined": 0, "lost": 0, "pending": 0}
    bench.save(last=True)
    assert bench.saved_written() == 4


def test_rows_of_a_former_run_are_known_again_and_not_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.quote(1)
    bench.store_all()
    bench.save(last=True)
    bench.tail.close()

    bench.tail = bench.new_tail()
    bench.tail.step()

    assert [entry.key for entry in bench.due] == [b"last:l1:binance_futures:BTCUSDT"]
    assert bench.tail.books.open_rows == 0


def test_a_disk_that_refuses_the_cursor_does_not_end_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.quote(1)
    bench.store_all()
    refuse = OSError(28, "No space left on device")

    def full(*_: object) -> None:
        raise refuse

    with monkeypatch.context() as patch:
        patch.setattr("feedplane_journal.cursors.publish", full)
        bench.save(last=True)
    assert bench.saved_written() is None

    bench.save(last=True)
    assert bench.saved_written() == 1
