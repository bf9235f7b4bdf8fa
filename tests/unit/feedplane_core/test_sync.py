"""`BookSync`: any interleaving of snapshots and diffs ends in the true book, and what is not kept lies in a hole that is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from feedplane_core.adapter import BookRule, SnapshotSource, Verdict
from feedplane_core.decimals import scaled
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap
from feedplane_core.names import NS_PER_S, MarketType
from feedplane_core.sync import MAX_HELD_DIFFS, BookSync
from hypothesis import given
from hypothesis import strategies as st

T0_NS = 1_790_000_000 * NS_PER_S
MS = 1_000_000
HEAD: dict[str, Any] = {"exchange": "x", "market_type": MarketType.SPOT, "instrument": "A"}


class Numbered:
    """Update ids in ranges; a snapshot is asked for. `linked` diffs name the one before them, others begin one after it."""

    source = SnapshotSource.REST
    sequenced = True
    snapshot_depth: int | None = None
    max_depth: int | None = None

    def __init__(self, *, linked: bool) -> None:
        self._linked = linked

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        assert snapshot.last_seq is not None
        return self._judge(snapshot.last_seq, diff, joins=True)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        assert last_seq is not None
        return self._judge(last_seq, diff, joins=False)

    def _judge(self, last: int, diff: DepthDiff, *, joins: bool) -> Verdict:
        assert diff.first_seq is not None
        assert diff.last_seq is not None
        if diff.last_seq <= last:
            return Verdict.STALE
        follows = diff.prev_seq == last if self._linked else diff.first_seq == last + 1
        spans = joins and diff.first_seq <= last + 1
        return Verdict.APPLY if follows or spans else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None


class InOrder(Numbered):
    """The socket's order is all there is."""

    source = SnapshotSource.SOCKET
    sequenced = False

    def __init__(self) -> None:
        super().__init__(linked=False)

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY


class Truth:
    """A venue's book: bids below 100, asks from 100 up, one diff for each list of changes, and the book after each."""

    def __init__(self, changes: list[list[tuple[int, int]]], *, numbered: bool = True) -> None:
        self.diffs: list[DepthDiff] = []
        self.books: list[dict[int, int]] = [{50: 1, 150: 1}]
        self.seqs = [10]
        self._numbered = numbered
        for place, change in enumerate(changes):
            book = dict(self.books[-1])
            for price, qty in change:
                book[price] = qty
                if not qty:
                    del book[price]
            self.books.append(book)
            self.seqs.append(self.seqs[-1] + len(change))
            self.diffs.append(self._diff(place, change))

    def _diff(self, place: int, change: list[tuple[int, int]]) -> DepthDiff:
        levels = [(str(price), str(qty)) for price, qty in dict(change).items()]
        before = self.seqs[place]
        return DepthDiff(
            **HEAD,
            ts_event_ns=T0_NS + place * MS,
            ts_recv_ns=T0_NS + place * MS + 3,
            bids=[level for level in levels if int(level[0]) < 100],
            asks=[level for level in levels if int(level[0]) >= 100],
            first_seq=before + 1 if self._numbered else None,
            last_seq=before + len(change) if self._numbered else None,
            prev_seq=before if self._numbered else None,
        )

    def snapshot(self, place: int, at: int | None = None) -> BookSnapshot:
        """The book before diff `place`, received as diff `at` was."""
        book = self.books[place]
        when = place if at is None else at
        return BookSnapshot(
            **HEAD,
            ts_event_ns=None,
            ts_recv_ns=T0_NS + when * MS + 4,
            bids=[(str(p), str(q)) for p, q in sorted(book.items(), reverse=True) if p < 100],
            asks=[(str(p), str(q)) for p, q in sorted(book.items()) if p >= 100],
            last_seq=self.seqs[place] if self._numbered else None,
        )


def machine(rule: BookRule, **options: Any) -> BookSync:
    return BookSync("x", MarketType.SPOT, "A", rule, **options)


def held_by(sync: BookSync) -> dict[int, int]:
    levels = [*sync.book.bids.top(), *sync.book.asks.top()]
    return {int(price): int(qty) for price, qty in levels}


changes = st.lists(
    st.lists(st.tuples(st.sampled_from([48, 49, 50, 150, 151, 152]), st.integers(1, 9)), min_size=1, max_size=3),
    min_size=1,
    max_size=30,
)
rules = st.sampled_from([Numbered(linked=True), Numbered(linked=False)])


