"""The adapter: what Gate offers, and the parts that carry it out."""

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
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed, MarketType
from feedplane_core.switches import check_intervals, check_names, chosen, number

from . import book, plan, rest
from .klines import INTERVALS_S
from .session import Session
from .symbols import Directory, Place, Settle, decode_instruments
from .wire import EXCHANGE

SPOT_URL = "wss://api.gateio.ws/ws/v4/"
FUTURES_ROOT = "wss://fx-ws.gateio.ws/v4/ws"
REST_ROOT = "https://api.gateio.ws/api/v4"

_SWITCHES = ("book_channel", "book_depth", "settles", "contracts", "topics_per_socket")


class Gateio:
    """Gate API v4. Endpoint names: `spot`, `futures`, `rest`. Switches: `book_channel`, `book_depth`, `settles`, `contracts`, `topics_per_socket`. README.md tells the channels."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE}),
        trade_ids=TradeIds.OPAQUE,
        same_names=(MarketType.SPOT, MarketType.PERP_LINEAR),
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=plan.QUOTE_STALE_NS),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=plan.BOOK_STALE_NS),
            Feed.LIQUIDATIONS: FeedOffer(),
            Feed.KLINES: FeedOffer(history=True, stale_after_ns=plan.KLINE_STALE_NS),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=plan.TICKER_STALE_NS),
            Feed.FUNDING: FeedOffer(history=True, stale_after_ns=plan.TICKER_STALE_NS),
            Feed.OPEN_INTEREST: FeedOffer(stale_after_ns=plan.TICKER_STALE_NS),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(self.exchange, options.kline_intervals, INTERVALS_S)
        check_names(self.exchange, options.switches, _SWITCHES)
        switches = options.switches
        self._spot = options.endpoints.get("spot", SPOT_URL)
        self._futures = options.endpoints.get("futures", FUTURES_ROOT).rstrip("/")
        self._rest = options.endpoints.get("rest", REST_ROOT).rstrip("/")
        self._plan = plan.Options(
            uses_obu=chosen(switches, "book_channel", ("obu", "order_book_update")) == "obu",
            obu_depth=int(chosen(switches, "book_depth", tuple(map(str, book.OBU_DEPTHS[::-1])))),
            kline_intervals=options.kline_intervals,
            topics_per_socket=number(
                switches, "topics_per_socket", plan.TOPICS_PER_SOCKET, plan.MIN_TOPICS, plan.MAX_TOPICS
            ),
        )
        self._settles = _settles(switches.get("settles"))
        self._crypto_only = chosen(switches, "contracts", ("crypto", "all")) == "crypto"
        self._directory = Directory(options.assume_contract_size)

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._rest, self._settles)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return decode_instruments(bodies, crypto_only=self._crypto_only)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._directory.add(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(self._spot, self._futures, instruments, feeds, self._plan)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        """None: all that is offered comes by socket."""
        return []

    def session(self, connection: Connection | None = None) -> contract.Session:
        return Session(self._directory, connection, self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        if self._plan.uses_obu:
            return book.Rule(SnapshotSource.SOCKET, self._plan.obu_depth)
        return book.Rule(SnapshotSource.REST, book.UPDATES_DEPTH)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        """None with `obu`: the socket sends them."""
        return None if self._plan.uses_obu else rest.snapshot_request(self._rest, instrument, book.UPDATES_DEPTH)

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.resubscribe_frames(channel.name)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """Nothing pages by trade id: `last_id` is gone on futures and discouraged on spot."""
        return rest.history_request(self._rest, instrument, feed, start_ns, end_ns, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        place = self._place(rest.market_of_url(request.url), request.tag.instrument)
        return rest.decode_page(request, place, body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind != "book_snapshot":
            raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")
        return rest.decode_snapshot(tag, self._place(tag.detail.partition(":")[0], tag.instrument), body, recv_ns)

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)

    def _place(self, market: str, symbol: str) -> Place:
        if market == "spot":
            return self._directory.pairs.get(symbol) or self._directory.pair(symbol)
        return self._directory.contracts.get(symbol) or self._directory.contract(symbol)


def _settles(text: str | None) -> tuple[str, ...]:
    """Settle currencies whose contracts are listed, split at commas."""
    if text is None:
        return (Settle.USDT.value, Settle.BTC.value)
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(named) <= set(Settle):
        raise UsageError("switches.settles", f"{text!r} is not known", f"some of {', '.join(Settle)}, split at commas")
    return named
