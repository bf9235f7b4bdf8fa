"""The adapter contract: everything a venue folder must say, and nothing it may do.

An adapter is pure. It turns wishes (instruments, feeds) into connections, frames and bodies into events, and asks for effects as values; the collector performs them.
A class that fulfils `Adapter` is published as entry point `feedplane.adapters: <exchange> = feedplane_adapter_<exchange>:ADAPTER` and built with `Options`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, StrEnum
from typing import ClassVar, Protocol, TypeAlias

import msgspec

from .events import BookSnapshot, DepthDiff, MarketEvent
from .instruments import Instrument
from .names import Feed, MarketType

Frame: TypeAlias = bytes
"""One WebSocket message, text or binary, as bytes."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a FeedSet or an operator may choose about an adapter. `endpoints` maps a venue's endpoint names to base URLs (sandbox, simulator)."""

    endpoints: Mapping[str, str] = {}
    kline_intervals: tuple[str, ...] = ("1m",)
    open_interest_every_ns: int = 10_000_000_000
    switches: Mapping[str, str] = {}  # per-venue switches for facts that are not settled; named in the venue's README
    assume_contract_size: str | None = None  # offline decoding only


class SnapshotSource(StrEnum):
    """Where whole books come from."""

    SOCKET = "socket"
    REST = "rest"


class TradeIds(StrEnum):
    """What a venue's trade ids promise."""

    CONSECUTIVE = "consecutive"  # +1 per instrument: a hole in the ids is a hole in the data; an id that is no number (of another market) is opaque
    OPAQUE = "opaque"  # unique, in no countable order
    NONE = "none"


class Verdict(Enum):
    """What a sequencing rule says of a diff."""

    APPLY = "apply"
    STALE = "stale"  # already contained in the book
    GAP = "gap"  # something between the book and this diff is missing


class BookRule(Protocol):
    """One venue's sequencing rule: pure functions that quote their source."""

    source: SnapshotSource
    sequenced: bool  # False: diffs carry no numbers; the socket's order is all there is
    snapshot_depth: (
        int | None
    )  # levels per side of a snapshot; farther ones are unknown until touched. None: whole book
    max_depth: (
        int | None
    )  # levels per side that the venue maintains (a level pushed beyond is dropped silently); None: no such rule

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        """The first diff on top of a snapshot. GAP: the snapshot is older than the diffs, fetch another."""
        ...

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        """Any later diff, given the sequence of the last applied one."""
        ...

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        """What the venue's checksum should be for the best levels (best first, as many as held); None where there is no checksum."""
        ...


