"""Binance Spot as an adapter: what it offers, how its sockets are laid out, and where its bodies go."""

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
from feedplane_core.switches import check_intervals, check_names, chosen

from . import plan, rest
from .book import SpotBookRule
from .klines import INTERVAL_S
from .session import SpotSession
from .symbols import StreamSymbols, decode_exchange_info
from .wire import EXCHANGE

ENDPOINTS = {
    "ws": "wss://data-stream.binance.vision",  # market data only, no key
    "rest": "https://data-api.binance.vision",
    "history": "https://api.binance.com",  # the market-data host does not serve historicalTrades
}
_SWITCHES = ("trades", "time_unit", "snapshot_limit")
_SNAPSHOT_LIMIT = "1000"


class BinanceSpot:
    """The adapter of Binance Spot; see README.md for channels and switches."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset({MarketType.SPOT}),
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
            Feed.KLINES: FeedOffer(history=True),
        },
        trade_ids=TradeIds.CONSECUTIVE,
    )
    limits: ClassVar[Limits] = Limits(
        rest_weight=6_000,
        rest_window_ns=60 * NS_PER_S,
        connects=300,
        connect_window_ns=300 * NS_PER_S,
        used_weight_header="X-MBX-USED-WEIGHT-1M",
        channels_per_connection=1_024,
    )

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 - frozen
        self._ws, self._rest, self._history = _bases(options)
        check_intervals(EXCHANGE, options.kline_intervals, INTERVAL_S)
        switches = options.switches
        check_names(EXCHANGE, switches, _SWITCHES)
        self._trade_stream = chosen(switches, "trades", ("trade", "aggTrade"))
        self._time_unit = chosen(switches, "time_unit", ("ms", "us"))
        self._intervals = options.kline_intervals
        self._symbols = StreamSymbols()
        limits = tuple(map(str, rest.SNAPSHOT_LIMITS))
        self._snapshot_limit = int(chosen(switches, "snapshot_limit", limits, _SNAPSHOT_LIMIT))
        self._rule = SpotBookRule(self._snapshot_limit)

    def instruments_requests(self) -> list[Request]:
        return [rest.instruments_request(self._rest)]

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return [instrument for body in bodies for instrument in decode_exchange_info(body)]

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._symbols.use(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        native = plan.native_feeds(feeds)
        channels = {
            instrument.instrument: tuple(plan.channels_of(instrument, native, self._trade_stream, self._intervals))
            for instrument in instruments
        }
        unit = "?timeUnit=MICROSECOND" if self._time_unit == "us" else ""
        return plan.connections(channels, f"{self._ws}/stream{unit}")

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        return []

    def session(self, connection: Connection | None = None) -> Session:
        return SpotSession(self._symbols, connection)

    def book_rule(self, instrument: Instrument | None) -> BookRule:
        return self._rule

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return rest.snapshot_request(self._rest, instrument, self._snapshot_limit)

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.change_frames([channel], [channel])

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(added, removed)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        symbol = instrument.instrument
        if feed is Feed.KLINES:
            interval = detail or "1m"
            return (
                rest.klines_request(self._rest, symbol, interval, start_ns, end_ns) if interval in INTERVAL_S else None
            )
        if feed is not Feed.TRADES:
            return None
        if self._trade_stream == "aggTrade":
            if after_id:
                return rest.agg_trades_by_id(self._rest, symbol, int(after_id) + 1, end_ns)
            return rest.agg_trades_from_time(self._rest, symbol, start_ns, end_ns)
        if after_id:
            return rest.trades_by_id(self._history, symbol, int(after_id) + 1, end_ns)
        return rest.first_trade_at(self._rest, symbol, start_ns, end_ns)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, body, recv_ns, self._history)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind != "book_snapshot":
            raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")
        return [rest.decode_snapshot(tag, body, recv_ns)]

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url)


def _bases(options: Options) -> tuple[str, str, str]:
    """(ws, rest, history). An own `rest` also serves history unless that is named too: a simulator or proxy has one host."""
    given = options.endpoints
    rest_base = given.get("rest", ENDPOINTS["rest"])
    history = given.get("history") or (rest_base if "rest" in given else ENDPOINTS["history"])
    return given.get("ws", ENDPOINTS["ws"]), rest_base, history


ADAPTER = BinanceSpot
