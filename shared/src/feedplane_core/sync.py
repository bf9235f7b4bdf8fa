"""`BookSync`: one machine that keeps one book right, or says that it is not.

    AWAITING_SNAPSHOT --snapshot that joins the held diffs--> SYNCED --break--> AWAITING_SNAPSHOT

It is fed snapshots and diffs from any number of sockets, in the order of their arrival, and gives back what may be kept as history: snapshots, diffs that follow
without a hole, and a `Gap` for everything in between. What a venue means by "follows" is the venue's `BookRule`.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

from .adapter import BookRule, SnapshotSource, Verdict
from .book import FAR, OrderBook
from .events import BookSnapshot, DepthDiff, Event, Gap
from .identity import raw_hash
from .names import Feed, MarketType

MAX_HELD_DIFFS = 10_000
"""Diffs kept while a snapshot is on its way; beyond, the oldest goes and the gap grows."""
CROSSED_LIMIT = 3
"""Consecutive crossed states that end a book: a venue may send both sides of a move in two messages, not in four."""
CHECKSUM_LEVELS = 25
"""Levels per side that a venue's checksum covers at most."""
BAD_SNAPSHOTS_LIMIT = 2
"""Snapshots in a row that fail their own checksum: no loss explains that, so it is our reading of the checksum that is wrong (a precision that has changed), not the book."""
_PRUNE_SLACK = 2
DEFERRED = FAR - 1
"""`near` of a diff whose levels have been taken note of, not yet looked at."""
_RESET_MARGIN_NS = 1_000_000_000
"""A diff numbered as old but stamped this much newer than the newest applied is no repeat: the venue began to count anew. Copies of other sockets differ by less."""


class SyncState(Enum):
    """Whether the book may be published."""

    AWAITING_SNAPSHOT = "awaiting_snapshot"
    SYNCED = "synced"


class SyncCounts(msgspec.Struct):
    """What became of what the machine was given, since it was made."""

    applied: int = 0
    ignored: int = 0  # stale or repeated: already contained in the book
    discarded: int = 0  # lost to a hole; a Gap covers each
    gaps: int = 0
    checksum_failures: int = 0
    pruned_levels: int = 0


def event_floor_ns(event: Event) -> int:
    """The earlier of the venue's and our time: what was issued after it cannot have been missed before it."""
    return event.ts_recv_ns if event.ts_event_ns is None else min(event.ts_event_ns, event.ts_recv_ns)


def event_ceiling_ns(event: Event) -> int:
    """The later of the venue's and our time."""
    return event.ts_recv_ns if event.ts_event_ns is None else max(event.ts_event_ns, event.ts_recv_ns)