class FeedOffer(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue carries one feed."""

    live: bool = True  # by socket
    polled: bool = False  # by REST, on a timer
    history: bool = False  # REST pages for backfill
    stale_after_ns: int | None = (
        None  # silence on a channel that trades that means it is dead; None: may be silent for ever
    )
    every_ns: int | None = None  # the venue's own cadence, where it has one: a missed beat is a hole
    skips_empty: bool = (
        False  # klines: the venue sends none for an interval without trades, so a missing one proves nothing
    )
    live_on: frozenset[MarketType] | None = None  # where `live` holds; None: on every market that has the feed
    polled_on: frozenset[MarketType] | None = None  # where `polled` holds

    def is_live_on(self, market: MarketType) -> bool:
        return self.live and (self.live_on is None or market in self.live_on)

    def is_polled_on(self, market: MarketType) -> bool:
        return self.polled and (self.polled_on is None or market in self.polled_on)


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue publishes at all."""

    markets: frozenset[MarketType]
    feeds: Mapping[Feed, FeedOffer]
    trade_ids: TradeIds
    same_names: tuple[MarketType, ...] = ()
    """Markets whose instruments may be spelled alike (`BTCUSDT`, spot and perpetual): whoever keeps things by name keeps these apart."""

    def __contains__(self, feed: object) -> bool:
        return feed in self.feeds


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription: a feed of an instrument on one socket, with its own deadline."""

    instrument: str
    feed: Feed
    name: str  # as the venue calls it: "btcusdt@depth@100ms"
    stale_after_ns: int | None = None


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """Application ping that the client owes the venue."""

    every_ns: int
    frame: Frame


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One socket, as data. `key` is stable for the same place in the plan, so that a changed plan touches only what changed."""

    key: str
    url: str
    channels: tuple[Channel, ...]
    subscribe: tuple[Frame, ...]  # sent after connecting, spaced by `min_send_gap_ns`
    min_send_gap_ns: int = 0
    ping: Ping | None = None
    protocol_ping_every_ns: int | None = (
        20_000_000_000  # WebSocket ping frames; None where the venue counts or dislikes them
    )
    lifetime_ns: int | None = None  # the venue cuts at this age
    max_frame_bytes: int = 1 << 20
    compression: bool = False  # permessage-deflate
    headers: Mapping[str, str] = {}
    capacity: int = 0  # channels that a socket may carry; 0: channels are never added to a live socket
    token: Request | None = None  # a body to fetch first; `Adapter.connection_with_token` then completes the URL
    awaits_greeting: bool = False  # the venue speaks first: nothing is sent before its first frame


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's REST budget and connection budget, per IP."""

    rest_weight: int
    rest_window_ns: int
    connects: int
    connect_window_ns: int
    used_weight_header: str | None = None  # answered by the venue: what it has counted so far in this window
    channels_per_connection: int | None = None  # of one socket; None: the venue names no limit


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """What a REST request was for; comes back with its body."""

    kind: str  # "instruments" "book_snapshot" "token" "poll" "history"
    instrument: str = ""
    feed: Feed | None = None
    detail: str = ""  # kline interval, endpoint name, page cursor, ...


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How a body names its next page: a text at `path` that goes into the query as `parameter`; none, or an empty one, means that this was the last."""

    path: tuple[str, ...]
    parameter: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One REST call, as data. `url` is absolute, query included."""

    url: str
    tag: Tag
    method: str = "GET"
    weight: int = 1
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    max_body_bytes: int = 64 << 20
    cursor: Cursor | None = None  # of instruments: `feedplane_core.paging.next_page` builds the request that follows


class Send(msgspec.Struct, frozen=True, tag="send"):
    """Write this frame to the socket."""

    frame: Frame


class Fetch(msgspec.Struct, frozen=True, tag="fetch"):
    """Perform this request and deliver its body to the session."""

    request: Request


class Reconnect(msgspec.Struct, frozen=True, tag="reconnect"):
    """This socket is of no more use (or will soon not be: `planned` asks for an overlapping replacement)."""

    reason: str
    planned: bool = False


Action: TypeAlias = Send | Fetch | Reconnect


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """A REST feed: this request, every so often."""

    request: Request
    channel: Channel
    every_ns: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of history: events in time order and the request of the next page (`None`: that was all).

    `reaches_back_to_ns`: the venue answers no farther back; what was asked for before it stays a hole.
    """

    events: list[MarketEvent]
    next: Request | None = None
    reaches_back_to_ns: int | None = None


class Session(Protocol):
    """State of one live socket; new on every reconnect."""

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Same frames in the same order, same events, live or in replay; `[]` for acks, pongs and heartbeats.

        Raises: DecodeError for anything else that is no event. The session stays usable.
        """
        ...

    def actions(self) -> list[Action]:
        """Effects that frames since the last call have asked for; clears them."""
        ...

    def deliver(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """The body of a `Fetch` that this session asked for."""
        ...


class Adapter(Protocol):
    """One venue."""

    exchange: ClassVar[str]
    offers: ClassVar[Offers]
    limits: ClassVar[Limits]

    def __init__(self, options: Options = ...) -> None: ...

    def instruments_requests(self) -> list[Request]:
        """Bodies that together name every instrument."""
        ...

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        """Every instrument in them, whatever its status. Accepts a subset of the bodies of `instruments_requests`, in any order.

        Raises: DecodeError if a body is not what the venue documents.
        """
        ...

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Make these known to all sessions from now on; later calls add and replace."""
        ...

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        """Sockets that carry each (instrument, feed) once, split by the venue's limits. Derived feeds imply `ob_diffs` and `trades`."""
        ...

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """The connection with its URL completed from the body of `connection.token`; unchanged where a venue needs none."""
        ...

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        """REST feeds for these instruments."""
        ...

    def session(self, connection: Connection | None = None) -> Session:
        """A session for a new socket; `None` decodes offline frames of any channel."""
        ...

    def book_rule(self, instrument: Instrument | None) -> BookRule:
        """How this instrument's book syncs."""
        ...

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        """Where books come by REST; `None` where the socket sends them."""
        ...

    def resubscribe(self, connection: Connection, channel: Channel) -> list[Frame]:
        """Frames that make the venue start one channel anew (a fresh snapshot) and touch no other; empty where only a new socket can."""
        ...

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[Frame]:
        """Frames that change a live socket's channels without touching the others."""
        ...

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """The first page of history in [start_ns, end_ns) (or after a trade id where the venue pages by id); `None` where there is none.

        `detail` is the kline interval for `klines`.
        """
        ...

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        """A page of history, equal in identity and value to what the live stream would have given."""
        ...

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """Events of a snapshot or poll body. Raises: DecodeError."""
        ...

    def tag_of(self, url: str) -> Tag | None:
        """What a recorded request was for, told from its URL; `None` if it carries no events. Inverse of the requests built here."""
        ...
