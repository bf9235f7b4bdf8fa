"""The adapter: what Bybit offers, and the parts that carry it out."""

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
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.switches import check_intervals, check_names, chosen, number

from . import book, plan, rest
from .klines import CODES
from .session import Session
from .symbols import Directory, Place, decode_instruments, guessed_place, place_in
from .wire import EXCHANGE

WS_ROOT = "wss://stream.bybit.com"
REST_ROOT = "https://api.bybit.com"

_SEQUENCES = ("consecutive", "increasing")

_SWITCHES = ("book_depth", "book_sequence", "topics_per_socket")


class Bybit:
    """Bybit v5. Endpoint names: `ws`, `rest`. Switches: `book_depth`, `book_sequence`, `topics_per_socket`. README.md tells the channels and their evidence."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset(MarketType),
        trade_ids=TradeIds.OPAQUE,
        same_names=(MarketType.SPOT, MarketType.PERP_LINEAR),
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=10 * NS_PER_S),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=30 * NS_PER_S),
            Feed.LIQUIDATIONS: FeedOffer(),
            Feed.KLINES: FeedOffer(history=True, stale_after_ns=150 * NS_PER_S),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=15 * NS_PER_S),
            Feed.FUNDING: FeedOffer(history=True),
            Feed.OPEN_INTEREST: FeedOffer(),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(self.exchange, options.kline_intervals, CODES)
        check_names(self.exchange, options.switches, _SWITCHES)
        switches = options.switches
        self._ws = options.endpoints.get("ws", WS_ROOT).rstrip("/")
        self._rest = options.endpoints.get("rest", REST_ROOT).rstrip("/")
        self._plan = plan.Options(
            book_depth=int(chosen(switches, "book_depth", tuple(map(str, book.DEPTHS)), str(book.DEFAULT_DEPTH))),
            kline_intervals=options.kline_intervals,
            topics_per_socket=number(
                switches, "topics_per_socket", plan.TOPICS_PER_SOCKET, plan.MIN_TOPICS, plan.MAX_TOPICS
            ),
        )
        self._is_consecutive = chosen(switches, "book_sequence", _SEQUENCES, "consecutive") == "consecutive"
        self._directory = Directory(options.assume_contract_size)

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
        return Session(self._directory, connection, self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        """Offline the depth of a recorded book is not known, so the deepest is allowed for."""
        depth = max(book.DEPTHS) if instrument is None else self._plan.book_depth
        return book.Rule(depth, is_consecutive=self._is_consecutive)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        """None: the socket sends them."""
        return None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.resubscribe_frames(channel.name)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """Nothing pages by trade id: ids have no order."""
        return rest.history_request(self._rest, instrument, feed, start_ns, end_ns, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, self._place(request), body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)

    def _place(self, request: Request) -> Place:
        category, symbol = rest.category_of_url(request.url), request.tag.instrument
        size = self._directory.contract_size
        if category is None:
            return self._directory.offline.get(symbol) or guessed_place(symbol, size)
        return self._directory.by_category[category].get(symbol) or place_in(category, symbol, size)
