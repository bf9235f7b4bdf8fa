"""`BookSync.extends`: the short way of the usual diff. It does what `on_diff` does, and nothing where there is more to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import MarketType
from feedplane_core.sync import BookSync
from hypothesis import given
from hypothesis import strategies as st

T0_NS = 1_790_000_000_000_000_000
HEAD: dict[str, Any] = {"exchange": "x", "market_type": MarketType.SPOT, "instrument": "A"}


class Linked:
    """Each diff names the one before it."""

    source = SnapshotSource.REST
    sequenced = True
    snapshot_depth: int | None = None
    max_depth: int | None = None

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if diff.prev_seq == last_seq:
            return Verdict.APPLY
        return Verdict.STALE if (diff.last_seq or 0) <= (last_seq or 0) else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return 7


def snapshot() -> BookSnapshot:
    return BookSnapshot(**HEAD, ts_event_ns=T0_NS, ts_recv_ns=T0_NS, bids=[("1", "1")], asks=[("9", "1")], last_seq=0)


def diff(seq: int, bid: str, ask: str, late_ns: int, checksum: int | None, prev: int | None = None) -> DepthDiff:
    return DepthDiff(
        **HEAD, ts_event_ns=T0_NS + seq, ts_recv_ns=T0_NS + seq + late_ns, bids=[(bid, "2")], asks=[(ask, "3")],
        first_seq=seq, last_seq=seq, prev_seq=seq - 1 if prev is None else prev, checksum=checksum,
    )  # fmt: skip


DIFFS = st.builds(
    diff,
    st.integers(1, 12),
    st.sampled_from(["1", "2", "8"]),
    st.sampled_from(["3", "9", "10"]),
    st.integers(-5, 5),
    st.sampled_from([None, None, None, 7, 8]),
)


def told(sync: BookSync) -> tuple[object, ...]:
    book = sync.book
    return (sync.state, sync.position, sync.counts, sync.held, book.bids.top(), book.asks.top(), sync.is_publishable)


@given(st.lists(st.one_of(DIFFS, st.just("snapshot"), st.just("look")), max_size=40))
def test_the_short_way_ends_where_the_long_one_does(steps: list[Any]) -> None:
    short, long = (BookSync("x", MarketType.SPOT, "A", Linked(), defers=True) for _ in range(2))
    long.extends = lambda _diff: False  # type: ignore[method-assign]
    for step in ["snapshot", *steps]:
        if step == "snapshot":
            assert short.on_snapshot(snapshot()) == long.on_snapshot(snapshot())
        elif step == "look":
            assert short.settle() == long.settle()
        else:
            assert short.on_diff(step) == long.on_diff(step)
            assert short.near == long.near
        assert told(short) == told(long)


def test_what_has_to_be_judged_is_left_alone() -> None:
    sync = BookSync("x", MarketType.SPOT, "A", Linked(), defers=True)
    usual = diff(2, "2", "8", 1, None)
    assert not sync.extends(usual)  # no book yet
    sync.on_snapshot(snapshot())
    assert not sync.extends(diff(1, "2", "8", 1, None))  # has to join the snapshot first
    sync.on_diff(diff(1, "2", "8", 1, None))
    before = told(sync)

    assert not sync.extends(diff(2, "2", "8", 1, 7))  # a checksum has to be looked at
    assert not sync.extends(diff(1, "2", "8", 1, None))  # stale
    assert not sync.extends(diff(9, "2", "8", 1, None))  # a hole
    assert told(sync) == before
    assert sync.extends(usual)
    assert sync.position == (T0_NS + 2, 2)
