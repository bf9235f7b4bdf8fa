"""The adapter: what Bitfinex offers, and the parts that carry it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from feedplane_core import adapter as contract
from feedplane_core.adapter import (
    Channel,
    Connection,
    FeedOffer,
    Limits,
    Offers,
    Options,
    Page,
    Poll,
    Request,
    Tag,
    TradeIds,
)
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed, MarketType
from feedplane_core.switches import check_intervals, check_names, chosen, number

from . import book, derivatives, plan, rest
from .klines import CODES
from .session import Session, Settings
from .symbols import Directory, decode_instruments
from .wire import EXCHANGE

WS_URL = "wss://api-pub.bitfinex.com/ws/2"
REST_ROOT = "https://api-pub.bitfinex.com"

_TINY_PRICES = ("off", "exponent", "plain")

_SWITCHES = ("book_length", "channels_per_socket", "index_price", "liquidations", "tiny_price_checksum")


class Bitfinex:
    """Bitfinex v2. Endpoint names: `ws`, `rest`. README.md tells the channels, their evidence, and the switches."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT, MarketType.PERP_LINEAR}),
        trade_ids=TradeIds.OPAQUE,
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.OB_DIFFS: FeedOffer(),
            Feed.LIQUIDATIONS: FeedOffer(),
            Feed.KLINES: FeedOffer(history=True, skips_empty=True),
            Feed.MARK_PRICE: FeedOffer(history=True, stale_after_ns=plan.MARK_STALE_NS),
            Feed.FUNDING: FeedOffer(history=True),
            Feed.OPEN_INTEREST: FeedOffer(history=True),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(self.exchange, options.kline_intervals, CODES)
        check_names(self.exchange, options.switches, _SWITCHES)
        switches = options.switches
        length = int(chosen(switches, "book_length", tuple(map(str, book.LENGTHS)), str(book.DEFAULT_LENGTH)))
        self._ws = options.endpoints.get("ws", WS_URL).rstrip("/")
        self._rest = options.endpoints.get("rest", REST_ROOT).rstrip("/")
        self._plan = plan.Options(
            length,
            options.kline_intervals,
            number(switches, "channels_per_socket", plan.CHANNELS_PER_SOCKET, plan.MIN_CHANNELS, plan.MAX_CHANNELS),
        )
        self._settings = Settings(
            book_length=length,
            index_source=chosen(switches, "index_price", derivatives.INDEX_SOURCES, "mark"),
            counts_fills=chosen(switches, "liquidations", derivatives.COUNTED, "triggers") == "fills",
        )
        self._tiny_prices = chosen(switches, "tiny_price_checksum", _TINY_PRICES, "off")
        self._directory = Directory()
        self._chan_ids: dict[str, dict[str, int]] = {}  # by connection key: what its newest session was told

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._rest)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._directory.add(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(self._ws, instruments, feeds, self._plan)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        """None: all that is offered comes by socket."""
        return []

    def session(self, connection: Connection | None = None) -> contract.Session:
        chan_ids: dict[str, int] = {}
        if connection is not None:
            self._chan_ids[connection.key] = chan_ids
        return Session(self._directory, connection, self._settings, chan_ids)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        return book.Rule(self._tiny_prices)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        """None: the socket sends them; a book of REST has no place in its order."""
        return None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        """By the id that the newest socket of this connection was told; empty before it was told any."""
        chan_id = self._chan_ids.get(connection.key, {}).get(channel.name)
        if chan_id is None:
            return []
        return [plan.unsubscribe_frame(chan_id), plan.subscribe_frame(channel.name, self._plan.book_length)]

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        chan_ids = self._chan_ids.get(connection.key, {})
        return plan.change_frames(connection, added, removed, chan_ids, self._plan.book_length)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """Nothing pages by trade id."""
        return rest.history_request(self._rest, instrument, feed, start_ns, end_ns, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, self._directory, body, recv_ns, self._settings.index_source)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)
