"""B7, I3, I8: the budget holds, nothing unread goes silently, pressure rises before data is lost."""

from __future__ import annotations

from pathlib import Path

from feedplane_core.events import Status
from feedplane_core.names import NS_PER_S, Feed
from feedplane_journal.retention import Budget, Plan, Pressure, Sealed, plan, pressure
from feedplane_journal.rows import row_dicts
from feedplane_journal.segments import CursorStore, JournalWriter, Position, list_segments
from feedplane_testing.journals import (
    Clock,
    batches_of,
    commit_trades,
    depth_diff,
    head,
    open_writer,
    read_all,
    trade,
    trade_ids,
)
from hypothesis import given
from hypothesis import strategies as st

DAY_NS = 24 * 3600 * NS_PER_S
ROOMY = 1 << 40


def segments(*passed: bool, size: int = 100, closed_ns: int = 0) -> list[Sealed]:
    return [Sealed(number, size, closed_ns, is_passed) for number, is_passed in enumerate(passed, start=1)]


def test_a_segment_goes_when_all_have_passed_it_and_it_is_old() -> None:
    budget = Budget(10_000, DAY_NS)

    assert plan(segments(True, True, False), 300, budget, ROOMY, 0, DAY_NS) == Plan((1, 2), ())
    assert plan(segments(True, True, False), 300, budget, ROOMY, 0, DAY_NS - 1) == Plan((), ())
    assert plan(segments(False, False), 200, budget, ROOMY, 0, 10 * DAY_NS) == Plan((), ())


def test_over_the_cap_passed_segments_go_young_and_unread_ones_only_then() -> None:
    budget = Budget(300, DAY_NS)

    assert plan(segments(True, True, False, False), 400, budget, ROOMY, 0, 0) == Plan((1,), ())
    assert plan(segments(True, False, False, False), 500, budget, ROOMY, 0, 0) == Plan((1,), (2,))
    assert plan(segments(False, False, False), 301, budget, ROOMY, 0, 0) == Plan((), (1,))


def test_a_disk_filled_by_others_costs_passed_segments_but_never_unread_ones() -> None:
    budget = Budget(10_000, DAY_NS)

    assert plan(segments(True, True, False), 300, budget, free_bytes=50, reserve_bytes=150, now_ns=0) == Plan((1,), ())
    assert plan(segments(False, False), 200, budget, free_bytes=0, reserve_bytes=150, now_ns=0) == Plan((), ())


@given(
    st.lists(st.tuples(st.integers(1, 500), st.booleans()), max_size=12),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
)
def test_the_plan_takes_the_oldest_and_no_more_than_needed(
    held: list[tuple[int, bool]], extra: int, cap: int, free: int
) -> None:
    passed_count = sum(is_passed for _, is_passed in held)
    sealed = [Sealed(i, size, 0, i < passed_count) for i, (size, _) in enumerate(held)]  # cursors only go forward
    total = sum(size for size, _ in held) + extra
    decided = plan(sealed, total, Budget(cap, DAY_NS), free, 100, 0)
    gone = [*decided.delete, *decided.drop]

    assert gone == list(range(len(gone)))
    assert all(sealed[i].is_passed for i in decided.delete)
    left = total - sum(sealed[i].size_bytes for i in gone)
    assert left <= cap or len(gone) == len(sealed)
    if decided.drop:
        assert left + sealed[decided.drop[-1]].size_bytes > cap


def test_pressure_rises_with_what_cannot_be_removed_and_with_a_small_disk() -> None:
    budget = Budget(1_000, DAY_NS)
    levels = [pressure(unread, budget, ROOMY, 10) for unread in (0, 699, 700, 899, 900, 2_000)]

    assert levels == [Pressure.NONE, Pressure.NONE, Pressure.HIGH, Pressure.HIGH, Pressure.FULL, Pressure.FULL]
    assert [pressure(0, budget, free, 10) for free in (9, 19, 20)] == [Pressure.FULL, Pressure.HIGH, Pressure.NONE]


# -- on disk

SMALL = Budget(max_bytes=400_000, retention_ns=DAY_NS)


def _fill(writer: JournalWriter, clock: Clock, first: int, groups: int) -> list[object]:
    shed: list[object] = []
    for group in range(first, first + groups):
        writer.append(batches_of([trade(group * 100 + i) for i in range(100)]))
        shed += writer.commit().shed
        clock.advance(2)
    return shed


def _save(path: Path, sink: str, position: Position) -> None:
    store = CursorStore(path, sink)
    store.save(position)
    store.close()


