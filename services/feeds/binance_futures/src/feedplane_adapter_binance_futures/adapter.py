"""The adapter: what Binance USD-M futures offers, and the parts that carry it out."""

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
from feedplane_core.switches import check_intervals, check_names, number

from . import book, derivatives, plan, rest, symbols
from .klines import INTERVALS_S
from .session import Session
from .wire import Markets

WS_ROOT = "wss://fstream.binance.com"
REST_ROOT = "https://fapi.binance.com"


class BinanceFutures:
    """Binance USD-M futures. Endpoint names: `ws`, `rest`. Switches: `streams_per_socket`. README.md tells the channels and their evidence."""

    exchange: ClassVar[str] = symbols.EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.PERP_LINEAR, MarketType.DELIVERY}),
        trade_ids=TradeIds.CONSECUTIVE,
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=10 * NS_PER_S),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=10 * NS_PER_S),
            Feed.LIQUIDATIONS: FeedOffer(),
            Feed.KLINES: FeedOffer(history=True, stale_after_ns=70 * NS_PER_S),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=5 * NS_PER_S, every_ns=NS_PER_S),
            Feed.FUNDING: FeedOffer(history=True, stale_after_ns=5 * NS_PER_S, every_ns=NS_PER_S),
            Feed.OPEN_INTEREST: FeedOffer(live=False, polled=True),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(self.exchange, options.kline_intervals, INTERVALS_S)
        check_names(self.exchange, options.switches, ("streams_per_socket",))
        self._ws = options.endpoints.get("ws", WS_ROOT).rstrip("/")
        self._rest = options.endpoints.get("rest", REST_ROOT).rstrip("/")
        self._intervals = options.kline_intervals
        self._open_interest_every_ns = options.open_interest_every_ns
        self._streams_per_socket = number(
            options.switches, "streams_per_socket", plan.STREAMS_PER_SOCKET, 1, plan.MAX_STREAMS
        )
        self._known: dict[str, MarketType] = {}
        self._funding_intervals: dict[str, int | None] = {}

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._rest)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return symbols.decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            self._known[instrument.instrument] = instrument.market_type
            self._funding_intervals[instrument.instrument] = instrument.funding_interval_s

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(self._ws, instruments, feeds, self._intervals, self._streams_per_socket)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        if Feed.OPEN_INTEREST not in set(feeds):
            return []
        every_ns = rest.open_interest_every_ns(len(instruments), self._open_interest_every_ns)
        return [
            Poll(
                request=rest.open_interest_request(self._rest, instrument.instrument),
                channel=Channel(
                    instrument=instrument.instrument,
                    feed=Feed.OPEN_INTEREST,
                    name="openInterest",
                    stale_after_ns=3 * every_ns,
                ),
                every_ns=every_ns,
            )
            for instrument in instruments
        ]

    def session(self, connection: Connection | None = None) -> contract.Session:
        markets = Markets(self._known, is_strict=connection is not None)
        return Session(markets, self._funding_intervals, self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        return book.Rule()

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return rest.snapshot_request(self._rest, instrument.instrument, book.SNAPSHOT_DEPTH)

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.resubscribe_frames(channel.name)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        return rest.history_request(self._rest, instrument, feed, start_ns, end_ns, after_id, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        symbol = request.tag.instrument
        return rest.decode_page(request, self._market(symbol), self._funding_intervals.get(symbol), body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind == "book_snapshot":
            market = self._market(tag.instrument)
            return [book.decode_snapshot(body, tag.instrument, market, int(tag.detail), recv_ns)]
        if tag.kind == "poll" and tag.feed is Feed.OPEN_INTEREST:
            return [derivatives.decode_open_interest(body, self._market(tag.instrument), recv_ns)]
        raise DecodeError(tag.kind, "unknown_channel", f"{tag.feed} {tag.instrument}")

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)

    def _market(self, symbol: str) -> MarketType:
        return Markets(self._known, is_strict=False)[symbol]
