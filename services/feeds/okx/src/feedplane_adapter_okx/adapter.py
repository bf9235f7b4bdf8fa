"""The adapter: what OKX offers, and the parts that carry it out."""

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
    SnapshotSource,
    Tag,
    TradeIds,
)
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed, MarketType
from feedplane_core.switches import check_intervals, check_names, chosen, number

from . import book, klines, plan, rest, symbols
from .places import Places, View
from .session import Session
from .wire import EXCHANGE

WS_ROOT = "wss://ws.okx.com:8443"
REST_ROOT = "https://www.okx.com"
_SWITCHES = ("book_snapshot", "books_per_socket")


class Okx:
    """OKX v5. Endpoint names: `ws`, `rest`. Switches: `book_snapshot`, `books_per_socket`. README.md tells the channels and their evidence."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE, MarketType.DELIVERY}),
        trade_ids=TradeIds.CONSECUTIVE,
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.L1]),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.OB_DIFFS]),
            Feed.LIQUIDATIONS: FeedOffer(),
            Feed.KLINES: FeedOffer(history=True, skips_empty=True),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.MARK_PRICE]),
            Feed.FUNDING: FeedOffer(history=True, stale_after_ns=plan.STALE_AFTER_NS[Feed.FUNDING]),
            Feed.OPEN_INTEREST: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.OPEN_INTEREST]),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(EXCHANGE, options.kline_intervals, klines.BARS)
        check_names(EXCHANGE, options.switches, _SWITCHES)
        self._ws = options.endpoints.get("ws", WS_ROOT).rstrip("/")
        self._rest = options.endpoints.get("rest", REST_ROOT).rstrip("/")
        self._intervals = options.kline_intervals
        self._source = SnapshotSource(chosen(options.switches, "book_snapshot", tuple(SnapshotSource)))
        self._books_per_socket = number(
            options.switches, "books_per_socket", plan.BOOKS_PER_SOCKET, 1, plan.CHANNELS_PER_SOCKET
        )
        self._places = Places(options.assume_contract_size)

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._rest)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return symbols.decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._places.learn(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(self._ws, instruments, feeds, self._intervals, self._books_per_socket)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        """None: every feed has a channel."""
        return []

    def session(self, connection: Connection | None = None) -> contract.Session:
        return Session(View(self._places, is_strict=connection is not None), self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        return book.Rule(instrument, self._source)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return rest.snapshot_request(self._rest, instrument.instrument) if self._source is SnapshotSource.REST else None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.restart_frames(channel)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection.channels, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        if not plan.carries(instrument, feed):
            return None
        return rest.history_request(self._rest, instrument, feed, start_ns, end_ns, after_id, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        place = View(self._places, is_strict=False).of(request.tag.instrument, request.tag.kind)
        return rest.decode_page(request, place, body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind != "book_snapshot":
            raise DecodeError(tag.kind, "unknown_channel", f"{tag.feed} {tag.instrument}")
        place = View(self._places, is_strict=False).of(tag.instrument, tag.kind)
        return book.decode_body(body, place, recv_ns, int(tag.detail) if tag.detail.isdecimal() else 1)

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)


ADAPTER = Okx
