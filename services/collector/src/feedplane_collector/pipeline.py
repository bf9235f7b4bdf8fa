"""From a frame to columns: decode, de-duplicate, keep books right, account for everything. No I/O and no clock.

The pipeline is the one owner of what is known per instrument; sockets come and go around it, and several may carry the same channel while one replaces another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from feedplane_core.adapter import Adapter, Channel, Session, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    TopOfBook,
    Trade,
)
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import DERIVED_FEEDS, Feed
from feedplane_core.sequence import NEW

from feedplane_collector.accounts import CONTROL, UNKNOWN
from feedplane_collector.books import Books
from feedplane_collector.keeping import ColumnSink, Keeper
from feedplane_collector.state import InstrumentState, Lane, Position


class FrameSource(Protocol):
    """A live socket as the pipeline sees it."""

    id: int
    session: Session
    seen: dict[str, int]
    """Receive time of the last event per `channel_key`."""
    decode_errors: int

    def suspects(self, error: DecodeError, frame: bytes) -> Sequence[Channel]:
        """Channels that may have lost something with a frame that was not decoded."""
        ...


OnRejected = Callable[[DecodeError, bytes, Feed | None, int], None]
"""Told of each frame that was not decoded: (error, frame, feed if known, receive time)."""


class Pipeline:
    """All instruments of one exchange and shard."""

    def __init__(self, adapter: Adapter, feeds: Iterable[Feed], columns: ColumnSink, on_rejected: OnRejected) -> None:
        self.adapter = adapter
        self.requested = frozenset(feeds)
        self.subscribed = subscribed_feeds(adapter, self.requested)
        self.keeper = Keeper(columns)
        self.accounts = self.keeper.accounts
        self.states: dict[str, InstrumentState] = {}
        derives_l1 = Feed.L1 in self.requested and Feed.L1 not in adapter.offers
        self.books = Books(self.states, self.keeper, derives_l1=derives_l1)
        self._on_rejected = on_rejected
        self._control = self.accounts[CONTROL]
        self._resume: dict[tuple[str, Feed], Position] = {}
        self._route: dict[type[Event], Callable[[FrameSource | None, Event], None]] = {
            Trade: self._on_trade,
            TopOfBook: self._on_top_of_book,
            BookSnapshot: self.books.on_snapshot,
            DepthDiff: self.books.on_diff,
            Liquidation: self._on_plain,
            Kline: self._on_plain,
            MarkPrice: self._on_plain,
            FundingRate: self._on_plain,
            OpenInterest: self._on_plain,
        }

    # Instruments

    def add_instrument(self, instrument: Instrument, now_ns: int) -> None:
        """Start to follow an instrument, or take over its changed metadata."""
        name = instrument.instrument
        held = self.states.get(name)
        if held is not None:
            held.instrument = instrument
        else:
            state = InstrumentState(
                self.adapter, instrument, self.subscribed, self.requested, self.accounts, since_ns=now_ns
            )
            self.states[name] = state
            for feed in self.subscribed:
                position = self._resume.pop((name, feed), None)
                if position is not None:
                    self.keeper.gaps(state.resume(feed, position))
        self.keeper.instrument(instrument, now_ns)

    def remove_instrument(self, name: str, now_ns: int) -> None:
        """Stop following an instrument: nothing of it is missed from now on, so holes that are open end here."""
        state = self.states.pop(name, None)
        if state is None:
            return
        self.keeper.gaps(state.end(now_ns))
        self.books.forget(state)

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
            self._control.received += 1
            self._control.ignored += 1
            return
        route = self._route
        for event in events:
            route[type(event)](source, event)

    def on_delivery(self, source: FrameSource, tag: Tag, body: bytes, recv_ns: int) -> None:
        """The body of a fetch that a session asked for. It says nothing of the socket's own channels."""
        try:
            events = source.session.deliver(tag, body, recv_ns)
        except DecodeError as error:
            source.decode_errors += 1
            self._count_rejected(tag.feed, error, body, recv_ns)
            return
        self._dispatch(events)

    def on_body(self, tag: Tag, body: bytes, recv_ns: int) -> bool:
        """A snapshot or poll body; whether it was what it should be."""
        try:
            events = self.adapter.decode_body(tag, body, recv_ns)
        except DecodeError as error:
            self._count_rejected(tag.feed, error, body, recv_ns)
            return False
        self._dispatch(events)
        return True

    def _dispatch(self, events: Iterable[MarketEvent]) -> None:
        for event in events:
            self._route[type(event)](None, event)

    def on_bug(self, source: FrameSource, frame: bytes, recv_ns: int) -> None:
        """A frame that raised something else than a DecodeError."""
        self._reject(source, DecodeError("-", "bug"), frame, recv_ns)

    def _reject(self, source: FrameSource, error: DecodeError, frame: bytes, recv_ns: int) -> None:
        """Count a frame that was not decoded, and distrust the channels that it may have been of until they prove themselves."""
        source.decode_errors += 1
        channels = source.suspects(error, frame)
        feeds = {channel.feed for channel in channels}
        self._count_rejected(feeds.pop() if len(feeds) == 1 else None, error, frame, recv_ns)
        for channel in channels:
            self.interrupt(channel.instrument, channel.feed, "rejected", recv_ns)

    def _count_rejected(self, feed: Feed | None, error: DecodeError, frame: bytes, recv_ns: int) -> None:
        account = self.accounts[feed or UNKNOWN]
        account.received += 1
        account.rejected += 1
        self._on_rejected(error, frame, feed, recv_ns)

    # Events

    def _admit(self, source: FrameSource | None, event: Event) -> tuple[InstrumentState, Lane] | None:
        """The instrument and lane of an event that is new; anything else is counted as ignored."""
        state = self.states.get(event.instrument)
        lane = None if state is None else state.lane_of.get(type(event))
        if state is None or lane is None or lane.judge is None:  # not followed, or sent along although nobody asked
            account = self.accounts[event.feed]
            account.received += 1
            account.ignored += 1
            return None
        account = lane.account
        account.received += 1
        if source is not None:
            source.seen[lane.key] = event.ts_recv_ns
        tracked = lane.judge(event)
        if tracked is not NEW:
            if tracked.gaps:
                self.keeper.gaps(tracked.gaps)
            if not tracked.is_new:
                account.duplicates += 1
                account.ignored += 1
                return None
        return state, lane

    def _on_trade(self, source: FrameSource | None, event: Event) -> None:
        admitted = self._admit(source, event)
        if admitted is None:
            return
        assert isinstance(event, Trade)
        state, lane = admitted
        state.last_price, state.last_qty = event.price, event.qty
        state.window.add(event.ts_recv_ns, event.aggressor, event.qty)
        if lane.is_requested:
            self.keeper.keep(state.instrument, event, Feed.TRADES, lane.account)
        else:  # subscribed only to derive something from it
            lane.account.ignored += 1

    def _on_top_of_book(self, source: FrameSource | None, event: Event) -> None:
        admitted = self._admit(source, event)
        if admitted is not None:
            state, lane = admitted
            self.keeper.keep_quote(state.instrument, event, lane.account, state.last_price, state.last_qty)

    def _on_plain(self, source: FrameSource | None, event: Event) -> None:
        admitted = self._admit(source, event)
        if admitted is not None:
            state, lane = admitted
            self.keeper.keep(state.instrument, event, lane.feed, lane.account)

    # Channels

    def interrupt(self, name: str, feed: Feed, reason: str, now_ns: int) -> None:
        """One channel was cut: a hole opens unless numbers prove otherwise later."""
        state = self.states.get(name)
        if state is None:
            return
        if feed is Feed.OB_DIFFS:
            self.books.on_cut(state, now_ns)
        self.keeper.gaps(state.interrupt(feed, reason, now_ns))
        if feed is Feed.OB_DIFFS and state.sync is not None and state.sync.needs_snapshot:
            self.books.wants_snapshot.add(name)

    def settle(self, name: str, feed: Feed, now_ns: int) -> None:
        """One channel is carried again and has nothing to say: a hole that is open ends here."""
        state = self.states.get(name)
        if state is not None:
            self.keeper.gaps(state.settle(feed, now_ns))

    def status(self, name: str, feed: Feed | None, status: str, now_ns: int) -> None:
        """Say something of a feed of an instrument that is followed, as a row."""
        state = self.states.get(name)
        if state is not None:
            self.keeper.status(state.instrument, feed, status, now_ns)

    def shard_status(self, status: str, now_ns: int, detail: str) -> None:
        """Say something of the whole shard, as a row; nothing where no instrument is followed."""
        if self.states:
            first = self.states[min(self.states)]
            self.keeper.shard_status(first.instrument, status, now_ns, detail)

    def emit_gaps(self, gaps: Iterable[Gap]) -> None:
        """Holes that others found."""
        self.keeper.gaps(gaps)


def subscribed_feeds(adapter: Adapter, requested: frozenset[Feed]) -> frozenset[Feed]:
    """What has to be subscribed for what is wanted: derived feeds need the book and the trades."""
    wanted = {feed for feed in requested if feed in adapter.offers}
    derives_l1 = Feed.L1 in requested and Feed.L1 not in adapter.offers
    if requested & DERIVED_FEEDS or derives_l1:
        wanted |= {feed for feed in (Feed.OB_DIFFS, Feed.TRADES) if feed in adapter.offers}
    return frozenset(wanted)
