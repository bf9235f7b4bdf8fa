"""Coinbase Exchange as an adapter: what it offers, how its sockets are laid out, and where its bodies go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from feedplane_core.adapter import (
    BookRule,
    Channel,
    Connection,
    FeedOffer,
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
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.switches import check_intervals, check_names

from . import plan, rest
from .book import SocketOrderRule
from .klines import GRANULARITY_S
from .session import ExchangeSession
from .symbols import decode_products
from .wire import EXCHANGE

ENDPOINTS = {"ws": "wss://ws-feed.exchange.coinbase.com", "rest": "https://api.exchange.coinbase.com"}

_POLL_EVERY_NS = 60 * NS_PER_S
_POLL_LONG_EVERY_NS = 300 * NS_PER_S  # for candles longer than a minute


class Coinbase:
    """The adapter of Coinbase Exchange; see README.md for channels."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT}),
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
            Feed.KLINES: FeedOffer(live=False, polled=True, history=True, skips_empty=True),
        },
        trade_ids=TradeIds.CONSECUTIVE,
    )
    limits: ClassVar[Limits] = Limits(rest_weight=10, rest_window_ns=NS_PER_S, connects=8, connect_window_ns=NS_PER_S)

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 - frozen
        self._ws = options.endpoints.get("ws", ENDPOINTS["ws"])
        self._rest = options.endpoints.get("rest", ENDPOINTS["rest"])
        check_intervals(EXCHANGE, options.kline_intervals, GRANULARITY_S)
        check_names(EXCHANGE, options.switches, ())
        self._intervals = options.kline_intervals
        self._rule = SocketOrderRule()

    def instruments_requests(self) -> list[Request]:
        return [rest.instruments_request(self._rest)]

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return [instrument for body in bodies for instrument in decode_products(body)]

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Nothing of a product is needed to decode its frames: sizes are in base units."""

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        return plan.connections(instruments, feeds, self._ws)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        if Feed.KLINES not in set(feeds):
            return []
        return [self._candles_poll(i.instrument, interval) for i in instruments for interval in self._intervals]

    def _candles_poll(self, product: str, interval: str) -> Poll:
        return Poll(
            request=rest.candles_poll(self._rest, product, interval),
            channel=Channel(instrument=product, feed=Feed.KLINES, name=f"candles_{interval}"),
            every_ns=_POLL_EVERY_NS if interval == "1m" else _POLL_LONG_EVERY_NS,
        )

    def session(self, connection: Connection | None = None) -> Session:
        return ExchangeSession(self._rest, connection)

    def book_rule(self, instrument: Instrument | None) -> BookRule:
        return self._rule

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.restart_frames(channel)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection.channels, added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        product = instrument.instrument
        if feed is Feed.KLINES:
            interval = detail or "1m"
            served = interval in GRANULARITY_S
            return rest.candles_page(self._rest, product, interval, start_ns, end_ns) if served else None
        if feed is not Feed.TRADES:
            return None
        if after_id:
            return rest.trades_from(self._rest, product, int(after_id) + 1, end_ns)
        return rest.newest_trade(self._rest, product, start_ns, end_ns)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, body, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.feed is not Feed.KLINES:
            raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")
        return list(rest.decode_candles(tag.instrument, tag.detail, body, recv_ns))

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)


ADAPTER = Coinbase
