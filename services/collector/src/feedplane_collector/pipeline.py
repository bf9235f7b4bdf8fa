"""From a frame to columns: decode, de-duplicate, keep books right, account for everything. No I/O and no clock.

The pipeline is the one owner of what is known per instrument; sockets come and go around it, and several may carry the same channel while one replaces another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from feedplane_core.adapter import Adapter, Session, Tag
from feedplane_core.book import FAR
from feedplane_core.errors import DecodeError
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    DerivedL1,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Status,
    TopOfBook,
    Trade,
)
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, Feed
from feedplane_core.sync import BookSync

from feedplane_collector.accounts import CONTROL, GAPS, INSTRUMENTS, STATUS, UNKNOWN, Accounts
from feedplane_collector.shedding import Pressure, ShedLedger, sheds
from feedplane_collector.state import InstrumentState, Position


class ColumnSink(Protocol):
    """Where kept events go: `feedplane_journal.columns.Columns`."""

    def append(self, event: Event, last_price: str | None = None, last_qty: str | None = None) -> None: ...

    def append_instrument(self, instrument: Instrument, ts_recv_ns: int) -> None: ...


class FrameSource(Protocol):
    """A live socket as the pipeline sees it."""

    id: int
    session: Session
    seen: dict[tuple[str, Feed], int]
    """Receive time of the last event per (instrument, feed)."""
    channel_feeds: dict[str, Feed]
    """Feed by the venue's channel name."""
    decode_errors: int


OnRejected = Callable[[DecodeError, bytes, Feed | None, int], None]
"""Told of each frame that was not decoded: (error, frame, feed if known, receive time)."""


