"""Faults: how they are written, whom they strike, when they end."""

from __future__ import annotations

import pytest
from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed
from feedplane_simex.faults import KINDS, FaultBoard, Scope, duration_ns

TRADES = frozenset({Feed.TRADES})


def hits(board: FaultBoard, count: int, now_ns: int = 0, feeds: frozenset[Feed] = TRADES) -> int:
    return sum(board.hit("x", "A", feeds, now_ns, is_data=True) is not None for _ in range(count))


def test_every_knob_takes_its_own_defaults() -> None:
    board = FaultBoard("1")
    for name in KINDS:
        assert board.add(name, 0).name == name


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("explode", "explode"),
        ("drop:p", "p"),
        ("drop:colour=red", "colour"),
        ("drop:feed=tea", "tea"),
        ("drop:p=often", "often"),
        ("seq_jump:n=many", "many"),
        ("cut:age=long", "long"),
        ("skew:by=1y", "1y"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(spec: str, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        FaultBoard("1").add(spec, 0)


def test_every_nth_and_counts() -> None:
    board = FaultBoard("1")
    board.add("drop:every=4,count=3", 0)

    assert hits(board, 100) == 3
    assert not [f for f in board.faults if not f.is_over(0)]


def test_probability_is_seeded() -> None:
    def pattern(seed: str) -> list[bool]:
        board = FaultBoard(seed)
        board.add("drop:p=0.25", 0)
        return [hits(board, 1) == 1 for _ in range(400)]

    assert pattern("1") == pattern("1") != pattern("2")
    assert 60 < sum(pattern("1")) < 140


def test_a_fault_strikes_only_whom_it_names() -> None:
    board = FaultBoard("1")
    board.add("drop:exchange=x,symbol=A,feed=trades", 0)

    assert board.hit("x", "A", TRADES, 0, is_data=True)
    assert not board.hit("y", "A", TRADES, 0, is_data=True)
    assert not board.hit("x", "B", TRADES, 0, is_data=True)
    assert not board.hit("x", "A", frozenset({Feed.L1}), 0, is_data=True)


def test_heartbeats_can_be_stalled_and_nothing_else() -> None:
    board = FaultBoard("1")
    board.add("drop", 0)
    assert not board.hit("x", "A", TRADES, 0, is_data=False)
    board.add("stall", 0)
    assert board.hit("x", "A", TRADES, 0, is_data=False)


def test_times_bound_a_fault() -> None:
    board = FaultBoard("1")
    board.add("stall:after=2s,for=3s", 0)

    assert [hits(board, 1, s * NS_PER_S) for s in range(7)] == [0, 0, 1, 1, 1, 0, 0]
    assert board.expire(4 * NS_PER_S) == []
    assert len(board.expire(5 * NS_PER_S)) == 1
    assert board.faults == []


def test_faults_are_lifted_one_by_one_or_all() -> None:
    board = FaultBoard("1")
    first = board.add("drop", 0)
    board.add("stall", 0)
    board.add("refuse", 0)

    assert board.live(Scope.CONNECT, 0)
    assert board.remove(first.number) == 1
    assert [f.name for f in board.faults] == ["stall", "refuse"]
    assert board.remove() == 2


def test_durations() -> None:
    assert duration_ns("250ms", "x") == 250 * NS_PER_MS
    assert duration_ns("1.5s", "x") == 1500 * NS_PER_MS
    assert duration_ns("-1h", "x") == -3600 * NS_PER_S
    assert duration_ns("3", "x") == 3 * NS_PER_S
