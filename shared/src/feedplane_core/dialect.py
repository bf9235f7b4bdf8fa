"""The dialect contract: the venue's own side of an adapter, for simulated venues.

A dialect is pure, like an adapter, and written apart from it: neither imports the other, so that each checks the other's reading of the venue's documents. It is
given a seeded, venue-neutral world (`Venue`, `Market`, happenings, all in integers) and says how this venue speaks of it: which paths are sockets, how a client
subscribes, what each channel sends, what REST answers. Beside every frame it states the canonical events that the frame means.

A class that fulfils `Dialect` is published as entry point `feedplane.dialects: <exchange> = feedplane_dialect_<exchange>:DIALECT` and built without arguments, once
per simulation. It may keep state (ids it has handed out), never a clock, randomness or I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Protocol, TypeAlias

import msgspec

from .decimals import Dec
from .events import MarketEvent
from .instruments import InstrumentStatus
from .names import NS_PER_S, Feed, MarketType

MARK_DECIMALS = 8
"""Mark and index prices and funding rates of the world are integers of 10**-8."""

Ticks: TypeAlias = int
Steps: TypeAlias = int
LevelInts: TypeAlias = tuple[Ticks, Steps]


# What there is to trade -------------------------------------------------------------------------------------------------------


class Coin(msgspec.Struct, frozen=True, kw_only=True):
    """An underlying that every simulated venue lists in its own spelling. Prices are in a dollar-like quote."""

    base: str
    price: Dec
    tick: Dec
    step: Dec  # of base units
    lot: Dec  # a usual order, in base units


_COINS = (
    Coin(base="BTC", price="64250.10", tick="0.10", step="0.001", lot="0.500"),
    Coin(base="ETH", price="3150.25", tick="0.01", step="0.001", lot="4.000"),
    Coin(base="SOL", price="148.32", tick="0.01", step="0.01", lot="60.00"),
    Coin(base="XRP", price="0.5312", tick="0.0001", step="0.1", lot="9000.0"),
    Coin(base="DOGE", price="0.12345", tick="0.00001", step="1", lot="40000"),
    Coin(base="ADA", price="0.4567", tick="0.0001", step="1", lot="12000"),
    Coin(base="LTC", price="71.20", tick="0.01", step="0.01", lot="70.00"),
    Coin(base="LINK", price="14.321", tick="0.001", step="0.01", lot="400.00"),
    Coin(base="AVAX", price="27.45", tick="0.01", step="0.1", lot="200.0"),
    Coin(base="DOT", price="6.123", tick="0.001", step="0.1", lot="900.0"),
    Coin(base="SHIB", price="0.00002401", tick="0.00000001", step="1", lot="90000000"),
    Coin(base="BCH", price="420.15", tick="0.05", step="0.001", lot="10.000"),
)


def coins(count: int) -> list[Coin]:
    """The first `count` underlyings: well-known ones, then as many made-up ones (`SIM012`) as it takes."""
    made_up = (
        Coin(base=f"SIM{n:03d}", price=f"{n}.{n % 100:02d}00", tick="0.0001", step="0.01", lot="250.00")
        for n in range(len(_COINS), max(count, len(_COINS)))
    )
    return [*_COINS, *made_up][:count]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of a simulated venue.

    `tick` and `step` are in the venue's units (a step may count contracts); `price_decimals` and `qty_decimals` are the decimals of its texts on the wire, which
    may pad beyond tick and step.
    """

    instrument: str
    market_type: MarketType
    base: str
    quote: str
    tick: Dec
    step: Dec
    price_decimals: int
    qty_decimals: int
    start_price: Dec
    lot: Dec  # a usual order, in the venue's units
    contract_size: Dec | None = None
    unique_name: str = ""  # `linear/BTCUSDT`, where the venue spells instruments of two markets alike
    extra: Mapping[str, str] = {}  # whatever else the dialect wants to remember of it

    @property
    def world_name(self) -> str:
        """What happenings, markets and streams call it."""
        return self.unique_name or self.instrument


def decimals_of(text: Dec) -> int:
    """Digits after the point: 3 for `0.001`, 2 for `0.10`."""
    return len(text.partition(".")[2])


# What happens -----------------------------------------------------------------------------------------------------------------


class Happening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened to one instrument (by its `Listing.world_name`) at the venue's time `ts_ns`."""

    instrument: str
    ts_ns: int

    @property
    def route(self) -> tuple[int, int]:
        """(every_ns, interval_s) where a kind of happening comes in several cadences."""
        return 0, 0


class TradeDone(Happening, frozen=True, kw_only=True, gc=False):
    """A fill. `number` is consecutive per instrument; `is_buy` is the taker's side."""

    number: int
    price: Ticks
    qty: Steps
    is_buy: bool
    seq: int  # of the book, after the fill


class QuoteMoved(Happening, frozen=True, kw_only=True, gc=False):
    """The best bid or ask changed in price or size."""

    seq: int
    bid: Ticks
    bid_qty: Steps
    ask: Ticks
    ask_qty: Steps


