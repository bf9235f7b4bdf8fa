"""The canonical events: what flows from a venue's frame to both stores.

Frozen structs, built with keywords, never mutated. Prices and sizes are exact decimal text (`Dec`), times are integer nanoseconds.
`ts_event_ns` is the venue's time, `None` where it sends none and never filled in; `ts_recv_ns` is our clock when the frame arrived, stamped before parsing.
Quantities are in base units: an adapter converts contracts by the instrument.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from .decimals import Dec, Levels
from .names import Aggressor, Feed, Liquidated, MarketType


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """What every event says of itself. `feed` is the account it is counted under."""

    feed: ClassVar[Feed]

    exchange: str
    market_type: MarketType
    instrument: str  # as the venue spells it: "BTCUSDT"; "BTC-USDT-PERP" is metadata of the instrument
    ts_event_ns: int | None
    ts_recv_ns: int


class Trade(Event, frozen=True, kw_only=True, gc=False, tag="trade"):
    """One public fill, or one aggregate of fills where that is what the venue sends."""

    feed: ClassVar[Feed] = Feed.TRADES

    trade_id: str  # "" where the venue has none: identity is then a hash of the raw fields
    price: Dec
    qty: Dec
    aggressor: Aggressor
    ordinal: int = 0  # place among identical fills of one message; tells two equal trades without ids apart


class TopOfBook(Event, frozen=True, kw_only=True, gc=False, tag="top_of_book"):
    """The venue's own best bid/ask channel."""

    feed: ClassVar[Feed] = Feed.L1

    bid_price: Dec
    bid_qty: Dec
    ask_price: Dec
    ask_qty: Dec
    seq: int | None = None  # update id where the venue numbers its quotes


class BookSnapshot(Event, frozen=True, kw_only=True, gc=False, tag="book_snapshot"):
    """A whole book (to the venue's depth): replaces all earlier state. Levels are best first."""

    feed: ClassVar[Feed] = Feed.OB_DIFFS

    bids: Levels
    asks: Levels
    first_seq: int | None = None
    last_seq: int | None = None
    prev_seq: int | None = None
    checksum: int | None = None
    depth: int | None = None  # levels per side that the venue promises; None: the whole book


class DepthDiff(Event, frozen=True, kw_only=True, gc=False, tag="depth_diff"):
    """Levels that changed; quantities are absolute and 0 removes the level."""

    feed: ClassVar[Feed] = Feed.OB_DIFFS

    bids: Levels
    asks: Levels
    first_seq: int | None = None
    last_seq: int | None = None
    prev_seq: int | None = None
    checksum: int | None = None


class Liquidation(Event, frozen=True, kw_only=True, gc=False, tag="liquidation"):
    """A position closed by the venue. Most venues publish a throttled sample: never total volume."""

    feed: ClassVar[Feed] = Feed.LIQUIDATIONS

    liquidated: Liquidated
    price: Dec
    qty: Dec
    order_id: str = ""
    ordinal: int = 0


class Kline(Event, frozen=True, kw_only=True, gc=False, tag="kline"):
    """A candle of the venue's own. Only `is_closed` ones are history; `open_ns` is inclusive."""

    feed: ClassVar[Feed] = Feed.KLINES

    open_ns: int
    interval_s: int
    open: Dec
    high: Dec
    low: Dec
    close: Dec
    volume: Dec  # base units
    trades: int | None
    is_closed: bool


class MarkPrice(Event, frozen=True, kw_only=True, gc=False, tag="mark_price"):
    """Mark and index price in quote units."""

    feed: ClassVar[Feed] = Feed.MARK_PRICE

    mark_price: Dec | None
    index_price: Dec | None


class FundingRate(Event, frozen=True, kw_only=True, gc=False, tag="funding"):
    """What a perpetual charges per interval; positive means longs pay shorts."""

    feed: ClassVar[Feed] = Feed.FUNDING

    rate: Dec  # a fraction: "0.0001" is one basis point
    interval_s: int | None  # None where the venue does not say
    next_funding_ns: int | None


class OpenInterest(Event, frozen=True, kw_only=True, gc=False, tag="open_interest"):
    """Open contracts, one side, in base units."""

    feed: ClassVar[Feed] = Feed.OPEN_INTEREST

    open_interest: Dec


