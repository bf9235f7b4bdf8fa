"""C06 (never crossed), C07, C08 and C09: a book that is fed anything ends right, or says that it is not.

The sequences are those of the venue's fixtures, the contents are generated: diff `i` moves levels of its own, so that nothing can be lost without a trace. The judge
is a model book of this file, which shares no code with the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec
from feedplane_core.adapter import BookRule, SnapshotSource
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap
from feedplane_core.names import NS_PER_S
from feedplane_core.sync import BookSync, event_ceiling_ns
from feedplane_testing.venues import BookStream, Venue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MID = 1_000
Side = dict[Decimal, str]
BookEvent = TypeVar("BookEvent", BookSnapshot, DepthDiff)


class Model:
    """The truth: two dicts."""

    def __init__(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]], max_depth: int | None) -> None:
        self.max_depth = max_depth
        self.sides: tuple[Side, Side] = ({}, {})
        self.apply(bids, asks)

    def apply(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> None:
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for price, qty in levels:
                side.pop(Decimal(price), None)
                if Decimal(qty):
                    side[Decimal(price)] = qty
        for side, kept in zip(self.sides, self.levels(), strict=True):
            for price, _ in kept[self.max_depth :] if self.max_depth is not None else []:
                del side[Decimal(price)]

    def levels(self) -> tuple[list[list[str]], list[list[str]]]:
        """Best first."""
        bids, asks = self.sides
        return (
            [[str(price), bids[price]] for price in sorted(bids, reverse=True)],
            [[str(price), asks[price]] for price in sorted(asks)],
        )


class Truth:
    """The venue's own book: its snapshot after any number of its diffs, numbered as the fixture numbers them."""

    def __init__(self, stream: BookStream, rule: BookRule, moves: Sequence[int]) -> None:
        self.rule = rule
        start = [[str(MID - 1 - n), "5"] for n in range(12)], [[str(MID + 1 + n), "5"] for n in range(12)]
        depth = rule.max_depth
        if depth is not None and stream.snapshot.depth is not None:
            depth = stream.snapshot.depth  # what the recorded subscription maintains
        model = Model(*start, depth)
        self.diffs: list[DepthDiff] = []
        self.snapshots = [self._snapshot(stream.snapshot, model, stream.snapshot.last_seq)]
        for number, (recorded, move) in enumerate(zip(stream.diffs, moves, strict=False)):
            bids, asks = _levels(number, move)
            model.apply(bids, asks)
            self.diffs.append(self._diff(recorded, bids, asks, model))
            self.snapshots.append(self._snapshot(stream.snapshot, model, recorded.last_seq, recorded))

    def _checksum(self, recorded: int | None, model: Model) -> int | None:
        bids, asks = model.levels()
        return None if recorded is None else self.rule.checksum(bids[:100], asks[:100])

    def _diff(self, recorded: DepthDiff, bids: list[list[str]], asks: list[list[str]], model: Model) -> DepthDiff:
        return msgspec.structs.replace(
            recorded, bids=bids, asks=asks, checksum=self._checksum(recorded.checksum, model)
        )

    def _snapshot(
        self, recorded: BookSnapshot, model: Model, last_seq: int | None, at: DepthDiff | None = None
    ) -> BookSnapshot:
        bids, asks = model.levels()
        clock = recorded if at is None else at
        return msgspec.structs.replace(
            recorded,
            bids=bids,
            asks=asks,
            last_seq=last_seq,
            checksum=self._checksum(recorded.checksum, model),
            ts_event_ns=clock.ts_event_ns,
            ts_recv_ns=clock.ts_recv_ns,
        )

    def sync(self) -> BookSync:
        first = self.snapshots[0]
        return BookSync(first.exchange, first.market_type, first.instrument, self.rule)

    def synced(self) -> BookSync:
        sync = self.sync()
        assert sync.on_snapshot(self.snapshots[0]) == [self.snapshots[0]]
        return sync

    def holds(self, sync: BookSync, emitted: int) -> bool:
        """Whether the machine's book is the venue's after `emitted` diffs."""
        truth = self.snapshots[emitted]
        return [_values(truth.bids), _values(truth.asks)] == [
            _values(sync.book.bids.top()),
            _values(sync.book.asks.top()),
        ]

    @property
    def is_checked(self) -> bool:
        """Whether a lost diff can be noticed at all."""
        return self.rule.sequenced or self.diffs[0].checksum is not None