@given(changes, rules, st.data(), st.booleans())
def test_wherever_the_snapshot_comes_in_the_book_ends_right(
    moves: list[list[tuple[int, int]]], rule: Numbered, data: st.DataObject, defers: bool
) -> None:
    truth = Truth(moves)
    of = data.draw(st.integers(0, len(moves)), "snapshot of")
    arrives = data.draw(st.integers(of, len(moves)), "snapshot arrives")
    begins = data.draw(st.integers(0, of), "first diff heard")
    sync = machine(rule, defers=defers)
    kept: list[Event] = []
    for place in range(begins, len(moves) + 1):
        if place == arrives:
            kept += sync.on_snapshot(truth.snapshot(of, arrives))
        if place < len(moves):
            kept += sync.on_diff(truth.diffs[place])

    assert sync.is_synced
    assert held_by(sync) == truth.books[-1]
    assert [event for event in kept if isinstance(event, DepthDiff)] == truth.diffs[of:]
    assert_all_told(kept, truth.diffs[begins:])


@given(changes, rules, st.data())
def test_with_losses_repeats_and_swaps_it_is_right_whenever_it_says_so(
    moves: list[list[tuple[int, int]]], rule: Numbered, data: st.DataObject
) -> None:
    truth = Truth(moves)
    plan = data.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=len(moves), max_size=len(moves)), "fate"
    )
    arrivals = sorted(
        (place + delay + copy, place) for place, (delay, copies) in enumerate(plan) for copy in range(copies)
    )
    sync = machine(rule)
    kept = sync.on_snapshot(truth.snapshot(0))
    for when, place in arrivals:
        kept += sync.on_diff(truth.diffs[place])
        if sync.needs_snapshot and data.draw(st.booleans(), "snapshot now"):
            kept += sync.on_snapshot(truth.snapshot(min(when, len(moves)), when))
        if sync.is_synced and sync.last_seq in truth.seqs:
            assert held_by(sync) == truth.books[truth.seqs.index(sync.last_seq)]
    if sync.needs_snapshot:
        kept += sync.on_snapshot(truth.snapshot(len(moves), len(moves) + 5))
        assert sync.is_synced
        assert held_by(sync) == truth.books[-1]

    diffs = [event for event in kept if isinstance(event, DepthDiff)]
    assert len({diff.last_seq for diff in diffs}) == len(diffs)  # each at most once
    assert_all_told(kept, [truth.diffs[place] for _, place in arrivals])
    assert sync.counts.applied == len([e for e in kept if isinstance(e, DepthDiff | BookSnapshot)])