def test_a_fast_sink_keeps_the_journal_small_and_nothing_is_shed(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, budget=SMALL, sinks=["clickhouse"])
    for group in range(60):
        assert _fill(writer, clock, group, 1) == []
        _save(tmp_path, "clickhouse", read_all(tmp_path)[-1].end)
        assert writer.pressure() is Pressure.NONE
    assert sum(s.path.stat().st_size for s in list_segments(tmp_path)) <= SMALL.max_bytes
    writer.close()


def test_a_dead_sink_raises_pressure_first_and_what_is_dropped_is_a_gap_row(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, budget=SMALL, sinks=["clickhouse", "redis"])
    note = Status(**head(0), status_feed=None, status="connected", detail="kept")
    writer.append(batches_of([note, depth_diff(0), depth_diff(1)]))
    writer.commit()
    seen: list[Pressure] = []
    shed: list[object] = []
    groups = 0
    while not shed:
        shed = _fill(writer, clock, groups, 1)
        groups += 1
        seen.append(writer.pressure())
    assert seen[0] is Pressure.NONE
    assert seen.index(Pressure.HIGH) < seen.index(Pressure.FULL) < len(seen) - 1
    shed += _fill(writer, clock, groups, 10)
    groups += 10
    writer.close()

    frames = read_all(tmp_path)
    gaps = [row for f in frames if f.record_type == "gap" for row in row_dicts("gap", f.batch)]
    left = trade_ids(frames)
    lost = [i for i in range(groups * 100) if i not in set(left)]
    assert sum(s.path.stat().st_size for s in list_segments(tmp_path)) <= SMALL.max_bytes + 50_000
    assert lost == list(range(len(lost))), "the oldest go"
    assert lost
    for number in lost:
        when = trade(number).ts_recv_ns
        assert any(g["feed"] == "trades" and g["from_ns"] < when < g["to_ns"] for g in gaps), number
    assert not any(g["from_ns"] < trade(left[0]).ts_recv_ns < g["to_ns"] for g in gaps if g["feed"] == "trades")
    [diffs] = [g for g in gaps if g["feed"] == "ob_diffs"]
    assert (diffs["from_seq"], diffs["to_seq"], diffs["reason"], diffs["state"]) == (0, 19, "shed", "closed")
    kept = [row for f in frames if f.record_type == "status" for row in row_dicts("status", f.batch)]
    assert [row["detail"] for row in kept] == ["kept"], "statuses are carried forward"
    assert {getattr(item, "feed") for item in shed} == {Feed.TRADES, Feed.OB_DIFFS}  # noqa: B009


def test_only_what_the_slowest_sink_had_not_read_is_declared(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, budget=SMALL, sinks=["clickhouse"])
    commit_trades(writer, 0, 10)
    _save(tmp_path, "clickhouse", read_all(tmp_path)[-1].end)
    commit_trades(writer, 10, 10)
    shed: list[object] = []
    group = 1
    while not shed:
        shed = _fill(writer, clock, group, 1)
        group += 1
    writer.close()

    assert getattr(shed[0], "from_ns") == trade(10).ts_event_ns  # noqa: B009


def test_old_segments_go_when_every_registered_sink_has_passed_them(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, sinks=["clickhouse", "redis"])
    for group in range(4):
        commit_trades(writer, group, 1)
        clock.advance(61)
    end = read_all(tmp_path)[-1].end
    _save(tmp_path, "clickhouse", end)
    clock.advance(25 * 3600)
    writer.commit()
    assert len(list_segments(tmp_path)) == 5, "redis has not passed them"
    _save(tmp_path, "redis", end)
    clock.advance(2)
    writer.commit()
    assert [s.index for s in list_segments(tmp_path)] == [4, 5], "4 was closed just now, whenever its rows came"
    clock.advance(25 * 3600)
    writer.commit()
    assert [s.index for s in list_segments(tmp_path)] == [5]
    writer.close()


def test_without_sinks_age_alone_decides(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, sinks=[])
    commit_trades(writer, 0, 1)
    clock.advance(61)
    commit_trades(writer, 1, 1)
    clock.advance(25 * 3600)
    writer.commit()
    assert trade_ids(read_all(tmp_path)) == [1]
    writer.close()


def test_a_cursor_that_cannot_be_read_keeps_everything(tmp_path: Path) -> None:
    clock = Clock()
    writer = open_writer(tmp_path, clock, sinks=["clickhouse"])
    commit_trades(writer, 0, 1)
    _save(tmp_path, "clickhouse", read_all(tmp_path)[-1].end)
    (tmp_path / "cursors" / "clickhouse.json").write_text("garbage")
    clock.advance(61)
    commit_trades(writer, 1, 1)
    clock.advance(25 * 3600)
    writer.commit()

    assert trade_ids(read_all(tmp_path)) == [0, 1]
    writer.close()
