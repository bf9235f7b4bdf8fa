"""The adapter: what HTX offers, and the parts that carry it out."""

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
from .klines import PERIODS
from .plan import Host, Layout
from .session import Session
from .symbols import Place, Places, decode_instruments, place_of
from .wire import EXCHANGE

ENDPOINTS = {
    "spot_ws": "wss://api.huobi.pro",
    "linear_ws": "wss://api.hbdm.com",
    "spot_rest": "https://api.huobi.pro",
    "linear_rest": "https://api.hbdm.com",
}
_SWITCHES = ("spot_book", "mark_price_socket", "topics_per_socket")
_MIN_TOPICS_PER_SOCKET = 10


class Htx:
    """HTX spot and linear contracts. README.md tells the channels, their evidence, the endpoints and the switches."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.DELIVERY}),
        trade_ids=TradeIds.OPAQUE,
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=60 * NS_PER_S),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=60 * NS_PER_S),
            Feed.LIQUIDATIONS: FeedOffer(history=True),
            Feed.KLINES: FeedOffer(history=True, skips_empty=True),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=60 * NS_PER_S),
            Feed.FUNDING: FeedOffer(
                history=True, stale_after_ns=3 * plan.FUNDING_EVERY_NS, every_ns=plan.FUNDING_EVERY_NS
            ),
            Feed.OPEN_INTEREST: FeedOffer(live=False, polled=True),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(EXCHANGE, options.kline_intervals, PERIODS)
        base = {name: options.endpoints.get(name, url).rstrip("/") for name, url in ENDPOINTS.items()}
        switches = options.switches
        check_names(EXCHANGE, switches, _SWITCHES)
        spot_book = chosen(switches, "spot_book", ("150", "400"))
        mark_socket = chosen(switches, "mark_price_socket", ("ws_index", "linear-swap-ws"))
        self._spot_rest, self._linear_rest = base["spot_rest"], base["linear_rest"]
        self._layout = Layout(
            spot_ws=base["spot_ws"],
            linear_ws=base["linear_ws"],
            intervals=options.kline_intervals,
            spot_book=spot_book,
            mark_host=Host.INDEX if mark_socket == "ws_index" else Host.LINEAR,
            topics_per_socket=number(
                switches,
                "topics_per_socket",
                plan.TOPICS_PER_SOCKET,
                _MIN_TOPICS_PER_SOCKET,
                plan.MAX_TOPICS_PER_SOCKET,
            ),
        )
        self._assumed_size = options.assume_contract_size
        self._open_interest_every_ns = options.open_interest_every_ns
        self._known: dict[str, Place] = {}
        self._spot_rule = book.SpotRule(int(spot_book))
        self._linear_rule = book.LinearRule()

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._spot_rest, self._linear_rest)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            place = place_of(instrument, self._assumed_size)
            if place is not None:
                self._known[instrument.instrument] = place

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(instruments, feeds, self._layout)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        if Feed.OPEN_INTEREST not in set(feeds):
            return []
        contracts = [i for i in instruments if i.market_type is not MarketType.SPOT]
        every_ns = rest.open_interest_every_ns(len(contracts), self._open_interest_every_ns)
        return [self._open_interest_poll(instrument.instrument, every_ns) for instrument in contracts]

    def _open_interest_poll(self, code: str, every_ns: int) -> Poll:
        return Poll(
            request=rest.open_interest_request(self._linear_rest, code),
            channel=Channel(
                instrument=code, feed=Feed.OPEN_INTEREST, name="swap_open_interest", stale_after_ns=3 * every_ns
            ),
            every_ns=every_ns,
        )

    def session(self, connection: Connection | None = None) -> contract.Session:
        return Session(self._places(is_strict=connection is not None), self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        is_spot = instrument is None or instrument.market_type is MarketType.SPOT
        return self._spot_rule if is_spot else self._linear_rule

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        """Books come by socket: those of REST are numbered otherwise."""
        return None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.restart_frames(connection, channel)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """Trades are the newest there are: nothing is paged by id here."""
        window = rest.Window(start_ns, end_ns)
        return rest.history_request(self._spot_rest, self._linear_rest, instrument, feed, window, detail or "1m")

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, body, self._places(is_strict=False), recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind == "poll" and tag.feed is Feed.OPEN_INTEREST:
            return rest.decode_open_interest(tag, body, self._places(is_strict=False), recv_ns)
        raise DecodeError(tag.kind, "unknown_channel", f"{tag.feed} {tag.instrument}")

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)

    def _places(self, *, is_strict: bool) -> Places:
        return Places(self._known, self._assumed_size, is_strict=is_strict)


ADAPTER = Htx