@given(changes, st.data())
def test_where_order_is_all_there_is_each_snapshot_begins_anew(
    moves: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    truth = Truth(moves, numbered=False)
    sync = machine(InOrder())
    kept: list[Event] = []
    for place, diff in enumerate(truth.diffs):
        if place == 0 or data.draw(st.booleans(), "cut"):
            kept += sync.interrupt("disconnect", T0_NS + place * MS)
            kept += sync.on_snapshot(truth.snapshot(place))
        kept += sync.on_diff(diff)
        assert held_by(sync) == truth.books[place + 1]

    holes = [event for event in kept if isinstance(event, Gap)]
    assert all(gap.from_seq is None for gap in holes)
    assert len({gap.gap_id for gap in holes if gap.state == "open"}) == len(
        {gap.gap_id for gap in holes if gap.state == "closed"}
    )


def assert_all_told(kept: list[Event], given_diffs: list[DepthDiff]) -> None:
    """Each diff is among the kept, or lies in a hole, by number or by time."""
    diffs = {event.last_seq for event in kept if isinstance(event, DepthDiff)}
    holes = {event.gap_id: event for event in kept if isinstance(event, Gap)}.values()
    for diff in given_diffs:
        assert diff.last_seq in diffs or any(_covers(hole, diff) for hole in holes), diff
    for hole in holes:
        assert hole.to_seq is None or (hole.from_seq is not None and hole.from_seq <= hole.to_seq)


def _covers(hole: Gap, diff: DepthDiff) -> bool:
    assert diff.ts_event_ns is not None
    assert diff.first_seq is not None
    if hole.from_seq is not None and hole.to_seq is not None and hole.from_seq <= diff.first_seq <= hole.to_seq:
        return True
    return hole.from_ns <= diff.ts_event_ns and (hole.to_ns is None or diff.ts_event_ns <= hole.to_ns)


MOVES = [[(50, n + 2)] for n in range(8)]


def test_a_snapshot_older_than_what_is_held_is_not_taken() -> None:
    truth = Truth(MOVES)
    sync = machine(Numbered(linked=False))
    sync.on_diff(truth.diffs[5])

    assert sync.on_snapshot(truth.snapshot(2)) == []
    assert sync.needs_snapshot
    assert sync.held == 1
    assert sync.on_snapshot(truth.snapshot(5))[0].feed
    assert held_by(sync) == truth.books[6]


def test_numbers_that_begin_again_end_the_book_once_time_shows_that_it_is_no_repeat() -> None:
    truth = Truth(MOVES)
    sync = machine(Numbered(linked=False))
    sync.on_snapshot(truth.snapshot(0))
    for diff in truth.diffs:
        sync.on_diff(diff)
    again = Truth([[(50, 3)]] * 3)
    soon, late = (_renumbered(again.diffs[0], T0_NS + 8 * MS + wait) for wait in (MS, 2 * NS_PER_S))

    assert sync.on_diff(soon) == []
    (gap,) = sync.on_diff(late)
    assert isinstance(gap, Gap)
    assert gap.reason == "sequence_reset"
    closing = [event for event in sync.on_snapshot(again.snapshot(0, 3_000)) if isinstance(event, Gap)]
    assert [(g.state, g.from_seq, g.to_seq) for g in closing] == [("closed", None, None)]


def _renumbered(diff: DepthDiff, at_ns: int) -> DepthDiff:
    fields = {name: getattr(diff, name) for name in ("bids", "asks", "prev_seq", "first_seq", "last_seq")}
    return DepthDiff(**HEAD, ts_event_ns=at_ns, ts_recv_ns=at_ns, **fields)


def test_a_book_that_stays_crossed_is_given_up() -> None:
    crossing = [[(152, 1)], [(151, 1)]]
    truth = Truth(crossing)
    sync = machine(Numbered(linked=False))
    sync.on_snapshot(truth.snapshot(0))
    bad = [[(160 + n, 1)] for n in range(5)]
    events: list[Event] = []
    for place, diff in enumerate(Truth(bad).diffs):
        as_bid = DepthDiff(
            **HEAD, ts_event_ns=diff.ts_event_ns, ts_recv_ns=diff.ts_recv_ns, bids=diff.asks, asks=[],
            first_seq=11 + place, last_seq=11 + place, prev_seq=10 + place,
        )  # fmt: skip
        events += sync.on_diff(as_bid)
        assert not sync.is_publishable

    assert [event.reason for event in events if isinstance(event, Gap)] == ["crossed"]
    assert sync.needs_snapshot


def test_what_waits_for_a_snapshot_is_bounded_and_what_falls_out_is_told() -> None:
    truth = Truth([[(50, n % 9 + 1)] for n in range(MAX_HELD_DIFFS + 50)])
    sync = machine(Numbered(linked=False))
    for diff in truth.diffs:
        sync.on_diff(diff)
    assert sync.held == MAX_HELD_DIFFS
    assert sync.counts.discarded == 50
    (gap,) = [event for event in sync.on_snapshot(truth.snapshot(60)) if isinstance(event, Gap)]

    assert (gap.from_seq, gap.to_seq) == (11, 70)
    assert gap.from_ns == T0_NS
    assert held_by(sync) == truth.books[-1]


@pytest.mark.parametrize("before", [0, 3])
def test_what_was_held_when_the_stream_was_cut_is_in_the_hole(before: int) -> None:
    """Also where nothing had been kept yet: the hole begins with the first diff that is given up, not with the cut."""
    truth = Truth(MOVES, numbered=False)
    sync = machine(InOrder())
    if before:
        sync.on_snapshot(truth.snapshot(0))
        sync.on_diff(truth.diffs[0])
        sync.reset("x", T0_NS)
    sync.on_diff(truth.diffs[before])
    events = sync.interrupt("disconnect", T0_NS + NS_PER_S) + sync.on_snapshot(truth.snapshot(5, 2_000))
    gap = [event for event in events if isinstance(event, Gap)][-1]

    assert gap.from_ns <= T0_NS + before * MS
    assert gap.state == "closed"
    assert gap.to_ns == T0_NS + 2_000 * MS + 4


def test_far_levels_are_pruned_and_the_near_ones_stay() -> None:
    rule = Numbered(linked=False)
    rule.snapshot_depth = 5
    sync = machine(rule)
    truth = Truth([[(n, 1)] for n in range(20, 50)])
    sync.on_snapshot(truth.snapshot(0))
    for diff in truth.diffs:
        sync.on_diff(diff)

    bids = [int(price) for price, _ in sync.book.bids.top()]
    assert bids[:5] == [50, 49, 48, 47, 46]
    assert len(bids) <= 10
    assert sync.counts.pruned_levels > 0
    assert scaled("1") == 10**18


def test_a_successor_resumes_with_an_open_hole_that_the_next_snapshot_closes() -> None:
    truth = Truth(MOVES)
    sync = machine(Numbered(linked=True))
    (opened,) = sync.resume(T0_NS, 12, "restart")
    sync.on_diff(truth.diffs[4])
    closed = [event for event in sync.on_snapshot(truth.snapshot(4)) if isinstance(event, Gap)]

    assert isinstance(opened, Gap)
    assert (opened.from_seq, opened.state, opened.to_ns) == (13, "open", None)
    assert [(g.gap_id, g.from_seq, g.to_seq) for g in closed] == [(opened.gap_id, 13, 14)]


def test_a_book_that_is_no_longer_wanted_ends_its_hole() -> None:
    sync = machine(Numbered(linked=True))
    sync.resume(T0_NS, 12, "restart")
    (gap,) = sync.end(T0_NS + 9)

    assert isinstance(gap, Gap)
    assert (gap.state, gap.to_ns) == ("closed", T0_NS + 9)
    assert sync.end(T0_NS + 10) == []