class Pipeline:
    """All instruments of one exchange and shard."""

    def __init__(self, adapter: Adapter, feeds: Iterable[Feed], columns: ColumnSink, on_rejected: OnRejected) -> None:
        self.adapter = adapter
        self.requested = frozenset(feeds)
        self.subscribed = subscribed_feeds(adapter, self.requested)
        self.columns = columns
        self.accounts = Accounts()
        self.states: dict[str, InstrumentState] = {}
        self.shed = ShedLedger()
        self.pressure = Pressure.NONE
        self.wants_snapshot: set[str] = set()
        """Instruments whose book needs a new snapshot; the runtime takes from here."""
        self._on_rejected = on_rejected
        self._derives_l1 = Feed.L1 in self.requested and Feed.L1 not in adapter.offers
        self._resume: dict[tuple[str, Feed], Position] = {}
        self._book_counts_of_removed = [0, 0]  # ignored, discarded
        self._route: dict[type[Event], Callable[[FrameSource | None, Event], None]] = {
            Trade: self._on_trade,
            TopOfBook: self._on_top_of_book,
            BookSnapshot: self._on_snapshot,
            DepthDiff: self._on_diff,
            Liquidation: self._on_plain,
            Kline: self._on_plain,
            MarkPrice: self._on_plain,
            FundingRate: self._on_plain,
            OpenInterest: self._on_plain,
        }

    # Instruments

    def add_instrument(self, instrument: Instrument, now_ns: int) -> None:
        """Start to follow an instrument, or take over its changed metadata."""
        held = self.states.get(instrument.instrument)
        if held is not None:
            held.instrument = instrument
        else:
            state = InstrumentState(self.adapter, instrument, self.subscribed)
            self.states[instrument.instrument] = state
            for feed in self.subscribed:
                position = self._resume.pop((instrument.instrument, feed), None)
                if position is not None:
                    self._emit_gaps(state.resume(feed, position))
        self.accounts.produced(INSTRUMENTS)
        self.accounts[INSTRUMENTS].buffered += 1
        self.columns.append_instrument(instrument, now_ns)

    def remove_instrument(self, name: str) -> None:
        """Stop following an instrument; what its book held is counted as ignored."""
        state = self.states.pop(name, None)
        self.wants_snapshot.discard(name)
        if state is not None and state.sync is not None:
            self._book_counts_of_removed[0] += state.sync.counts.ignored + state.sync.held
            self._book_counts_of_removed[1] += state.sync.counts.discarded

    @property
    def halted(self) -> frozenset[str]:
        """Instruments from which silence is to be expected."""
        return frozenset(
            name for name, state in self.states.items() if state.instrument.status is not InstrumentStatus.TRADING
        )

    def resume_from(self, positions: dict[tuple[str, Feed], Position]) -> None:
        """Where a predecessor stopped; used as instruments are added."""
        self._resume.update(positions)

    def positions(self) -> dict[tuple[str, Feed], Position]:
        """Where a successor resumes; unclaimed positions of a predecessor are handed on."""
        found = dict(self._resume)
        for name, state in self.states.items():
            found.update({(name, feed): position for feed, position in state.positions().items()})
        return found

    # Frames and bodies

    def on_frame(self, source: FrameSource, frame: bytes, recv_ns: int) -> None:
        """One message of one socket."""
        try:
            events = source.session.decode(frame, recv_ns)
        except DecodeError as error:
            self._reject(source, error, frame, recv_ns)
            return
        if not events:
            control = self.accounts[CONTROL]
            control.received += 1
            control.ignored += 1
            return
        route = self._route
        for event in events:
            route[type(event)](source, event)

    def on_delivery(self, source: FrameSource, tag: Tag, body: bytes, recv_ns: int) -> None:
        """The body of a fetch that a session asked for."""
        try:
            events = source.session.deliver(tag, body, recv_ns)
        except DecodeError as error:
            self._reject(source, error, body, recv_ns)
            return
        self._dispatch(source, events)

    def on_body(self, tag: Tag, body: bytes, recv_ns: int) -> bool:
        """A snapshot or poll body; whether it was what it should be."""
        try:
            events = self.adapter.decode_body(tag, body, recv_ns)
        except DecodeError as error:
            self._count_rejected(tag.feed, error, body, recv_ns)
            return False
        self._dispatch(None, events)
        return True

    def _dispatch(self, source: FrameSource | None, events: Iterable[MarketEvent]) -> None:
        for event in events:
            self._route[type(event)](source, event)

    def on_bug(self, frame: bytes, recv_ns: int) -> None:
        """A frame that raised something else than a DecodeError."""
        self._count_rejected(None, DecodeError("-", "bug"), frame, recv_ns)

    def _reject(self, source: FrameSource, error: DecodeError, frame: bytes, recv_ns: int) -> None:
        source.decode_errors += 1
        self._count_rejected(source.channel_feeds.get(error.channel), error, frame, recv_ns)

    def _count_rejected(self, feed: Feed | None, error: DecodeError, frame: bytes, recv_ns: int) -> None:
        account = self.accounts[feed or UNKNOWN]
        account.received += 1
        account.rejected += 1
        self._on_rejected(error, frame, feed, recv_ns)

    # Events

    def _known(self, source: FrameSource | None, event: Event, feed: Feed) -> InstrumentState | None:
        """The instrument's state; an event of an instrument that is not (or no longer) followed is ignored."""
        account = self.accounts[feed]
        account.received += 1
        state = self.states.get(event.instrument)
        if state is None:
            account.ignored += 1
            return None
        if source is not None:
            source.seen[event.instrument, feed] = event.ts_recv_ns
        return state

    def _is_new(self, state: InstrumentState, event: Event, feed: Feed) -> bool:
        tracker = state.trackers.get(feed)
        account = self.accounts[feed]
        if tracker is None:  # the venue sends it along, nobody asked for it
            account.ignored += 1
            return False
        tracked = tracker.on_event(event)
        if tracked.gaps:
            self._emit_gaps(tracked.gaps)
        if not tracked.is_new:
            account.duplicates += 1
            account.ignored += 1
        return tracked.is_new

    def _on_trade(self, source: FrameSource | None, event: Event) -> None:
        assert isinstance(event, Trade)
        state = self._known(source, event, Feed.TRADES)
        if state is None or not self._is_new(state, event, Feed.TRADES):
            return
        state.last_price, state.last_qty = event.price, event.qty
        state.window.add(event.ts_recv_ns, event.aggressor, event.qty)
        self._keep_if_requested(state, event, Feed.TRADES)

    def _on_top_of_book(self, source: FrameSource | None, event: Event) -> None:
        state = self._known(source, event, Feed.L1)
        if state is not None and self._is_new(state, event, Feed.L1):
            self._keep(state, event, Feed.L1)

    def _on_plain(self, source: FrameSource | None, event: Event) -> None:
        feed = event.feed
        state = self._known(source, event, feed)
        if state is not None and self._is_new(state, event, feed):
            self._keep(state, event, feed)

    def _on_snapshot(self, source: FrameSource | None, event: Event) -> None:
        assert isinstance(event, BookSnapshot)
        state = self._known(source, event, Feed.OB_DIFFS)
        if state is None:
            return
        sync = state.sync
        if sync is None:
            self.accounts[Feed.OB_DIFFS].ignored += 1
            return
        if source is not None:
            state.owner = source.id
        self._after_book(state, sync, sync.is_synced, sync.on_snapshot(event), event)

    def _on_diff(self, source: FrameSource | None, event: Event) -> None:
        assert isinstance(event, DepthDiff)
        state = self._known(source, event, Feed.OB_DIFFS)
        if state is None:
            return
        sync = state.sync
        if sync is None or (source is not None and state.follows_one_socket and state.owner != source.id):
            self.accounts[Feed.OB_DIFFS].ignored += 1
            return
        self._after_book(state, sync, sync.is_synced, sync.on_diff(event), event)

    def _after_book(
        self, state: InstrumentState, sync: BookSync, was_synced: bool, kept: list[Event], at: BookSnapshot | DepthDiff
    ) -> None:
        for event in kept:
            if isinstance(event, Gap):
                self._emit_gaps((event,))
            else:
                self._keep_if_requested(state, event, Feed.OB_DIFFS)
        if sync.near < FAR:
            state.ts_event_ns = at.ts_event_ns
            state.near_top5 = min(state.near_top5, sync.near)
            state.near_top20 = min(state.near_top20, sync.near)
            if sync.near == 0 and self._derives_l1 and sync.is_publishable:
                self._derive_l1(state, sync, at)
        if sync.needs_snapshot:
            self.wants_snapshot.add(state.instrument.instrument)
        if sync.is_synced is not was_synced:
            self.status(state.instrument, Feed.OB_DIFFS, "synced" if sync.is_synced else "resync", at.ts_recv_ns)

    def _derive_l1(self, state: InstrumentState, sync: BookSync, at: BookSnapshot | DepthDiff) -> None:
        bid, ask = sync.book.bids.best(), sync.book.asks.best()
        assert bid is not None
        assert ask is not None
        self.accounts.produced(Feed.L1)
        self.accounts[Feed.L1].normalised -= 1  # `_keep` counts it
        self._keep(
            state,
            DerivedL1(
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
            ),
            Feed.L1,
        )

    def let_go_of_held(self) -> None:
        """The end: diffs that wait for a snapshot will not get one. Their books go with them, so that a successor starts from the last one kept."""
        for state in self.states.values():
            if state.sync is not None:
                state.sync.drop_held()

    # What is kept

    def emit_derived(self, state: InstrumentState, event: Event, feed: Feed) -> None:
        """A sample or checkpoint that the collector made."""
        self.accounts[feed].received += 1
        self._keep(state, event, feed)

    def status(self, instrument: Instrument, feed: Feed | None, status: str, now_ns: int, detail: str = "") -> None:
        """Say something of a feed, as a row."""
        self.accounts.produced(STATUS)
        self.accounts[STATUS].buffered += 1
        self.columns.append(
            Status(
                exchange=instrument.exchange,
                market_type=instrument.market_type,
                instrument=instrument.instrument,
                ts_event_ns=None,
                ts_recv_ns=now_ns,
                status_feed=feed,
                status=status,
                detail=detail,
            )
        )

    def interrupt(self, name: str, feed: Feed, reason: str, now_ns: int) -> None:
        """One channel was cut: a hole opens unless numbers prove otherwise later."""
        state = self.states.get(name)
        if state is None:
            return
        self._emit_gaps(state.interrupt(feed, reason, now_ns))
        if feed is Feed.OB_DIFFS and state.sync is not None and state.sync.needs_snapshot:
            self.wants_snapshot.add(name)

    def emit_shed_gaps(self) -> None:
        """Close the ranges shed so far into gap rows."""
        self._emit_gaps(self.shed.take())

    def emit_gaps(self, gaps: Iterable[Gap]) -> None:
        """Holes that others found (the journal, when it dropped a segment)."""
        self._emit_gaps(gaps)

    def _emit_gaps(self, gaps: Iterable[Gap]) -> None:
        for gap in gaps:
            self.accounts.on_gap(gap)
            self.accounts.produced(GAPS)
            self.accounts[GAPS].buffered += 1
            self.columns.append(gap)

    def _keep_if_requested(self, state: InstrumentState, event: Event, feed: Feed) -> None:
        if feed in self.requested:
            self._keep(state, event, feed)
        else:  # subscribed only to derive something from it
            self.accounts[feed].ignored += 1

    def _keep(self, state: InstrumentState, event: Event, feed: Feed) -> None:
        account = self.accounts[feed]
        account.normalised += 1
        if self.pressure and sheds(self.pressure, feed):
            account.shed += 1
            self.shed.add(state.instrument, feed, event)
            return
        account.buffered += 1
        if feed is Feed.L1:
            self.columns.append(event, state.last_price, state.last_qty)
        else:
            self.columns.append(event)

    # Accounts of books live in the sync machines; they are read when somebody asks.

    def settle_book_account(self) -> None:
        """Bring the `ob_diffs` account up to date with what the sync machines ignored, discarded and hold."""
        account = self.accounts[Feed.OB_DIFFS]
        ignored, discarded = self._book_counts_of_removed
        held = 0
        for state in self.states.values():
            if state.sync is not None:
                ignored += state.sync.counts.ignored
                discarded += state.sync.counts.discarded
                held += state.sync.held
        account.ignored += ignored + discarded - self._settled_ignored
        self._settled_ignored = ignored + discarded
        account.held = held

    _settled_ignored = 0


def subscribed_feeds(adapter: Adapter, requested: frozenset[Feed]) -> frozenset[Feed]:
    """What has to be subscribed for what is wanted: derived feeds need the book and the trades."""
    wanted = {feed for feed in requested if feed in adapter.offers}
    derives_l1 = Feed.L1 in requested and Feed.L1 not in adapter.offers
    if requested & DERIVED_FEEDS or derives_l1:
        wanted |= {feed for feed in (Feed.OB_DIFFS, Feed.TRADES) if feed in adapter.offers}
    return frozenset(wanted)
