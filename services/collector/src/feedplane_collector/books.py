"""Order books of the pipeline: syncing, hand-over between sockets, L1 where the venue has no quotes of its own, and their account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from feedplane_core.book import FAR
from feedplane_core.events import BookSnapshot, DepthDiff, DerivedL1, Event, Gap
from feedplane_core.names import Feed
from feedplane_core.sync import BookSync

from feedplane_collector.accounts import Account
from feedplane_collector.handover import Handover
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
        self._repeats = 0  # left out at hand-overs
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
            if state.owner not in (0, source.id) and sync.is_synced and not state.is_cut:
                self._drop_handover(state)
                state.handover = Handover(source.id, event)
                return
            if state.handover is not None:
                self._drop_handover(state)
            state.owner = source.id
        self._after(state, sync, lane, sync.is_synced, sync.on_snapshot(event), event, is_live=source is not None)

    def on_diff(self, source: BookSource | None, event: Event) -> None:
        assert isinstance(event, DepthDiff)
        found = self._found(source, event)
        if found is None:
            return
        state, sync, lane = found
        if source is not None and state.follows_one_socket and not self._is_followed(state, source.id, event, lane):
            return
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

    def _is_followed(self, state: InstrumentState, source_id: int, diff: DepthDiff, lane: Lane) -> bool:
        """Whether this diff continues the book; else it has been held or ignored."""
        handover = state.handover
        if state.owner == source_id:
            if handover is None or not handover.is_reached_by_old(diff):
                return True
            lane.account.ignored += 1
            self._hand_over(state)
            return False
        if handover is not None and handover.to_id == source_id:
            if handover.hold(diff):
                self._hand_over(state)
            return False
        lane.account.ignored += 1
        return False

    def _hand_over(self, state: InstrumentState) -> None:
        handover, sync, lane = state.handover, state.sync, state.book
        assert handover is not None
        assert sync is not None
        assert lane is not None
        state.handover = None
        state.owner = handover.to_id
        snapshot, diffs, repeats = handover.take()
        self._repeats += repeats
        lane.account.duplicates += repeats
        self._after(state, sync, lane, sync.is_synced, sync.on_snapshot(snapshot), snapshot)
        for diff in diffs:
            self._after(state, sync, lane, sync.is_synced, sync.on_diff(diff), diff)

    def _drop_handover(self, state: InstrumentState) -> None:
        """A newer snapshot makes an unfinished hand-over void: what it held is in that snapshot, or with the socket that follows."""
        if state.handover is not None:
            self._repeats += state.handover.held
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
            state.owner = 0
            self.on_cut(state, now_ns)
            if state.handover is None or reason:  # what it would have brought up to the next snapshot is missing
                self._keeper.gaps(state.interrupt(Feed.OB_DIFFS, reason or "rotation", now_ns))
            if state.handover is not None:
                self._hand_over(state)
            elif state.sync is not None and state.sync.needs_snapshot:
                self.wants_snapshot.add(state.instrument.instrument)

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
        gone = self._removed_ignored + self._removed_discarded + self._repeats
        held = 0
        for state in self._states.values():
            if state.sync is not None:
                gone += state.sync.counts.ignored + state.sync.counts.discarded
                held += state.held
        account.ignored += gone - self._settled
        self._settled = gone
        account.held = held
