"""The adapter: what MEXC offers, and the parts that carry it out."""

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
from .klines import BY_NAME
from .session import Session
from .symbols import Directory, decode_instruments
from .wire import EXCHANGE

SPOT_WS_ROOT, SPOT_REST_ROOT = "wss://wbs-api.mexc.com", "https://api.mexc.com"
FUTURES_WS_ROOT, FUTURES_REST_ROOT = "wss://contract.mexc.com", "https://api.mexc.com"

_WITH_CANDLES = frozenset({MarketType.SPOT, MarketType.PERP_LINEAR})

_SWITCHES = ("spot_speed", "futures_deals", "futures_depth", "spot_streams_per_socket", "futures_streams_per_socket")


class Mexc:
    """MEXC. Endpoint names: `spot_ws`, `spot_rest`, `futures_ws`, `futures_rest`. Switches: `spot_speed`, `futures_deals`, `futures_depth`, `spot_streams_per_socket`,
    `futures_streams_per_socket`. README.md tells the channels and their evidence."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE}),
        trade_ids=TradeIds.OPAQUE,
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(live_on=frozenset({MarketType.SPOT})),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=120 * NS_PER_S),
            Feed.KLINES: FeedOffer(history=True, skips_empty=True, live_on=_WITH_CANDLES),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=15 * NS_PER_S),
            Feed.FUNDING: FeedOffer(history=True),
            Feed.OPEN_INTEREST: FeedOffer(stale_after_ns=15 * NS_PER_S),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(self.exchange, options.kline_intervals, BY_NAME)
        check_names(self.exchange, options.switches, _SWITCHES)
        switches, endpoints = options.switches, options.endpoints
        self._spot_ws = endpoints.get("spot_ws", SPOT_WS_ROOT).rstrip("/")
        self._spot_rest = endpoints.get("spot_rest", SPOT_REST_ROOT).rstrip("/")
        self._futures_ws = endpoints.get("futures_ws", FUTURES_WS_ROOT).rstrip("/")
        self._futures_rest = endpoints.get("futures_rest", FUTURES_REST_ROOT).rstrip("/")
        self._plan = plan.Options(
            kline_intervals=options.kline_intervals,
            spot_speed=chosen(switches, "spot_speed", ("10ms", "100ms")),
            merges_deals=chosen(switches, "futures_deals", ("every", "merged")) == "merged",
            merges_depth=chosen(switches, "futures_depth", ("merged", "every")) == "merged",
            spot_streams=number(switches, "spot_streams_per_socket", plan.SPOT_STREAMS, 1, plan.MAX_SPOT_STREAMS),
            futures_streams=number(
                switches, "futures_streams_per_socket", plan.FUTURES_STREAMS, 1, plan.MAX_FUTURES_STREAMS
            ),
        )
        self._directory = Directory(options.assume_contract_size)

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._spot_rest, self._futures_rest)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._directory.add(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(self._spot_ws, self._futures_ws, instruments, feeds, self._plan)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        """None: all that is offered comes by socket."""
        return []

    def session(self, connection: Connection | None = None) -> contract.Session:
        return Session(self._directory, connection, self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        return book.Rule(None if instrument is None else instrument.market_type)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return rest.book_snapshot_request(self._spot_rest, self._futures_rest, instrument.instrument)

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.resubscribe_frames(channel.name, self._plan)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection, added, removed, self._plan)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """Nothing pages by trade id: ids have no order."""
        return rest.history_request(self._spot_rest, self._futures_rest, instrument, feed, start_ns, end_ns, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, self._directory.place(request.tag.instrument), body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind != book.SNAPSHOT:
            raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")
        return [rest.decode_book(self._directory.place(tag.instrument), tag.instrument, body, recv_ns)]

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)