def _levels(number: int, move: int) -> tuple[list[list[str]], list[list[str]]]:
    """Diff `number` touches bid and ask at depth `number % 8` and, by `move`, removes or renews one level farther out."""
    depth, qty = number % 8, str(100 + number)
    far = 8 + move % 4
    bids = [[str(MID - 1 - depth), qty], [str(MID - 1 - far), "0" if move % 3 == 0 else str(move + 1)]]
    asks = [[str(MID + 1 + depth), qty]] if move % 2 else []
    return bids, asks


def _values(levels: Sequence[Sequence[str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(qty)) for price, qty in levels]


def _gaps(events: Sequence[Event]) -> list[Gap]:
    return [event for event in events if isinstance(event, Gap)]


MOVES = st.lists(st.integers(0, 11), min_size=64, max_size=64)


def truths(venue: Venue, moves: Sequence[int] = tuple(range(64))) -> list[Truth]:
    streams = venue.book_streams
    assert streams, f"{venue}: no ob_diffs fixture holds a snapshot and three diffs on top of it"
    return [Truth(stream, venue.book_rule(stream.snapshot), moves) for stream in streams]


def feed(sync: BookSync, diffs: Sequence[DepthDiff]) -> list[Event]:
    return [event for diff in diffs for event in sync.on_diff(diff)]


def recover(sync: BookSync, truth: Truth, emitted: int) -> list[Event]:
    """What the runtime does while the machine asks for it: another snapshot."""
    events = sync.on_snapshot(truth.snapshots[emitted]) if sync.needs_snapshot else []
    assert sync.is_synced
    assert truth.holds(sync, emitted)
    return events


def assert_closed(opened: Gap, events: Sequence[Event], truth: Truth, emitted: int) -> None:
    """The snapshot closes the hole that was opened, over all that lies between."""
    (closed,) = _gaps(events)
    assert (closed.gap_id, closed.state) == (opened.gap_id, "closed")
    assert closed.to_ns is not None
    assert closed.to_ns >= closed.from_ns
    assert closed.to_ns >= event_ceiling_ns(truth.snapshots[emitted])


def test_c06_recorded_books_never_cross(venue: Venue) -> None:
    for stream in venue.book_streams:
        first = stream.snapshot
        sync = BookSync(first.exchange, first.market_type, first.instrument, venue.book_rule(first))
        events = [*sync.on_snapshot(first), *feed(sync, stream.diffs)]

        assert events == [first, *stream.diffs]
        assert not sync.book.is_crossed()
        assert sync.is_publishable


@QUICK
@given(moves=MOVES, cuts=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_c09_any_interleaving_ends_in_the_right_book(
    venue: Venue, moves: list[int], cuts: tuple[float, float, float]
) -> None:
    """Diffs from any point on, a snapshot of any age delivered at any point among them: the book ends right, with one more snapshot if it needs one."""
    for truth in truths(venue, moves):
        sync, total = truth.sync(), len(truth.diffs)
        joined, taken = (
            round(cuts[0] * (total - 1)),
            round(cuts[1] * total),
        )  # at least one diff follows: none, none can tell
        if truth.rule.source is SnapshotSource.SOCKET:
            taken = max(taken, joined)
        delivered = taken if truth.rule.source is SnapshotSource.SOCKET else joined + round(cuts[2] * (total - joined))

        feed(sync, truth.diffs[joined:delivered])
        sync.on_snapshot(truth.snapshots[taken])
        feed(sync, truth.diffs[delivered:])

        if truth.rule.source is SnapshotSource.SOCKET or joined <= taken:
            assert sync.is_synced, "a snapshot that joins was refused"
        recover(sync, truth, total)


def test_c07_dropped_diff_yields_a_gap_and_a_resync(venue: Venue) -> None:
    for truth in truths(venue):
        for lost in range(len(truth.diffs) - 1):
            sync = truth.synced()
            feed(sync, truth.diffs[:lost])
            last_seq = sync.last_seq

            (gap,) = _gaps(_notice(sync, truth, lost))

            assert gap.state == "open"
            assert gap.reason == (
                "sequence" if truth.rule.sequenced else "checksum" if truth.is_checked else "disconnect"
            )
            assert gap.from_seq == (None if last_seq is None or not truth.rule.sequenced else last_seq + 1)
            assert gap.from_ns <= event_ceiling_ns(truth.diffs[lost])
            assert sync.needs_snapshot
            assert not sync.is_publishable
            assert_closed(gap, sync.on_snapshot(truth.snapshots[lost + 2]), truth, lost + 2)
            feed(sync, truth.diffs[lost + 2 :])
            recover(sync, truth, len(truth.diffs))


def _notice(sync: BookSync, truth: Truth, lost: int) -> list[Event]:
    """The next diff tells that one was lost; where nothing can, only the end of the socket does."""
    if truth.is_checked:
        return sync.on_diff(truth.diffs[lost + 1])
    return sync.interrupt("disconnect", truth.diffs[lost].ts_recv_ns)


def test_c08_repeated_diff_changes_nothing(venue: Venue) -> None:
    for truth in truths(venue):
        for repeated in range(len(truth.diffs)):
            sync = truth.synced()
            feed(sync, truth.diffs[: repeated + 1])

            again = sync.on_diff(truth.diffs[repeated])

            assert not _gaps(again)
            assert not (again and truth.rule.sequenced), "a numbered diff was kept twice"
            assert truth.holds(sync, repeated + 1)
            assert not _gaps(feed(sync, truth.diffs[repeated + 1 :]))
            assert truth.holds(sync, len(truth.diffs))


def test_c08_overlapping_sockets_give_one_stream(venue: Venue) -> None:
    """A second socket that repeats everything a little later adds nothing."""
    for truth in truths(venue):
        if not truth.rule.sequenced:
            continue  # without numbers two sockets cannot share a book
        sync, kept = truth.synced(), []
        for number, diff in enumerate(truth.diffs):
            kept += sync.on_diff(diff)
            kept += feed(sync, truth.diffs[max(0, number - 1) : number])

        assert kept == truth.diffs


def test_c07_reordered_diffs_are_noticed(venue: Venue) -> None:
    for truth in truths(venue):
        if not truth.is_checked:
            continue  # no number and no checksum: the socket's order is all there is
        for early in range(1, len(truth.diffs) - 1):
            sync = truth.synced()
            swapped = [*truth.diffs[:early], truth.diffs[early + 1], truth.diffs[early]]

            opened = _gaps(feed(sync, swapped))

            assert len(opened) == 1
            assert sync.needs_snapshot
            assert_closed(opened[0], sync.on_snapshot(truth.snapshots[early + 2]), truth, early + 2)
            feed(sync, truth.diffs[early + 2 :])
            recover(sync, truth, len(truth.diffs))


def test_c07_sequence_reset_is_noticed(venue: Venue) -> None:
    """A venue that begins to count anew must not look like one that repeats itself for ever."""
    for truth in truths(venue):
        if not truth.rule.sequenced or truth.diffs[0].ts_event_ns is None:
            continue
        sync = truth.synced()
        feed(sync, truth.diffs)
        renumbered = [_renumbered(diff, truth.diffs[0]) for diff in truth.diffs]

        opened = _gaps(sync.on_diff(renumbered[0]))
        assert [gap.state for gap in opened] == ["open"]
        snapshot = _renumbered(truth.snapshots[1], truth.diffs[0])
        assert_closed(opened[0], sync.on_snapshot(snapshot), truth, 1)
        assert not _gaps(feed(sync, renumbered[1:]))
        assert sync.is_synced
        assert sync.last_seq == renumbered[-1].last_seq
        assert truth.holds(sync, len(truth.diffs))


def _renumbered(event: BookEvent, first: DepthDiff) -> BookEvent:
    """The same event an hour later, numbered as if the venue's first diff had been number 10."""
    base = 10 - (first.first_seq if first.first_seq is not None else first.last_seq or 0)
    shifted = {
        name: None if value is None or value < 0 else max(0, value + base)
        for name in ("first_seq", "last_seq", "prev_seq")
        for value in [getattr(event, name)]
    }
    assert event.ts_event_ns is not None
    later = {"ts_event_ns": event.ts_event_ns + 3_600 * NS_PER_S, "ts_recv_ns": event.ts_recv_ns + 3_600 * NS_PER_S}
    return msgspec.structs.replace(event, **shifted, **later)


def test_c07_bad_checksum_is_noticed(venue: Venue) -> None:
    for truth in truths(venue):
        for bad in [number for number, diff in enumerate(truth.diffs) if diff.checksum is not None]:
            sync = truth.synced()
            feed(sync, truth.diffs[:bad])
            broken = msgspec.structs.replace(truth.diffs[bad], checksum=(truth.diffs[bad].checksum or 0) ^ 1)

            (gap,) = _gaps(sync.on_diff(broken))

            assert gap.reason == "checksum"
            assert sync.needs_snapshot
            assert_closed(gap, sync.on_snapshot(truth.snapshots[bad + 1]), truth, bad + 1)
            feed(sync, truth.diffs[bad + 1 :])
            recover(sync, truth, len(truth.diffs))
