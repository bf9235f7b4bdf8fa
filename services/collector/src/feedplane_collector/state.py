"""What the collector knows of one instrument: its book, its trackers, its last trade."""

from __future__ import annotations

from feedplane_core.adapter import Adapter, SnapshotSource
from feedplane_core.advanced import TradeWindow
from feedplane_core.book import FAR
from feedplane_core.events import Gap
from feedplane_core.instruments import Instrument
from feedplane_core.names import DERIVED_FEEDS, Feed
from feedplane_core.sequence import FeedTracker
from feedplane_core.sync import BookSync

Position = tuple[int, int | None]
"""(time, sequence) of the last event kept."""


class InstrumentState:
    """One instrument's moving parts. Attributes are public: the pipeline's hot path reads them."""

    __slots__ = (
        "instrument",
        "last_checkpoint_ns",
        "last_price",
        "last_qty",
        "near_top5",
        "near_top20",
        "owner",
        "sync",
        "trackers",
        "ts_event_ns",
        "window",
    )

    def __init__(self, adapter: Adapter, instrument: Instrument, feeds: frozenset[Feed]) -> None:
        self.instrument = instrument
        self.window = TradeWindow()
        self.last_price: str | None = None
        self.last_qty: str | None = None
        self.near_top5 = self.near_top20 = FAR
        self.ts_event_ns: int | None = None  # venue time of the newest change of the book
        self.last_checkpoint_ns = 0
        self.owner = 0  # id of the socket that this book follows, where snapshots come by socket
        self.sync: BookSync | None = None
        if Feed.OB_DIFFS in feeds:
            rule = adapter.book_rule(instrument)
            self.sync = BookSync(instrument.exchange, instrument.market_type, instrument.instrument, rule)
        self.trackers: dict[Feed, FeedTracker] = {
            feed: FeedTracker(
                instrument.exchange,
                instrument.market_type,
                instrument.instrument,
                feed,
                trade_ids=adapter.offers.trade_ids,
                every_ns=offer.every_ns,
                skips_empty=offer.skips_empty,
            )
            for feed, offer in adapter.offers.feeds.items()
            if feed in feeds and feed not in DERIVED_FEEDS and feed is not Feed.OB_DIFFS
        }

    @property
    def follows_one_socket(self) -> bool:
        """Whether the book's diffs only make sense on top of the same socket's snapshot."""
        return self.sync is not None and self.sync.rule.source is SnapshotSource.SOCKET

    def positions(self) -> dict[Feed, Position]:
        """Where a successor resumes, per feed that has had anything."""
        found: dict[Feed, Position] = {}
        for feed, tracker in self.trackers.items():
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
        tracker = self.trackers.get(feed)
        return tracker.resume(at_ns, seq, "restart") if tracker is not None else []

    def interrupt(self, feed: Feed, reason: str, now_ns: int) -> list[Gap]:
        """One feed can no longer be trusted to be whole."""
        if feed is Feed.OB_DIFFS:
            if self.sync is None:
                return []
            return [event for event in self.sync.interrupt(reason, now_ns) if isinstance(event, Gap)]
        tracker = self.trackers.get(feed)
        return tracker.interrupt(reason, now_ns) if tracker is not None else []
