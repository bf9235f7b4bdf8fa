"""What the collector knows of one instrument: a lane per feed, its book, its last trade."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from feedplane_core.adapter import Adapter, FeedOffer, SnapshotSource
from feedplane_core.advanced import TradeWindow
from feedplane_core.book import FAR
from feedplane_core.events import (
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarkPrice,
    OpenInterest,
    TopOfBook,
    Trade,
)
from feedplane_core.instruments import Instrument
from feedplane_core.names import DERIVED_FEEDS, Feed
from feedplane_core.sequence import FeedTracker, Tracked
from feedplane_core.sync import BookSync

from feedplane_collector.accounts import Account, Accounts
from feedplane_collector.handover import Handover, Place

Position = tuple[int, int | None]
"""(time, sequence) of the last event kept."""

TRACKED_TYPES: tuple[type[Event], ...] = (
    Trade,
    TopOfBook,
    Liquidation,
    Kline,
    MarkPrice,
    FundingRate,
    OpenInterest,
)
"""Events that a `FeedTracker` judges; books have a machine of their own."""


def channel_key(instrument: str, feed: Feed) -> str:
    """One feed of one instrument as a dict key: a text keeps its hash, while hashing an enum member is a Python call (0.3 us for each event)."""
    return f"{feed.value}|{instrument}"


class Lane:
    """One feed of one instrument: where its events are judged and counted. Attributes are public: the hot path reads them."""

    __slots__ = ("account", "feed", "is_requested", "judge", "key", "tracker")

    def __init__(self, feed: Feed, key: str, account: Account, tracker: FeedTracker | None, is_requested: bool) -> None:
        self.feed = feed
        self.key = key
        self.account = account
        self.tracker = tracker
        self.judge: Callable[[Event], Tracked] | None = tracker.on_event if tracker is not None else None
        self.is_requested = is_requested  # else subscribed only to derive something from it


class InstrumentState:
    """One instrument's moving parts. Attributes are public: the pipeline's hot path reads them."""

    __slots__ = (
        "book",
        "follows_one_socket",
        "handover",
        "instrument",
        "is_cut",
        "lane_of",
        "lanes",
        "last_checkpoint_ns",
        "last_price",
        "last_qty",
        "near_top5",
        "near_top20",
        "owner",
        "place",
        "since_ns",
        "sync",
        "ts_event_ns",
        "window",
    )

    def __init__(
        self,
        adapter: Adapter,
        instrument: Instrument,
        feeds: frozenset[Feed],
        requested: frozenset[Feed],
        accounts: Accounts,
        since_ns: int,
    ) -> None:
        self.instrument = instrument
        self.since_ns = since_ns
        self.window = TradeWindow()
        self.last_price: str | None = None
        self.last_qty: str | None = None
        self.near_top5 = self.near_top20 = FAR
        self.ts_event_ns: int | None = None  # venue time of the newest change of the book
        self.last_checkpoint_ns = 0
        self.owner = 0  # id of the live socket that this book follows, where snapshots come by socket; 0: of none
        self.handover: Handover | None = None
        self.place = Place()  # how far such a book has come
        self.is_cut = False  # no socket brings the book, so that it may not be shown although it may turn out whole
        self.lanes = {
            feed: self._lane(feed, offer, adapter, accounts, requested)
            for feed, offer in adapter.offers.feeds.items()
            if feed in feeds and feed not in DERIVED_FEEDS
        }
        self.lane_of: dict[type[Event], Lane] = {
            kind: self.lanes[kind.feed] for kind in TRACKED_TYPES if kind.feed in self.lanes
        }
        self.book = self.lanes.get(Feed.OB_DIFFS)
        self.sync: BookSync | None = None
        self.follows_one_socket = False  # the book's diffs only make sense on top of the same socket's snapshot
        if self.book is not None:
            rule = adapter.book_rule(instrument)
            self.follows_one_socket = rule.source is SnapshotSource.SOCKET
            self.sync = BookSync(
                instrument.exchange,
                instrument.market_type,
                instrument.instrument,
                rule,
                defers=Feed.L1 in adapter.offers,  # else L1 is read off the book with every diff
            )

    def _lane(
        self, feed: Feed, offer: FeedOffer, adapter: Adapter, accounts: Accounts, requested: frozenset[Feed]
    ) -> Lane:
        instrument = self.instrument
        tracker = None
        if feed is not Feed.OB_DIFFS:
            tracker = FeedTracker(
                instrument.exchange,
                instrument.market_type,
                instrument.instrument,
                feed,
                trade_ids=adapter.offers.trade_ids,
                every_ns=offer.every_ns,
                skips_empty=offer.skips_empty,
                since_ns=self.since_ns,
            )
        return Lane(feed, channel_key(instrument.instrument, feed), accounts[feed], tracker, feed in requested)

    def look(self) -> bool:
        """Work in what the book has deferred, and say whether it may be shown."""
        if self.sync is None:
            return False
        near = self.sync.settle()
        self.near_top5 = min(self.near_top5, near)
        self.near_top20 = min(self.near_top20, near)
        return self.is_publishable

    @property
    def is_publishable(self) -> bool:
        """Whether the book may be shown: right, and carried by a socket."""
        return self.sync is not None and not self.is_cut and self.sync.is_publishable

    @property
    def held(self) -> int:
        """Events of the book that wait for another one."""
        waiting = self.sync.held if self.sync is not None else 0
        return waiting + (self.handover.waiting if self.handover is not None else 0)

    def _trackers(self) -> Iterator[tuple[Feed, FeedTracker]]:
        for feed, lane in self.lanes.items():
            if lane.tracker is not None:
                yield feed, lane.tracker

    def positions(self) -> dict[Feed, Position]:
        """Where a successor resumes, per feed that has had anything."""
        found: dict[Feed, Position] = {}
        for feed, tracker in self._trackers():
            at_ns, seq = tracker.position
            if at_ns is not None:
                found[feed] = (at_ns, seq)
        if self.sync is not None:
            at_ns, seq = self.sync.position
            if at_ns is not None:
                found[Feed.OB_DIFFS] = (at_ns, seq)
        return found

    def resume(self, feed: Feed, position: Position) -> list[Gap]:
        """Take over from a predecessor; returns the hole that begins there."""
        at_ns, seq = position
        if feed is Feed.OB_DIFFS and self.sync is not None:
            return [event for event in self.sync.resume(at_ns, seq, "restart") if isinstance(event, Gap)]
        tracker = self._tracker(feed)
        return tracker.resume(at_ns, seq, "restart") if tracker is not None else []

    def interrupt(self, feed: Feed, reason: str, now_ns: int) -> list[Gap]:
        """One feed can no longer be trusted to be whole."""
        if feed is not Feed.OB_DIFFS:
            tracker = self._tracker(feed)
            return tracker.interrupt(reason, now_ns) if tracker is not None else []
        if self.sync is None:
            return []
        self.is_cut = True
        if self.sync.position[0] is None:  # cut before the first book: all since we began to follow it is missing
            return [event for event in self.sync.resume(self.since_ns, None, reason) if isinstance(event, Gap)]
        return [event for event in self.sync.interrupt(reason, now_ns) if isinstance(event, Gap)]

    def settle(self, feed: Feed, now_ns: int) -> list[Gap]:
        """One feed is carried again and has nothing to say."""
        tracker = self._tracker(feed)
        return tracker.settle(now_ns) if tracker is not None else []

    def end(self, now_ns: int) -> list[Gap]:
        """Nothing of the instrument is wanted any more: holes that are open end here."""
        gaps = [gap for _, tracker in self._trackers() for gap in tracker.end(now_ns)]
        return gaps + (self.sync.end(now_ns) if self.sync is not None else [])

    def _tracker(self, feed: Feed) -> FeedTracker | None:
        lane = self.lanes.get(feed)
        return lane.tracker if lane is not None else None
