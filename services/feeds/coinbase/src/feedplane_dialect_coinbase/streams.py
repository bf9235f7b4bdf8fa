"""The channels: what each sends for what happens, and what that means. `side` of a match is the MAKER's; `side` of a ticker the taker's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import orjson
from feedplane_core.dialect import (
    Beat,
    DepthBatch,
    Happening,
    Market,
    Message,
    StatusChanged,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import BookSnapshot, DepthDiff, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, NS_PER_US, Aggressor, Feed, MarketType

from .listing import product_row

EXCHANGE = "coinbase"
BATCH_NS = 50 * NS_PER_MS
_TICKER_BATCH_NS = 5 * NS_PER_S
_SPOT = MarketType.SPOT
_WHOLE = 1 << 20


def time_text(ts_ns: int) -> str:
    """ISO-8601 UTC with microseconds."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // NS_PER_US:06d}Z"


def _micro(ts_ns: int) -> int:
    return ts_ns // NS_PER_US * NS_PER_US


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=trade.instrument,
        ts_event_ns=_micro(trade.ts_ns),
        ts_recv_ns=now_ns,
        trade_id=str(trade.number),
        price=market.price_text(trade.price),
        qty=market.qty_text(trade.qty),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


class BaseStream(ABC):
    """What every channel shares: its place, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, *wants: Want) -> None:
        self.instrument = instrument
        self.wants = wants
        self._market: Market = venue.markets[instrument]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


class Matches(BaseStream):
    """`matches`: first the last match there was (from before the socket, so it means no event), then each as it happens."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=TradeDone, instrument=instrument))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        trade = self._market.last_trade
        if trade is None:
            return ()
        return (msgspec.structs.replace(self._message("last_match", trade, now_ns), events=()),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._message("match", happening, now_ns),) if isinstance(happening, TradeDone) else ()

    def _message(self, kind: str, trade: TradeDone, now_ns: int) -> Message:
        event = trade_event(self._market, trade, now_ns)
        body = {
            "type": kind,
            "trade_id": trade.number,
            "maker_order_id": str(UUID(int=2 * trade.number)),
            "taker_order_id": str(UUID(int=2 * trade.number + 1)),
            "side": "sell" if trade.is_buy else "buy",
            "size": event.qty,
            "price": event.price,
            "product_id": self.instrument,
            "sequence": trade.seq,
            "time": time_text(trade.ts_ns),
        }
        return Message(payload=orjson.dumps(body), events=(event,))


class Level2(BaseStream):
    """`level2_batch`: the whole book, then what changed, in batches of 50 ms; no numbers, no checksum."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=DepthBatch, instrument=instrument, every_ns=BATCH_NS))
        self._now: Callable[[], int] = venue.now_ns

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market, ts_ns = self._market, self._now()
        bids, asks = market.levels_text(market.bids(_WHOLE)), market.levels_text(market.asks(_WHOLE))
        body = {"type": "snapshot", "product_id": self.instrument, "asks": asks, "bids": bids, "time": time_text(ts_ns)}
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=_SPOT,
            instrument=self.instrument,
            ts_event_ns=_micro(ts_ns),
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        bids, asks = self._market.levels_text(happening.bids), self._market.levels_text(happening.asks)
        changes = [["buy", *level] for level in bids] + [["sell", *level] for level in asks]
        time = time_text(happening.ts_ns)
        body = {"type": "l2update", "product_id": self.instrument, "changes": changes, "time": time}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=_SPOT,
            instrument=self.instrument,
            ts_event_ns=_micro(happening.ts_ns),
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)


class Heartbeats(BaseStream):
    """`heartbeat`: each second the last trade id, so that a lost match shows."""

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Beat, instrument=instrument, every_ns=NS_PER_S))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        trade = self._market.last_trade
        body = {
            "type": "heartbeat",
            "last_trade_id": trade.number if trade else 0,
            "product_id": self.instrument,
            "sequence": self._market.seq,
            "time": time_text(happening.ts_ns),
        }
        return (Message(payload=orjson.dumps(body)),)


class Tickers(BaseStream):
    """`ticker` on each match, `ticker_batch` every five seconds. It fires on trades: no channel of quotes, so it means no event."""

    def __init__(self, venue: Venue, instrument: str, is_batch: bool) -> None:
        want = Want(kind=TradeDone, instrument=instrument)
        if is_batch:
            want = Want(kind=Beat, instrument=instrument, every_ns=_TICKER_BATCH_NS)
        super().__init__(venue, instrument, want)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, trade = self._market, self._market.last_trade
        if trade is None:
            return ()
        ((bid, bid_qty),), ((ask, ask_qty),) = market.levels_text(market.bids(1)), market.levels_text(market.asks(1))
        price, start = market.price_text(trade.price), market.listing.start_price
        body = {"type": "ticker", "sequence": trade.seq, "product_id": self.instrument, "price": price}
        body |= {"open_24h": start, "volume_24h": "0", "low_24h": start, "high_24h": start, "volume_30d": "0"}
        body |= {"best_bid": bid, "best_bid_size": bid_qty, "best_ask": ask, "best_ask_size": ask_qty}
        body |= {"side": "buy" if trade.is_buy else "sell", "time": time_text(trade.ts_ns), "trade_id": trade.number}
        return (Message(payload=orjson.dumps(body | {"last_size": market.qty_text(trade.qty)})),)


class Statuses:
    """`status`: all products on subscribing, and again when one changes."""

    feeds: frozenset[Feed] = frozenset()
    instrument = ""
    wants = (Want(kind=StatusChanged),)

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def welcome(self, now_ns: int) -> Sequence[Message]:
        products = [product_row(market) for market in self._venue.markets.values()]
        return (Message(payload=orjson.dumps({"type": "status", "products": products, "currencies": []})),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return self.welcome(now_ns)

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


def open_stream(topic: str, venue: Venue) -> BaseStream | Statuses | None:
    """The channel behind `channel:product`."""
    channel, _, product = topic.partition(":")
    match channel:
        case "matches":
            return Matches(venue, product)
        case "level2_batch":
            return Level2(venue, product)
        case "heartbeat":
            return Heartbeats(venue, product)
        case "ticker" | "ticker_batch":
            return Tickers(venue, product, channel == "ticker_batch")
        case "status":
            return Statuses(venue)
    return None