class BookTop(Event, frozen=True, kw_only=True, gc=False, tag="book_top"):
    """The best `depth` levels of a synced book, sampled by the collector. Best first; shorter where the book is."""

    feed: ClassVar[Feed] = Feed.OB_TOP5  # by depth: see `feed_of`

    depth: int
    bids: Levels
    asks: Levels
    seq: int | None


class DerivedL1(Event, frozen=True, kw_only=True, gc=False, tag="derived_l1"):
    """Best bid/ask of a synced book where the venue has no native channel."""

    feed: ClassVar[Feed] = Feed.L1

    bid_price: Dec
    bid_qty: Dec
    ask_price: Dec
    ask_qty: Dec
    seq: int | None


class AdvancedMetric(Event, frozen=True, kw_only=True, gc=False, tag="advanced_metric"):
    """Computed from a synced book and the trades of the last second; 18 decimals, half-even."""

    feed: ClassVar[Feed] = Feed.ADVANCED

    spread_px: Dec
    spread_bps: Dec
    microprice: Dec
    imbalance_5: Dec
    imbalance_20: Dec
    trade_imb_1s: Dec
    seq: int | None


class Checkpoint(Event, frozen=True, kw_only=True, gc=False, tag="checkpoint"):
    """A synced book as it stands, written now and then so that a rebuild need not start far back and can be verified."""

    feed: ClassVar[Feed] = Feed.OB_DIFFS

    bids: Levels
    asks: Levels
    seq: int | None


class Gap(Event, frozen=True, kw_only=True, gc=False, tag="gap"):
    """A hole, as data: what of one feed of one instrument is missing, or may be.

    The hole is the open interval between what was had and what came next, in time (`from_ns`, `to_ns`) and where the venue numbers its messages also in
    sequence (`from_seq`, `to_seq`: first and last missing number, inclusive). `to_ns` is `None` while nothing has come since.
    """

    feed: ClassVar[Feed] = Feed.OB_DIFFS  # of the hole: see `gap_feed`

    gap_id: str  # from what and where it begins: a later row of the same id supersedes (open -> closed -> repaired)
    gap_feed: Feed
    from_ns: int
    to_ns: int | None
    from_seq: int | None = None
    to_seq: int | None = None
    reason: str = (
        "sequence"  # start sequence checksum crossed disconnect stale restart shed undrained rejected halt stop
    )
    detected_by: str = "collector"
    state: str = "open"  # open closed repaired
    repaired_from: str = ""


class Status(Event, frozen=True, kw_only=True, gc=False, tag="status"):
    """What a venue or the collector says of a feed: `connected`, `disconnected`, `synced`, `resync`, `stale`, `listed`, `delisted`, `halted`, ...

    Of no instrument (`succession.WHOLE_SHARD`) are a collector's own signs of life: `alive`, `ended`.
    """

    feed: ClassVar[Feed] = Feed.OB_DIFFS  # of the subject: see `status_feed`

    status_feed: Feed | None
    status: str
    detail: str = ""


MarketEvent: TypeAlias = (
    Trade | TopOfBook | BookSnapshot | DepthDiff | Liquidation | Kline | MarkPrice | FundingRate | OpenInterest
)
"""What adapters decode from frames and bodies."""

AnyEvent: TypeAlias = MarketEvent | BookTop | DerivedL1 | AdvancedMetric | Checkpoint | Gap | Status

EVENT_TYPES: tuple[type[Event], ...] = (
    Trade,
    TopOfBook,
    BookSnapshot,
    DepthDiff,
    Liquidation,
    Kline,
    MarkPrice,
    FundingRate,
    OpenInterest,
    BookTop,
    DerivedL1,
    AdvancedMetric,
    Checkpoint,
    Gap,
    Status,
)


def type_name(event: Event | type[Event]) -> str:
    """`trade`, `depth_diff`, ...: the `type` key of JSON and the record type of the journal."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def feed_of(event: Event) -> Feed:
    """The feed that an event is accounted under."""
    if isinstance(event, BookTop):
        return Feed.OB_TOP5 if event.depth == 5 else Feed.OB_TOP20
    if isinstance(event, Gap):
        return event.gap_feed
    if isinstance(event, Status):
        return event.status_feed or Feed.OB_DIFFS
    return event.feed