class DepthBatch(Happening, frozen=True, kw_only=True, gc=False):
    """Levels changed since the last batch of this cadence, with their quantities now (0: gone). Bids and asks best first.

    `first_seq..last_seq` are the update numbers inside, `prev_seq` is the `last_seq` of the batch before.
    """

    every_ns: int
    first_seq: int
    last_seq: int
    prev_seq: int
    bids: list[LevelInts]
    asks: list[LevelInts]

    @property
    def route(self) -> tuple[int, int]:
        return self.every_ns, 0


class LiquidationDone(Happening, frozen=True, kw_only=True, gc=False):
    """A position closed by the venue; `is_long` tells which kind died."""

    number: int
    price: Ticks
    qty: Steps
    is_long: bool


class CandleMoved(Happening, frozen=True, kw_only=True, gc=False):
    """A candle as it stands (about four times a second while it changes) or closed. Prices in ticks, volumes in steps; `turnover` is the sum of price x qty in
    ticks x steps."""

    interval_s: int
    open_ns: int
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    volume: Steps
    taker_buy_volume: Steps
    turnover: int
    taker_buy_turnover: int
    trades: int
    first_number: int  # of the trades inside; -1 where there are none
    last_number: int
    is_closed: bool

    @property
    def route(self) -> tuple[int, int]:
        return 0, self.interval_s


class Marked(Happening, frozen=True, kw_only=True, gc=False):
    """Mark, index and the funding estimate, once a second; integers of 10**-MARK_DECIMALS."""

    mark: int
    index: int
    funding: int
    next_funding_ns: int


class InterestMoved(Happening, frozen=True, kw_only=True, gc=False):
    """Open interest, in steps."""

    open_interest: Steps


class StatusChanged(Happening, frozen=True, kw_only=True, gc=False):
    """Listed, halted, delisted."""

    status: InstrumentStatus


class Beat(Happening, frozen=True, kw_only=True, gc=False):
    """A timer of a stream's own: heartbeats, tickers, arrays of all instruments (then `instrument` is empty)."""

    every_ns: int

    @property
    def route(self) -> tuple[int, int]:
        return self.every_ns, 0


class Market(Protocol):
    """One instrument of the world, for reading. Books are best first."""

    listing: Listing
    seq: int
    status: InstrumentStatus
    last_trade: TradeDone | None
    mark: int
    index: int
    funding: int
    next_funding_ns: int
    open_interest: Steps

    def bids(self, depth: int) -> list[LevelInts]: ...

    def asks(self, depth: int) -> list[LevelInts]: ...

    def price_text(self, ticks: Ticks) -> Dec:
        """With the listing's `price_decimals`."""
        ...

    def qty_text(self, steps: Steps) -> Dec:
        """With the listing's `qty_decimals`."""
        ...

    def mark_text(self, value: int) -> Dec:
        """An integer of 10**-MARK_DECIMALS with all its decimals."""
        ...

    def turnover_text(self, turnover: int) -> Dec:
        """Ticks x steps in quote units (times contracts where steps count contracts)."""
        ...

    def levels_text(self, levels: Iterable[LevelInts]) -> list[list[Dec]]:
        """`[[price, qty], ...]` as texts."""
        ...

    def trades(self, first_number: int, limit: int) -> list[TradeDone]:
        """Up to `limit` remembered trades from `first_number` on, oldest first."""
        ...

    def candles(self, interval_s: int, start_ns: int, end_ns: int, limit: int) -> list[CandleMoved]:
        """Remembered candles with `open_ns` in [start, end), oldest first, the open one last; the newest `limit` of them."""
        ...


class Venue(Protocol):
    """The world of one venue, for reading: instruments that are or were listed, by name.

    In a replay there is no world: `markets` then holds every name (`in` is true) and yields none (`get` is `None`, iteration is empty).
    """

    @property
    def markets(self) -> Mapping[str, Market]: ...

    def now_ns(self) -> int:
        """The venue's clock (it may be skewed by a fault)."""
        ...


