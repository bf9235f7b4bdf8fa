"""Toy as an adapter: what it offers, how its sockets are laid out, and where its bodies go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar
from urllib.parse import urlsplit

import orjson
from feedplane_core.adapter import (
    BookRule,
    Channel,
    Connection,
    FeedOffer,
    Frame,
    Limits,
    Offers,
    Options,
    Page,
    Poll,
    Request,
    Session,
    Tag,
    TradeIds,
)
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import DERIVED_FEEDS, NS_PER_S, Feed, MarketType
from feedplane_core.plan import place
from feedplane_core.switches import check_names

from .book import ToyBookRule
from .session import ToySession
from .symbols import decode_markets
from .wire import EXCHANGE

ENDPOINTS = {"ws": "wss://ws.toy.example", "rest": "https://rest.toy.example"}
CHANNELS_PER_SOCKET = 200
_CHANNEL_NAMES = {Feed.TRADES: "trades", Feed.OB_DIFFS: "book"}
_MARKETS_PATH = "/markets"


class Toy:
    """The adapter of Toy; see README.md for its channels."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT}),
        feeds={Feed.TRADES: FeedOffer(), Feed.OB_DIFFS: FeedOffer(stale_after_ns=60 * NS_PER_S)},
        trade_ids=TradeIds.CONSECUTIVE,
    )
    limits: ClassVar[Limits] = Limits(
        rest_weight=600,
        rest_window_ns=60 * NS_PER_S,
        connects=60,
        connect_window_ns=60 * NS_PER_S,
        channels_per_connection=CHANNELS_PER_SOCKET,
    )

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 - frozen
        check_names(EXCHANGE, options.switches, ())
        self._endpoints = ENDPOINTS | dict(options.endpoints)
        self._rule = ToyBookRule()

    def instruments_requests(self) -> list[Request]:
        return [Request(url=self._endpoints["rest"] + _MARKETS_PATH, tag=Tag(kind="instruments"))]

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return [instrument for body in bodies for instrument in decode_markets(body)]

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Nothing to learn: frames spell a market as the list does, and sizes are in base units."""

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        wanted = set(feeds)
        if wanted & DERIVED_FEEDS:
            wanted |= {Feed.OB_DIFFS, Feed.TRADES}
        channels = {i.instrument: [_channel(i, feed) for feed in _CHANNEL_NAMES if feed in wanted] for i in instruments}
        placed = place({name: len(own) for name, own in channels.items() if own}, CHANNELS_PER_SOCKET)
        return [
            self._connection(number, [channel for name in names for channel in channels[name]])
            for number, names in placed.items()
        ]

    def _connection(self, number: int, channels: Sequence[Channel]) -> Connection:
        return Connection(
            key=f"{EXCHANGE}:{number}",
            url=self._endpoints["ws"],
            channels=tuple(channels),
            subscribe=(_control_frame("subscribe", channels),),
            max_frame_bytes=4 << 20,
            capacity=CHANNELS_PER_SOCKET,
        )

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        return []

    def session(self, connection: Connection | None = None) -> Session:
        return ToySession()

    def book_rule(self, instrument: Instrument | None) -> BookRule:
        return self._rule

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[Frame]:
        return self.change_subscription(connection, [channel], [channel])

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[Frame]:
        changes = (("unsubscribe", removed), ("subscribe", added))
        return [_control_frame(op, channels) for op, channels in changes if channels]

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        return None

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        raise DecodeError(request.tag.kind, "unknown_channel", "there is no history")

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")

    def tag_of(self, url: str) -> Tag | None:
        return Tag(kind="instruments") if urlsplit(url).path.endswith(_MARKETS_PATH) else None


def _channel(instrument: Instrument, feed: Feed) -> Channel:
    return Channel(
        instrument=instrument.instrument,
        feed=feed,
        name=f"{_CHANNEL_NAMES[feed]}:{instrument.instrument}",
        stale_after_ns=Toy.offers.feeds[feed].stale_after_ns,
    )


def _control_frame(op: str, channels: Sequence[Channel]) -> Frame:
    """`{"op":"subscribe","channels":["trades:BTC-USD"]}`."""
    return orjson.dumps({"op": op, "channels": [channel.name for channel in channels]})


ADAPTER = Toy
