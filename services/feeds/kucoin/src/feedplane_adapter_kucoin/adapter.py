"""The adapter: what KuCoin offers, and the parts that carry it out."""

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
from feedplane_core.decimals import positive
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.switches import check_intervals, check_names, chosen, number

from . import book, classic, plan, rest, symbols, uta
from .klines import INTERVALS
from .session import Session
from .units import Directory
from .wire import EXCHANGE, System, TradeType

ENDPOINTS = {
    "ws_spot": "wss://x-push-spot.kucoin.com",
    "ws_futures": "wss://x-push-futures.kucoin.com",
    "rest": "https://api.kucoin.com",
    "rest_futures": "https://api-futures.kucoin.com",
}
_SWITCHES = ("system", "topics_per_socket")
_MIN_INTEREST_EVERY_NS = 30 * NS_PER_S
_POLL_KLINES_EVERY_NS = 60 * NS_PER_S


class KuCoin:
    """KuCoin. Endpoint names: `ws_spot`, `ws_futures`, `rest`, `rest_futures`. Switches: `system`, `topics_per_socket`. README.md tells the channels and their evidence."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset(MarketType),
        trade_ids=TradeIds.OPAQUE,
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.L1]),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.OB_DIFFS]),
            Feed.KLINES: FeedOffer(history=True, skips_empty=True),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.MARK_PRICE], every_ns=NS_PER_S),
            Feed.FUNDING: FeedOffer(
                history=True, stale_after_ns=plan.STALE_AFTER_NS[Feed.FUNDING], every_ns=60 * NS_PER_S
            ),
            Feed.OPEN_INTEREST: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS[Feed.OPEN_INTEREST], every_ns=NS_PER_S),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 (frozen)
        check_intervals(EXCHANGE, options.kline_intervals, INTERVALS)
        check_names(EXCHANGE, options.switches, _SWITCHES)
        hosts = {name: options.endpoints.get(name, url).rstrip("/") for name, url in ENDPOINTS.items()}
        self._roots = {TradeType.SPOT: hosts["rest"], TradeType.FUTURES: hosts["rest_futures"]}
        self._system = System(chosen(options.switches, "system", tuple(System), System.UTA))
        self._intervals = options.kline_intervals
        self._interest_every_ns = max(options.open_interest_every_ns, _MIN_INTEREST_EVERY_NS)
        limit = uta.MAX_TOPICS if self._system is System.UTA else classic.MAX_TOPICS
        self._topics_per_socket = number(options.switches, "topics_per_socket", plan.TOPICS_PER_SOCKET, 1, limit)
        sockets = {TradeType.SPOT: hosts["ws_spot"], TradeType.FUTURES: hosts["ws_futures"]}
        self._plan: uta.UtaPlan | classic.ClassicPlan = (
            uta.UtaPlan(sockets, self._intervals, self._topics_per_socket)
            if self._system is System.UTA
            else classic.ClassicPlan(self._roots, self._intervals, self._topics_per_socket)
        )
        self._directory = Directory(_contract_size(options.assume_contract_size))
        self._offline = self._directory.lookup(is_strict=False)

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._roots)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return symbols.decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._directory.add(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(instruments, feeds, self._plan.names, self._topics_per_socket, self._plan.connection)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        return connection if connection.token is None else classic.with_token(connection, body)

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        """Nothing on the UTA system, which streams all; on the classic one what only REST tells of futures."""
        asked = set(feeds) & {Feed.OPEN_INTEREST, Feed.KLINES}
        if self._system is System.UTA or not asked:
            return []
        futures = [i for i in instruments if i.market_type is not MarketType.SPOT]
        calls = len(futures) * ((Feed.OPEN_INTEREST in asked) + len(self._intervals) * (Feed.KLINES in asked))
        polls = []
        for instrument in futures:
            if Feed.OPEN_INTEREST in asked:
                request = rest.interest_request(self._roots[TradeType.FUTURES], instrument.instrument)
                polls.append(_poll(request, "contracts", rest.poll_every_ns(calls, self._interest_every_ns)))
            for interval in self._intervals if Feed.KLINES in asked else ():
                request = rest.klines_poll(self._roots[TradeType.FUTURES], instrument.instrument, interval)
                polls.append(_poll(request, f"kline_{interval}", rest.poll_every_ns(calls, _POLL_KLINES_EVERY_NS)))
        return polls

    def session(self, connection: Connection | None = None) -> contract.Session:
        return Session(self._directory.lookup(is_strict=connection is not None), self.decode_body)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        if self._system is System.UTA:
            return book.Rule(SnapshotSource.SOCKET, book.UTA_DEPTH, book.UTA_DEPTH)
        is_spot = instrument is None or instrument.market_type is MarketType.SPOT
        return book.Rule(SnapshotSource.REST, book.SPOT_REST_DEPTH if is_spot else None, None)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return None if self._system is System.UTA else rest.snapshot_request(self._roots, instrument)

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return self._plan.restart(channel)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return self._plan.change(connection, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        return rest.history_request(self._roots, instrument, feed, start_ns, end_ns, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, self._offline, body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return rest.decode_body(tag, self._offline(tag.instrument, tag.kind), body, recv_ns)

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)


def _poll(request: Request, name: str, every_ns: int) -> Poll:
    tag = request.tag
    assert tag.feed is not None
    channel = Channel(instrument=tag.instrument, feed=tag.feed, name=name, stale_after_ns=3 * every_ns)
    return Poll(request=request, channel=channel, every_ns=every_ns)


def _contract_size(text: str | None) -> str | None:
    try:
        return None if text is None else positive(text, "-", "contract size")
    except DecodeError as error:
        raise UsageError("assumeContractSize", error.detail) from None