# What is said of it -----------------------------------------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One payload of a channel and the canonical events it means (`ts_recv_ns` = the moment of issue); no events for heartbeats and the like."""

    payload: bytes
    events: tuple[MarketEvent, ...] = ()
    is_binary: bool = False


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a stream speak. `instrument` empty: of every instrument (or, for a `Beat`, of none)."""

    kind: type[Happening]
    instrument: str = ""
    every_ns: int = 0  # DepthBatch, Beat
    interval_s: int = 0  # CandleMoved


class Stream(Protocol):
    """One channel, shared by all sockets that subscribe it: what it issues is issued once."""

    @property
    def feeds(self) -> frozenset[Feed]: ...

    @property
    def instrument(self) -> str:
        """Empty where it speaks of several."""
        ...

    @property
    def wants(self) -> tuple[Want, ...]: ...

    def welcome(self, now_ns: int) -> Sequence[Message]:
        """For the socket that has just subscribed: a snapshot, the last trade. Pending depth was flushed to the others just before, so the book's `seq` is
        the `last_seq` of this channel's last batch."""
        ...

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        """What this happening makes the venue send. `now_ns` is our clock at the moment of issue."""
        ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        """The same message with a checksum that does not fit; `None` where the channel carries none."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """A frame for this socket alone: greeting, ack, error, pong, application ping. Not a thing issued."""

    frame: bytes
    is_binary: bool = False


class Subscribe(msgspec.Struct, frozen=True):
    """Attach the socket to this topic. A topic that `open_stream` does not know stays silent."""

    topic: str


class Unsubscribe(msgspec.Struct, frozen=True):
    topic: str


class Close(msgspec.Struct, frozen=True):
    """End the socket."""

    code: int = 1000
    reason: str = ""


Step: TypeAlias = Answer | Subscribe | Unsubscribe | Close


class Peer(Protocol):
    """The venue's state of one socket: envelope mode, channel ids, per-connection numbers, ping duties."""

    def greet(self, now_ns: int) -> Sequence[Step]:
        """Right after the handshake: hello frames, subscriptions named in the URL."""
        ...

    def on_frame(self, frame: bytes, now_ns: int) -> Sequence[Step]:
        """A text or binary frame from the client; garbage is answered as the venue answers it."""
        ...

    def on_tick(self, now_ns: int) -> Sequence[Step]:
        """About once a second: pings the venue owes, patience that has run out."""
        ...

    def wrap(self, topic: str, message: Message) -> bytes:
        """The frame as this socket gets it: envelope, channel id, connection sequence, compression. Called once for each frame that is sent."""
        ...

    def notice(self, now_ns: int) -> Sequence[Step]:
        """The venue's own warning that it will cut this socket; empty where it gives none."""
        ...


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """A WebSocket upgrade. `path` is below the venue's base, without query: `/public/ws`. Header names are lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    number: int  # of this socket in the simulation, from 1


class RestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is below the venue's base. `ws_base` and `http_base` are where this venue is served (for answers that name sockets)."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    ws_base: str
    http_base: str
    now_ns: int


class RestReply(msgspec.Struct, frozen=True, kw_only=True):
    """`events` are what a client ought to decode from the body as data of the moment (snapshot, poll, history page)."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    weight: int = 1
    events: tuple[MarketEvent, ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded frame: the payload without its envelope (`Peer.wrap` dresses it anew) and the topics any subscriber of which gets it."""

    payload: bytes
    topics: tuple[str, ...]
    is_binary: bool = False


class Recording(Protocol):
    """Reads the frames of one recorded socket in order, remembering what acks said of its channels."""

    def read(self, frame: bytes) -> Recorded | None:
        """What the frame is today; `None` for acks, heartbeats and the like, which are not replayed."""
        ...


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of a venue that the runtime enforces by itself."""

    ping_every_ns: int | None = None  # WebSocket ping frames sent by the venue
    pong_within_ns: int = 60 * NS_PER_S
    inbound_limit: int | None = (
        None  # client messages in a window, pings and pongs included; above it the socket is closed
    )
    inbound_window_ns: int = NS_PER_S
    lifetime_ns: int | None = None
    deflate: bool = False  # permessage-deflate is accepted where the client offers it
    rest_weight: int = 6000
    rest_window_ns: int = 60 * NS_PER_S
    rest_used_header: str | None = None
    seq_stride: int = 1  # update ids grow by 1..stride per change
    has_checksum: bool = False


class Dialect(Protocol):
    """One venue's side of the wire."""

    exchange: ClassVar[str]
    traits: ClassVar[Traits]

    def endpoints(self, ws_base: str, http_base: str) -> dict[str, str]:
        """`Options.endpoints` of the adapter for a simulation served at these bases."""
        ...

    def listings(self, count: int) -> list[Listing]:
        """The first `count` instruments of each market this venue has, in a fixed order."""
        ...

    def open_socket(self, handshake: Handshake, venue: Venue) -> Peer | RestReply:
        """The state of a new socket, or the HTTP answer to an upgrade that the venue refuses."""
        ...

    def open_stream(self, topic: str, venue: Venue) -> Stream | None:
        """The channel behind a topic; `None` for what the venue acknowledges and never speaks of."""
        ...

    def rest(self, request: RestRequest, venue: Venue) -> RestReply:
        """The answer to any request, errors included."""
        ...

    def refusal(self, status: int, retry_after_s: int) -> RestReply:
        """The venue's body for 429, 418 or a 5xx; the runtime adds `Retry-After`."""
        ...

    def recording(self, url: str) -> Recording:
        """For replays: a reader of the frames recorded on one socket; `url` is empty where the file does not name it."""
        ...

    def recorded_key(self, path: str, query: Mapping[str, str]) -> str:
        """For replays: what a REST request asks for, recorded or made now, without parameters that only widen it: `/api/v3/depth?symbol=X`."""
        ...
