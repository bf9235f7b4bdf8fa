"""Rounds from a real journal: bounded, repeatable by the next process, never twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from feedplane_core.errors import JournalLocked
from feedplane_core.names import NS_PER_MS, NS_PER_S
from feedplane_journal.layout import list_segments
from feedplane_journal.reader import JournalReader
from feedplane_testing.journals import EXCHANGE, Clock, commit_trades, open_writer, read_all
from feedplane_writer.clickhouse_sink.cursor import Settled, SinkCursor
from feedplane_writer.clickhouse_sink.cut import Limits, decoded
from feedplane_writer.clickhouse_sink.pipe import Pipe, Round, count_ahead

LIMITS = Limits(max_rows=100, l1_interval_ns=200 * NS_PER_MS, max_event_age_ns=10**18, compression="lz4")


class Opened:
    """A pipe as a new process would open it, with a monotonic clock that stands still until moved."""

    def __init__(self, path: Path, *, shards: int = 1, limits: Limits = LIMITS, max_bytes: int = 1 << 20) -> None:
        self.clock = Clock(0)
        self.cursor = SinkCursor(path, shards, list_segments(path)[0].start)
        self.pipes = [
            Pipe(
                path,
                EXCHANGE,
                self.cursor,
                shard,
                shards,
                limits,
                max_age_ns=NS_PER_S,
                max_bytes=max_bytes,
                clock_ns=self.clock,
            )
            for shard in range(shards)
        ]
        self.pipe = self.pipes[0]

    def next_round(self) -> Round | None:
        self.pipe.gather()
        return self.pipe.next_round() if self.pipe.is_due(True) else None

    def settle(self, planned: Round) -> None:
        settled = Settled(planned.cut.read, {}, {s.table: s.rows for s in planned.cut.slices}, 0)
        self.cursor.settle(planned.record.shard, planned.record.end, settled)
        self.cursor.save()

    def close(self) -> None:
        self.pipe.close()
        self.cursor.close()


def ids(planned: Round | None) -> list[int]:
    assert planned is not None
    return [int(t) for s in planned.cut.slices for t in decoded(s.body).column("trade_id").to_pylist()]


def tokens(planned: Round | None) -> list[tuple[str, int]]:
    assert planned is not None
    return [(planned.token(piece), piece.crc) for piece in planned.cut.slices]


def test_a_round_is_due_by_age_by_rows_or_at_the_end(tmp_path: Path) -> None:
    with_writer = open_writer(tmp_path)
    commit_trades(with_writer, 0, 10)
    opened = Opened(tmp_path)
    opened.pipe.gather()
    assert not opened.pipe.is_due(False)
    assert opened.pipe.is_due(True)
    opened.clock.advance(1)
    assert opened.pipe.is_due(False)

    opened.clock.now_ns = 0
    for first in range(10, 110, 10):
        commit_trades(with_writer, first, 10)
    opened.pipe.gather()
    assert opened.pipe.is_due(False)
    assert ids(opened.pipe.next_round()) == list(range(100))
    opened.close()
    with_writer.close()


def test_the_next_process_repeats_the_unfinished_round_and_not_a_longer_one(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 10)
    first = Opened(tmp_path)
    planned = first.next_round()
    assert planned is not None
    first.pipe.save(planned)
    first.close()

    commit_trades(writer, 10, 10)
    second = Opened(tmp_path, limits=msgspec.structs.replace(LIMITS, max_rows=3))
    again = second.next_round()
    assert tokens(again) == tokens(planned)
    assert ids(again) == list(range(10))
    assert again is not None
    second.settle(again)
    assert ids(second.next_round()) == list(range(10, 20))
    second.close()
    writer.close()


def test_without_a_record_the_next_process_would_cut_otherwise(tmp_path: Path) -> None:
    """What the record is for: the same rows under other boundaries carry other tokens, and would be stored again."""
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 10)
    first = Opened(tmp_path)
    planned = first.next_round()
    first.close()
    commit_trades(writer, 10, 10)
    second = Opened(tmp_path)

    assert tokens(second.next_round()) != tokens(planned)
    second.close()
    writer.close()


def test_a_settled_round_is_not_repeated(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 10)
    first = Opened(tmp_path)
    planned = first.next_round()
    assert planned is not None
    first.pipe.save(planned)
    first.settle(planned)
    first.close()
    second = Opened(tmp_path)

    assert second.next_round() is None
    assert second.pipe.is_idle
    assert second.cursor.account.rows()["trades"] == {
        "journalled": 10,
        "written": 10,
        "quarantined": 0,
        "lost": 0,
        "pending": 0,
    }
    second.close()
    writer.close()


def test_a_round_ends_where_its_segment_does(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    commit_trades(writer, 0, 5)
    clock.advance(61)
    commit_trades(writer, 5, 5)
    assert len(list_segments(tmp_path)) == 2
    opened = Opened(tmp_path)
    rounds = []
    while (planned := opened.next_round()) is not None:
        rounds.append(planned)
        opened.settle(planned)

    assert [ids(planned) for planned in rounds] == [list(range(5)), list(range(5, 10))]
    assert len({planned.record.start.uuid for planned in rounds}) == 2
    opened.close()
    writer.close()


def test_an_unfinished_round_at_the_start_of_a_segment_is_found_again(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock)
    commit_trades(writer, 0, 5)
    clock.advance(61)
    commit_trades(writer, 5, 5)
    first = Opened(tmp_path)
    before = first.next_round()
    assert before is not None
    first.settle(before)
    planned = first.next_round()
    assert planned is not None
    first.pipe.save(planned)
    first.close()
    commit_trades(writer, 10, 5)
    second = Opened(tmp_path)

    assert tokens(second.next_round()) == tokens(planned)
    second.close()
    writer.close()


def test_what_a_round_holds_is_bounded_by_bytes(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for first in range(0, 2_000, 20):
        commit_trades(writer, first, 20)
    opened = Opened(tmp_path, limits=msgspec.structs.replace(LIMITS, max_rows=100_000), max_bytes=20_000)
    opened.pipe.gather()

    assert 20_000 <= opened.pipe.held_bytes < 40_000
    assert opened.pipe.is_due(False)
    opened.close()
    writer.close()


def test_pending_is_counted_while_nothing_can_be_stored_and_never_twice(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 10)
    opened = Opened(tmp_path)
    opened.pipe.gather()
    commit_trades(writer, 10, 30)
    reader = JournalReader(tmp_path)
    while count_ahead(tmp_path, opened.cursor, reader):
        continue
    assert opened.cursor.account.pending() == {"trades": 40}

    while (planned := opened.next_round()) is not None:
        opened.settle(planned)
    assert opened.cursor.account.pending() == {"trades": 0}
    reader.close()
    opened.close()
    writer.close()


def test_one_journal_has_one_writer(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 1)
    opened = Opened(tmp_path)

    with pytest.raises(JournalLocked):
        Opened(tmp_path)
    opened.close()
    Opened(tmp_path).close()
    writer.close()


def test_another_number_of_shards_takes_over_from_where_each_stood(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    names = [f"S{i}" for i in range(8)]
    for first, name in enumerate(names):
        commit_trades(writer, first, 1, name)
    two = Opened(tmp_path, shards=2)
    planned = two.next_round()  # of shard 0 alone: shard 1 has stored nothing
    assert planned is not None
    stored = set(ids(planned))
    two.settle(planned)
    two.close()
    three = Opened(tmp_path, shards=3)
    taken: list[int] = []
    for pipe in three.pipes:
        pipe.gather()
        planned = pipe.next_round()
        taken += ids(planned)
        three.settle(planned)

    assert 0 < len(stored) < 8
    assert sorted(taken) == sorted(set(range(8)) - stored)
    assert three.cursor.handover is None
    three.close()
    writer.close()


def test_damaged_slices_are_given_up_for_their_own_tokens(tmp_path: Path) -> None:
    """Rot inside of an unfinished round: its slices cannot be repeated, so what is left goes under another token."""
    writer = open_writer(tmp_path)
    for first in (0, 5, 10):
        commit_trades(writer, first, 5)
    first_try = Opened(tmp_path)
    planned = first_try.next_round()
    assert planned is not None
    first_try.pipe.save(planned)
    first_try.close()
    writer.close()
    frames = read_all(tmp_path)
    open_writer(tmp_path).close()
    segment = list_segments(tmp_path)[0].path
    data = bytearray(segment.read_bytes())
    data[frames[1].start.offset + 40] ^= 0xFF
    segment.write_bytes(data)
    later = open_writer(tmp_path)
    commit_trades(later, 15, 1)
    second = Opened(tmp_path)
    again = second.next_round()

    assert ids(again) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert not {t for t, _ in tokens(again)} & {t for t, _ in tokens(planned)}
    second.close()
    later.close()


@pytest.mark.parametrize("rows", [40, 250])
def test_rounds_that_were_read_ahead_are_the_same_rounds(tmp_path: Path, rows: int) -> None:
    """What is gathered and cut while the store has the round before changes neither a boundary nor a byte."""
    writer = open_writer(tmp_path)
    for first in range(0, rows, 10):
        commit_trades(writer, first, 10)

    def rounds(*, is_ahead: bool) -> list[list[tuple[str, int]]]:
        opened, found = Opened(tmp_path), []
        while (planned := opened.next_round()) is not None:
            found.append(tokens(planned))
            if is_ahead:
                opened.pipe.look_ahead()
                opened.pipe.look_ahead()
        opened.close()
        return found

    assert rounds(is_ahead=True) == rounds(is_ahead=False)
    writer.close()


def test_a_journal_is_not_idle_because_all_of_it_was_read_ahead(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    commit_trades(writer, 0, 10)
    opened = Opened(tmp_path)
    planned = opened.next_round()
    opened.pipe.look_ahead()
    assert not opened.pipe.is_idle, "a round is with the store"

    assert planned is not None
    opened.settle(planned)
    opened.pipe.gather()
    assert opened.pipe.is_idle
    opened.close()
    writer.close()