class BookSync:
    """The book of one instrument and its place in the venue's sequence.

    `near` tells how near to the best the last call changed something (see `BookSide.apply`), so that callers publish only what moved.

    With `defers`, diffs that need no look at the book (no checksum, no depth to maintain) are worked in by `settle`, which whoever shows the book calls first; sequences are
    judged at once all the same. `near` is then `DEFERRED`.
    """

    def __init__(
        self, exchange: str, market_type: MarketType, instrument: str, rule: BookRule, *, defers: bool = False
    ) -> None:
        self.instrument = instrument
        self.rule = rule
        self.book = OrderBook()
        self.state = SyncState.AWAITING_SNAPSHOT
        self.last_seq: int | None = None
        self.near = FAR
        self.counts = SyncCounts()
        self._exchange = exchange
        self._market_type = market_type
        self._held: deque[DepthDiff] = deque()
        self._snapshot: BookSnapshot | None = None  # until a diff has joined it
        self._crossed = 0
        self._gap: Gap | None = None  # open hole
        self._last_ns: int | None = None  # floor of the last event kept
        self._last_event_ns: int | None = None  # newest venue time of what was kept since the last snapshot
        self._lost_from: DepthDiff | None = None  # first diff discarded since the machine was last whole
        self._max_depth = rule.max_depth
        self._follows = rule.follows
        self._defers = defers
        self._bad_snapshots = 0  # in a row
        self._contained_ns: int | None = None  # floor of the newest held diff that the snapshot at hand contains

    @property
    def is_verified(self) -> bool:
        """False while the venue's checksums are not heeded, because its snapshots fail them: told, and tried again with each message."""
        return self._bad_snapshots < BAD_SNAPSHOTS_LIMIT

    @property
    def is_synced(self) -> bool:
        return self.state is SyncState.SYNCED

    @property
    def is_publishable(self) -> bool:
        """Synced, two-sided and not crossed: what a reader may be shown."""
        return self.state is SyncState.SYNCED and not self._crossed and self.book.is_two_sided()

    @property
    def needs_snapshot(self) -> bool:
        return self.state is SyncState.AWAITING_SNAPSHOT

    @property
    def held(self) -> int:
        """Diffs waiting for a snapshot."""
        return len(self._held)

    @property
    def position(self) -> tuple[int | None, int | None]:
        """(time, sequence) of the last event kept: where a successor resumes."""
        return self._last_ns, self.last_seq

    def resume(self, last_ns: int, last_seq: int | None, reason: str) -> list[Event]:
        """Continue after a predecessor that kept everything up to here: what lies between is a hole until proven otherwise."""
        self._last_ns, self.last_seq = last_ns, last_seq
        return self._open_gap(reason, last_ns, last_ns)

    def on_snapshot(self, snapshot: BookSnapshot) -> list[Event]:
        """Take a whole book; returns it, the held diffs that follow it and the closing of a gap, or `[]` if it is too old to join them."""
        self.near = FAR
        if self.rule.source is SnapshotSource.REST and self.is_synced:
            self.counts.ignored += 1
            return []
        held, self._held = self._held, deque()
        first_kept = self._skip_stale(snapshot, held)
        if first_kept is Verdict.GAP:
            self._held = held
            self.counts.ignored += 1
            return []
        if not self._is_acceptable(snapshot):
            self._held = held
            self.counts.checksum_failures += 1
            self.counts.ignored += 1
            return []
        events: list[Event] = [snapshot, *self._close_gap(snapshot)]
        self._install(snapshot)
        for diff in held:
            events += self.on_diff(diff)
        self.near = 0
        return events

    def extends(self, diff: DepthDiff) -> bool:
        """Whether `diff` is the usual one: it follows a synced book that need not be looked at. It has been taken note of then; else nothing was done, and `on_diff` tells.

        Written out flat: it runs for most messages that there are.
        """
        if (
            self.state is not SyncState.SYNCED
            or self._snapshot is not None
            or not self._defers
            or self._max_depth is not None
            or self._crossed
            or diff.checksum is not None
            or self._follows(self.last_seq, diff) is not Verdict.APPLY
        ):
            return False
        self.book.defer(diff.bids, diff.asks)
        if diff.last_seq is not None:
            self.last_seq = diff.last_seq
        at_ns, recv_ns = diff.ts_event_ns, diff.ts_recv_ns
        self._last_ns = recv_ns if at_ns is None or at_ns > recv_ns else at_ns
        self._last_event_ns = at_ns
        self.counts.applied += 1
        self.near = DEFERRED
        return True

    def on_diff(self, diff: DepthDiff) -> list[Event]:
        """`[diff]` when it follows, `[]` while held or when stale, `[Gap]` on a break (the diff is then held for the next snapshot)."""
        if self.extends(diff):
            return [diff]
        self.near = FAR
        if self.state is SyncState.AWAITING_SNAPSHOT:
            self._hold(diff)
            return []
        verdict = self.rule.joins(self._snapshot, diff) if self._snapshot else self.rule.follows(self.last_seq, diff)
        if verdict is Verdict.STALE and not self._is_from_new_count(diff):
            self.counts.ignored += 1
            return []
        if verdict is not Verdict.APPLY:
            events = self._break("sequence" if verdict is Verdict.GAP else "sequence_reset", diff)
            self._hold(diff)
            return events
        return self._apply(diff)

    def adopt(self, snapshot: BookSnapshot | None, last_seq: int | None) -> None:
        """Go on with another socket's count, of which `last_seq` is what the book has had; `snapshot` is that count's own where nothing has joined it yet."""
        self._snapshot = snapshot if self.rule.sequenced else None
        self.last_seq = last_seq

    def interrupt(self, reason: str, now_ns: int) -> list[Event]:
        """The stream was cut. Where diffs are numbered and snapshots come by REST the next diff proves continuity; elsewhere the book ends here."""
        if self.rule.sequenced and self.rule.source is SnapshotSource.REST:
            return []
        return self.reset(reason, now_ns)

    def reset(self, reason: str, now_ns: int) -> list[Event]:
        """Distrust the book until the next snapshot."""
        self.near = FAR
        self.drop_held()
        from_ns = self._last_ns
        if from_ns is None and self._lost_from is not None:
            from_ns = event_floor_ns(self._lost_from)
        events = self._open_gap(reason, from_ns, now_ns) if from_ns is not None else []
        self.state = SyncState.AWAITING_SNAPSHOT
        self._snapshot = None
        self._crossed = 0
        return events

    def end(self, now_ns: int) -> list[Gap]:
        """Nothing more is wanted of this book: a hole that is open ends here."""
        gap, self._gap = self._gap, None
        return [] if gap is None else [msgspec.structs.replace(gap, ts_recv_ns=now_ns, to_ns=now_ns, state="closed")]

    def drop_held(self) -> None:
        """Give up the diffs that wait for a snapshot; the next gap covers them."""
        while self._held:
            self._discard(self._held.popleft())

    # What follows keeps the invariant: a diff given to the machine is applied, ignored as contained, held, or covered by a gap.

    def _is_from_new_count(self, diff: DepthDiff) -> bool:
        newest = self._last_event_ns
        return newest is not None and diff.ts_event_ns is not None and diff.ts_event_ns > newest + _RESET_MARGIN_NS

    def _hold(self, diff: DepthDiff) -> None:
        if len(self._held) >= MAX_HELD_DIFFS:
            self._discard(self._held.popleft())
        self._held.append(diff)

    def _discard(self, diff: DepthDiff) -> None:
        self.counts.discarded += 1
        if self._lost_from is None:
            self._lost_from = diff

    def _skip_stale(self, snapshot: BookSnapshot, held: deque[DepthDiff]) -> Verdict:
        """Drop held diffs that the snapshot contains; GAP (and nothing dropped) if it is older than the first of the others."""
        kept = len(held)
        verdict = Verdict.APPLY
        for index, diff in enumerate(held):
            verdict = self.rule.joins(snapshot, diff)
            if verdict is not Verdict.STALE:
                kept = index
                break
        if verdict is Verdict.GAP:
            return Verdict.GAP
        for _ in range(kept):
            contained = held.popleft()
            self._contained_ns = event_floor_ns(contained)
            self._discard(contained)
        return Verdict.APPLY

    def _install(self, snapshot: BookSnapshot) -> None:
        self.book.replace(snapshot.bids, snapshot.asks)
        self.state = SyncState.SYNCED
        self.last_seq = snapshot.last_seq
        if self.rule.max_depth is not None and snapshot.depth is not None:
            self._max_depth = snapshot.depth  # what this subscription maintains; a recording's may be another than ours
        self._snapshot = snapshot if self.rule.sequenced else None
        self._crossed = 0
        self._last_ns = self._floor_of(snapshot)
        self._last_event_ns = snapshot.ts_event_ns
        self.counts.applied += 1
        self.near = 0

    def _floor_of(self, snapshot: BookSnapshot) -> int:
        """A time that is not after the snapshot's content.

        One that was asked for and bears no time is older than its arrival: as old as a diff that it contains, or as what was had before.
        """
        contained_ns, self._contained_ns = self._contained_ns, None
        if snapshot.ts_event_ns is not None or self.rule.source is SnapshotSource.SOCKET:
            return event_floor_ns(snapshot)
        known = [ns for ns in (contained_ns, self._last_ns) if ns is not None]
        return min(max(known), snapshot.ts_recv_ns) if known else snapshot.ts_recv_ns

    def settle(self) -> int:
        """Work in what was deferred; returns how near to the best it came. A book that is crossed then is judged diff by diff from here on."""
        near = self.book.take_near()
        if near < FAR:
            if self.rule.snapshot_depth is not None:
                self._prune_far(self.rule.snapshot_depth)
            self._crossed = 1 if self.book.is_crossed() else 0
        return near

    def _apply(self, diff: DepthDiff) -> list[Event]:
        if self._defers and self._max_depth is None and diff.checksum is None and not self._crossed:
            self.book.defer(diff.bids, diff.asks)
            return self._applied(diff, DEFERRED)
        return self._apply_at_once(diff)

    def _apply_at_once(self, diff: DepthDiff) -> list[Event]:
        near = self.book.apply(diff.bids, diff.asks)
        if self._max_depth is not None:
            self.counts.pruned_levels += self.book.prune(self._max_depth)
        elif self.rule.snapshot_depth is not None:
            self._prune_far(self.rule.snapshot_depth)
        if diff.checksum is not None and not self._passes_checksum(diff.checksum):
            self.counts.checksum_failures += 1
            events = self._break("checksum", diff)
            self._discard(diff)
            return events
        self._crossed = self._crossed + 1 if self.book.is_crossed() else 0
        if self._crossed > CROSSED_LIMIT:
            events = self._break("crossed", diff)
            self._discard(diff)
            return events
        return self._applied(diff, near)

    def _applied(self, diff: DepthDiff, near: int) -> list[Event]:
        self._snapshot = None
        if diff.last_seq is not None:
            self.last_seq = diff.last_seq
        self._last_ns = event_floor_ns(diff)
        self._last_event_ns = diff.ts_event_ns
        self.counts.applied += 1
        self.near = near
        return [diff]

    def _prune_far(self, depth: int) -> None:
        # Levels beyond the snapshot's horizon are known only where they changed; they are kept in bounds, not trusted.
        for side in (self.book.bids, self.book.asks):
            if len(side) > _PRUNE_SLACK * depth:
                self.counts.pruned_levels += side.prune(depth)

    def _passes_checksum(self, expected: int) -> bool:
        actual = self.rule.checksum(self.book.bids.top(CHECKSUM_LEVELS), self.book.asks.top(CHECKSUM_LEVELS))
        if actual is None:
            return True
        if actual == expected:
            self._bad_snapshots = 0
            return True
        return not self.is_verified

    def _is_acceptable(self, snapshot: BookSnapshot) -> bool:
        """Whether its checksum fits, or has failed so often that it says nothing."""
        if snapshot.checksum is None:
            return True
        actual = self.rule.checksum(snapshot.bids, snapshot.asks)
        if actual is None or actual == snapshot.checksum:
            self._bad_snapshots = 0
            return True
        self._bad_snapshots += 1
        return not self.is_verified

    def _break(self, reason: str, at: DepthDiff) -> list[Event]:
        from_ns = self._last_ns if self._last_ns is not None else event_floor_ns(at)
        events = self._open_gap(reason, from_ns, at.ts_recv_ns)
        self.state = SyncState.AWAITING_SNAPSHOT
        self._snapshot = None
        self._crossed = 0
        return events

    def _open_gap(self, reason: str, from_ns: int, now_ns: int) -> list[Event]:
        if self._gap is not None:
            return []
        self.counts.gaps += 1
        from_seq = None if self.last_seq is None or not self.rule.sequenced else self.last_seq + 1
        self._gap = Gap(
            exchange=self._exchange,
            market_type=self._market_type,
            instrument=self.instrument,
            ts_event_ns=None,
            ts_recv_ns=now_ns,
            gap_id=raw_hash(self._exchange, self.instrument, Feed.OB_DIFFS, from_ns, from_seq),
            gap_feed=Feed.OB_DIFFS,
            from_ns=from_ns,
            to_ns=None,
            from_seq=from_seq,
            reason=reason,
        )
        return [self._gap]

    def _close_gap(self, snapshot: BookSnapshot) -> list[Event]:
        """The hole up to this snapshot, if there is one: opened by a break, or at the start by diffs that came before any snapshot."""
        lost, self._lost_from = self._lost_from, None
        if self._gap is None and lost is not None:
            self.last_seq = None if lost.first_seq is None else lost.first_seq - 1
            self._open_gap("start" if self._last_ns is None else "discarded", event_floor_ns(lost), snapshot.ts_recv_ns)
        if self._gap is None:
            return []
        gap, self._gap = self._gap, None
        first, last = gap.from_seq, snapshot.last_seq
        if first is None or last is None or last < first:  # the venue began to count anew: only time tells the range
            first = last = None
        # Where a book begins, the snapshot contains what came before it: the history of the book is whole from there on, and where another process follows the
        # same book (the old pod of a rollout, a second copy) before that too.
        is_beginning = gap.reason == "start"
        return [
            msgspec.structs.replace(
                gap,
                ts_recv_ns=snapshot.ts_recv_ns,
                to_ns=event_ceiling_ns(snapshot),
                from_seq=first,
                to_seq=last,
                state="repaired" if is_beginning else "closed",
                repaired_from="snapshot" if is_beginning else "",
            )
        ]
