"""The adapter: what Kraken offers, and the parts that carry it out."""

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
from feedplane_core.switches import check_intervals, check_names, chosen

from . import book, futures, plan, rest, symbols
from .directory import Directory
from .klines import INTERVALS_S
from .session import KrakenSession
from .wire import EXCHANGE

ENDPOINTS = {
    "ws": "wss://ws.kraken.com/v2",
    "rest": "https://api.kraken.com",
    "futures_ws": "wss://futures.kraken.com/ws/v1",
    "futures_rest": "https://futures.kraken.com",
}
_SWITCHES = ("book_depth", "block_trades")


class Kraken:
    """Kraken spot (WebSocket v2) and Kraken Futures. README.md tells endpoints, switches, channels and their evidence."""

    exchange: ClassVar[str] = EXCHANGE
    offers: ClassVar[Offers] = Offers(
        markets=frozenset(
            {MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE, MarketType.DELIVERY},
        ),
        trade_ids=TradeIds.CONSECUTIVE,  # on spot; futures have UUIDs
        feeds={
            Feed.TRADES: FeedOffer(history=True),
            Feed.L1: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
            Feed.OB_DIFFS: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
            Feed.LIQUIDATIONS: FeedOffer(),
            Feed.KLINES: FeedOffer(
                polled=True,
                history=True,
                skips_empty=True,
                live_on=frozenset({MarketType.SPOT}),
                polled_on=frozenset({MarketType.PERP_LINEAR}),
            ),
            Feed.MARK_PRICE: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
            Feed.FUNDING: FeedOffer(history=True, stale_after_ns=plan.STALE_AFTER_NS),
            Feed.OPEN_INTEREST: FeedOffer(stale_after_ns=plan.STALE_AFTER_NS),
        },
    )
    limits: ClassVar[Limits] = rest.LIMITS

    def __init__(self, options: Options = Options()) -> None:  # noqa: B008 - frozen
        check_intervals(EXCHANGE, options.kline_intervals, INTERVALS_S)
        urls = {name: options.endpoints.get(name, url).rstrip("/") for name, url in ENDPOINTS.items()}
        self._spot_ws, self._futures_ws = urls["ws"], urls["futures_ws"]
        self._rest, self._futures_rest = urls["rest"], urls["futures_rest"]
        self._intervals = options.kline_intervals
        switches = options.switches
        check_names(EXCHANGE, switches, _SWITCHES)
        depths = tuple(map(str, book.DEPTHS))
        self._book_depth = int(chosen(switches, "book_depth", depths, str(book.DEFAULT_DEPTH)))
        self._drops_blocks = chosen(switches, "block_trades", ("keep", "drop")) == "drop"
        self._directory = Directory(options.assume_contract_size)

    def instruments_requests(self) -> list[Request]:
        return rest.instruments_requests(self._rest, self._futures_rest)

    def decode_instruments(self, bodies: Sequence[bytes]) -> list[Instrument]:
        return symbols.decode_instruments(bodies)

    def use_instruments(self, instruments: Iterable[Instrument]) -> None:
        self._directory.add(instruments)

    def subscriptions(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Connection]:
        minutes = [INTERVALS_S[interval] // 60 for interval in self._intervals]
        return plan.connections(self._spot_ws, self._futures_ws, instruments, feeds, self._book_depth, minutes)

    def connection_with_token(self, connection: Connection, body: bytes) -> Connection:
        """Public sockets need no token."""
        return connection

    def polls(self, instruments: Sequence[Instrument], feeds: Iterable[Feed]) -> list[Poll]:
        if Feed.KLINES not in set(feeds):
            return []
        asked = [
            (instrument.instrument, interval)
            for instrument in instruments
            if instrument.market_type is MarketType.PERP_LINEAR
            for interval in self._intervals
        ]
        every_ns = rest.candles_every_ns(len(asked))
        return [
            Poll(
                request=rest.candles_poll(self._futures_rest, symbol, interval),
                channel=Channel(instrument=symbol, feed=Feed.KLINES, name=f"charts_{interval}"),
                every_ns=every_ns,
            )
            for symbol, interval in asked
        ]

    def session(self, connection: Connection | None = None) -> contract.Session:
        return KrakenSession(self._directory, connection, self._book_depth, drops_blocks=self._drops_blocks)

    def book_rule(self, instrument: Instrument | None) -> contract.BookRule:
        """Of spot where the instrument is not named."""
        if instrument is not None and instrument.market_type is not MarketType.SPOT:
            return futures.FuturesRule()
        symbol = "" if instrument is None else instrument.instrument
        return book.SpotRule(symbol, self._directory.precisions, self._book_depth)

    def book_snapshot_request(self, instrument: Instrument) -> Request | None:
        return None

    def resubscribe(self, connection: Connection, channel: Channel) -> list[bytes]:
        return plan.restart_frames(connection, channel, self._book_depth)

    def change_subscription(
        self, connection: Connection, added: Sequence[Channel], removed: Sequence[Channel]
    ) -> list[bytes]:
        return plan.change_frames(connection, added, removed, self._book_depth)

    def history_request(
        self, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str = "", detail: str = ""
    ) -> Request | None:
        """Pages go by time; `after_id` is not needed."""
        return rest.history_request(self._rest, self._futures_rest, instrument, feed, start_ns, end_ns, detail)

    def decode_page(self, request: Request, body: bytes, recv_ns: int) -> Page:
        return rest.decode_page(request, body, self._directory, recv_ns)

    def decode_body(self, tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if tag.kind == "poll" and tag.feed is Feed.KLINES:
            return rest.decode_poll(tag, body, self._directory, recv_ns)
        raise DecodeError(tag.kind, "unknown_channel", "no such body is asked for")

    def tag_of(self, url: str) -> Tag | None:
        return rest.tag_of(url, self._directory)


ADAPTER = Kraken
