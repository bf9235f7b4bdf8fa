"""Order books of the pipeline: syncing, hand-over between sockets, L1 where the venue has no quotes of its own, and their account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from feedplane_core.adapter import Verdict
from feedplane_core.book import FAR
from feedplane_core.events import BookSnapshot, DepthDiff, DerivedL1, Event, Gap
from feedplane_core.names import Feed
from feedplane_core.sync import BookSync

from feedplane_collector.accounts import Account
from feedplane_collector.handover import Handover, Place, book_time_ns
from feedplane_collector.keeping import Keeper
from feedplane_collector.state import InstrumentState, Lane


class BookSource(Protocol):
    """What a book needs to know of the socket that brought an event."""

    id: int
    seen: dict[str, int]


class Books:
    """The books of all instruments of one collector."""

    def __init__(self, states: Mapping[str, InstrumentState], keeper: Keeper, *, derives_l1: bool) -> None:
        self._states = states
        self._keeper = keeper
        self._derives_l1 = derives_l1
        self._removed_ignored = self._removed_discarded = 0
        self._not_needed = 0  # of hand-overs: snapshots, and what was kept back
        self._settled = 0
        self.on_cut: Callable[[InstrumentState, int], None] = lambda _state, _now_ns: None
        """Told before a book is given up: the last chance to show what it held."""
        self.wants_snapshot: set[str] = set()
        """Instruments whose book needs a new snapshot; the runtime takes from here."""

    def on_snapshot(self, source: BookSource | None, event: Event) -> None:
        assert isinstance(event, BookSnapshot)
        found = self._found(source, event)
        if found is None:
            return
        state, sync, lane = found
        if source is not None and state.follows_one_socket:
            self._drop_handover(state)
            if state.owner not in (0, source.id) and sync.is_synced and not state.is_cut:
                state.handover = Handover(source.id, event)
                return
            state.owner = source.id
            state.place = Place(book_time_ns(event))
        self._after(state, sync, lane, sync.is_synced, sync.on_snapshot(event), event, is_live=source is not None)

    def on_diff(self, source: BookSource | None, event: Event) -> None:
        assert isinstance(event, DepthDiff)
        found = self._found(source, event)
        if found is None:
            return
        state, sync, lane = found
        if source is not None and state.follows_one_socket:
            self._on_socket_diff(state, sync, lane, source.id, event)
        elif lane.is_requested and sync.extends(event):  # the usual one: `_after`, less what cannot have changed
            state.ts_event_ns = event.ts_event_ns
            state.is_cut = False
            self._keeper.keep(state.instrument, event, Feed.OB_DIFFS, lane.account)
        else:
            self._after(state, sync, lane, sync.is_synced, sync.on_diff(event), event)

    def _found(
        self, source: BookSource | None, event: BookSnapshot | DepthDiff
    ) -> tuple[InstrumentState, BookSync, Lane] | None:
        state = self._states.get(event.instrument)
        if state is None or state.sync is None or state.book is None:
            account = self._account()
            account.received += 1
            account.ignored += 1
            return None
        state.book.account.received += 1
        if source is not None:
            source.seen[state.book.key] = event.ts_recv_ns
        return state, state.sync, state.book

    def _account(self) -> Account:
        return self._keeper.accounts[Feed.OB_DIFFS]

    # Hand-over: see `Handover`

    def _on_socket_diff(
        self, state: InstrumentState, sync: BookSync, lane: Lane, source_id: int, diff: DepthDiff
    ) -> None:
        """A change of a book that follows one socket: it continues the book, waits for a hand-over, or is ignored."""
        handover = state.handover
        if handover is not None and handover.to_id == source_id:
            if handover.is_reached(state.place):
                self._offer(state, sync, lane, handover, diff)
            elif not handover.hold(diff):
                self._begin_anew(state, sync, lane, handover, "rotation", diff.ts_recv_ns)
            return
        if state.owner != source_id and not (not state.owner and sync.needs_snapshot and sync.rule.sequenced):
            lane.account.ignored += (
                1  # (the first ones of a socket that is asked for its snapshot afterwards: held, or covered by a hole)
            )
            return
        self._follow(state, sync, lane, diff)
        if handover is not None and handover.is_reached(state.place):
            held, handover.held = handover.held, []
            for waited in held:
                self._offer(state, sync, lane, handover, waited)

    def _follow(self, state: InstrumentState, sync: BookSync, lane: Lane, diff: DepthDiff) -> None:
        self._after(state, sync, lane, sync.is_synced, sync.on_diff(diff), diff)
        if sync.is_synced:
            state.place.pass_by(diff)

    def _offer(self, state: InstrumentState, sync: BookSync, lane: Lane, handover: Handover, diff: DepthDiff) -> None:
        """A change of the new socket, once the old one has reached its snapshot: the first that the old one has not had makes the book go on with the new one."""
        if state.handover is not handover:  # passed over by one before
            self._follow(state, sync, lane, diff)
            return
        verdict = handover.follows(sync.rule, diff)
        if verdict is Verdict.GAP:  # the new stream has a hole of its own: it cannot take over without another snapshot
            lane.account.ignored += 1
            self._drop_handover(state)
        elif verdict is Verdict.STALE:
            lane.account.ignored += 1
        elif state.place.has_had(diff):
            handover.skip(diff)
            lane.account.duplicates += 1
            lane.account.ignored += 1
        else:
            state.handover = None
            state.owner = handover.to_id
            self._not_needed += 1  # the snapshot
            sync.adopt(handover.pending_snapshot, handover.last_seq)
            self._follow(state, sync, lane, diff)

    def _begin_anew(
        self, state: InstrumentState, sync: BookSync, lane: Lane, handover: Handover, reason: str, now_ns: int
    ) -> None:
        """The old socket will not reach the new one's snapshot: the book begins there. With a `reason` what lies between may be missing."""
        if reason:
            self._keeper.gaps(state.interrupt(Feed.OB_DIFFS, reason, now_ns))
        state.handover = None
        state.owner = handover.to_id
        state.place = Place(book_time_ns(handover.snapshot))
        self._after(state, sync, lane, sync.is_synced, sync.on_snapshot(handover.snapshot), handover.snapshot)
        for diff in handover.held:
            self._follow(state, sync, lane, diff)

    def _drop_handover(self, state: InstrumentState) -> None:
        """A newer snapshot makes an unfinished hand-over void: what it kept back is in that snapshot, or with the socket that is followed."""
        if state.handover is not None:
            self._not_needed += state.handover.waiting
            state.handover = None

    def awaits(self, source_id: int) -> bool:
        """Whether a book is about to pass to this socket."""
        return any(s.handover is not None and s.handover.to_id == source_id for s in self._states.values())

    def leave(self, source_id: int, reason: str, now_ns: int) -> None:
        """A socket is gone: books that followed it go over to the next, or to none. `reason` is empty where it was read to its end."""
        for state in self._states.values():
            if state.handover is not None and state.handover.to_id == source_id:
                self._drop_handover(state)
            if state.owner != source_id:
                continue
            self.on_cut(state, now_ns)
            self._pass_on(state, reason, now_ns)

    def _pass_on(self, state: InstrumentState, reason: str, now_ns: int) -> None:
        handover, sync, lane = state.handover, state.sync, state.book
        assert sync is not None
        assert lane is not None
        state.owner = 0
        if handover is None:
            self._keeper.gaps(state.interrupt(Feed.OB_DIFFS, reason or "rotation", now_ns))
            if sync.needs_snapshot:
                self.wants_snapshot.add(state.instrument.instrument)
        elif handover.is_reached(state.place):
            state.owner = handover.to_id  # it lags: what the old one has had is left out until it has caught up
        else:
            self._begin_anew(state, sync, lane, handover, reason, now_ns)

    # After the sync machine has spoken

    def _after(
        self,
        state: InstrumentState,
        sync: BookSync,
        lane: Lane,
        was_synced: bool,
        kept: list[Event],
        at: BookSnapshot | DepthDiff,
        is_live: bool = True,
    ) -> None:
        for event in kept:
            if type(event) is Gap:
                self._keeper.gaps((event,))
            elif lane.is_requested:
                self._keeper.keep(state.instrument, event, Feed.OB_DIFFS, lane.account)
            else:
                lane.account.ignored += 1
        near = sync.near
        if near < FAR:
            state.ts_event_ns = at.ts_event_ns
            if near < state.near_top20:  # noqa: PLR1730 - min() is a call
                state.near_top20 = near
            if near < state.near_top5:  # noqa: PLR1730
                state.near_top5 = near
            if near == 0 and self._derives_l1 and sync.is_publishable:
                self._derive_l1(state, sync, at)
        if kept and is_live:
            state.is_cut = False
        if sync.needs_snapshot:
            self.wants_snapshot.add(state.instrument.instrument)
        if sync.is_synced is not was_synced:
            status = "synced" if sync.is_synced else "resync"
            self._keeper.status(state.instrument, Feed.OB_DIFFS, status, at.ts_recv_ns)
            if sync.is_synced and not sync.is_verified:
                self._keeper.status(state.instrument, Feed.OB_DIFFS, "unverified", at.ts_recv_ns)

    def _derive_l1(self, state: InstrumentState, sync: BookSync, at: BookSnapshot | DepthDiff) -> None:
        bid, ask = sync.book.bids.best(), sync.book.asks.best()
        assert bid is not None
        assert ask is not None
        account = self._keeper.accounts[Feed.L1]
        account.received += 1
        quote = DerivedL1(
            exchange=at.exchange,
            market_type=at.market_type,
            instrument=at.instrument,
            ts_event_ns=at.ts_event_ns,
            ts_recv_ns=at.ts_recv_ns,
            bid_price=bid[0],
            bid_qty=bid[1],
            ask_price=ask[0],
            ask_qty=ask[1],
            seq=sync.last_seq,
        )
        self._keeper.keep_quote(state.instrument, quote, account, state.last_price, state.last_qty)

    # The end of a book, and the account

    def forget(self, state: InstrumentState) -> None:
        """An instrument is no longer followed; what its book held is counted as ignored."""
        self.wants_snapshot.discard(state.instrument.instrument)
        if state.sync is not None:
            self._removed_ignored += state.sync.counts.ignored + state.held
            self._removed_discarded += state.sync.counts.discarded

    def let_go_of_held(self) -> None:
        """The end: diffs that wait for a snapshot will not get one, and no socket will take over."""
        for state in self._states.values():
            self._drop_handover(state)
            if state.sync is not None:
                state.sync.drop_held()

    def settle_account(self) -> None:
        """Bring the `ob_diffs` account up to date with what the sync machines ignored, discarded and hold: they count for themselves."""
        account = self._account()
        gone = self._removed_ignored + self._removed_discarded + self._not_needed
        held = 0
        for state in self._states.values():
            if state.sync is not None:
                gone += state.sync.counts.ignored + state.sync.counts.discarded
                held += state.held
        account.ignored += gone - self._settled
        self._settled = gone
        account.held = held
