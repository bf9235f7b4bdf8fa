"""Spot channels: what each sends for what happens, and what that means."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec
import orjson
from feedplane_core.dialect import (
    Beat,
    DepthBatch,
    Happening,
    LevelInts,
    Market,
    Message,
    QuoteMoved,
    StatusChanged,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent, TopOfBook, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed, MarketType

from .candles import Candles
from .channel import BaseStream, frame_of
from .listing import of_system, pair_object
from .text import EXCHANGE, iso, level_objects, micro, number, shortest, wire_levels

DEPTHS = (10, 25, 100, 500, 1000)
MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
_REAL_TIME_NS = 20 * NS_PER_MS
_CHECKED = 10
_TOLD_TRADES = 50
_SPOT = MarketType.SPOT


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=trade.instrument,
        ts_event_ns=micro(trade.ts_ns),
        ts_recv_ns=now_ns,
        trade_id=str(trade.number),
        price=shortest(market.price_text(trade.price)),
        qty=shortest(market.qty_text(trade.qty)),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


class Trades(BaseStream):
    """`trade`: on subscribing, where it is asked for, the last 50; then each as it happens. `side` is the taker's."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, instrument: str, *, tells_last: bool) -> None:
        super().__init__(venue, instrument, Want(kind=TradeDone, instrument=instrument))
        self._tells_last = tells_last

    def welcome(self, now_ns: int) -> Sequence[Message]:
        last = self._market.last_trade
        if last is None or not self._tells_last:
            return ()
        return (self._message("snapshot", self._market.trades(last.number - _TOLD_TRADES + 1, _TOLD_TRADES), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._message("update", [happening], now_ns),) if isinstance(happening, TradeDone) else ()

    def _message(self, kind: str, trades: list[TradeDone], now_ns: int) -> Message:
        events = [trade_event(self._market, trade, now_ns) for trade in trades]
        data = [
            {
                "symbol": self.instrument,
                "side": event.aggressor.value,
                "price": number(event.price),
                "qty": number(event.qty),
                "ord_type": "market",
                "trade_id": trade.number,
                "timestamp": iso(trade.ts_ns),
            }
            for trade, event in zip(trades, events, strict=True)
        ]
        return Message(payload=frame_of("trade", kind, data), events=tuple(events))


class Tickers(BaseStream):
    """`ticker`: with the trigger `bbo` whenever the best bid or ask moves, else on trades."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, instrument: str, *, is_bbo: bool) -> None:
        super().__init__(venue, instrument, Want(kind=QuoteMoved if is_bbo else TradeDone, instrument=instrument))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._message("snapshot", self._now(), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._message("update", happening.ts_ns, now_ns),)

    def _message(self, kind: str, ts_ns: int, now_ns: int) -> Message:
        market, start = self._market, number(shortest(self._market.listing.start_price))
        ((bid, bid_qty),), ((ask, ask_qty),) = wire_levels(market, market.bids(1)), wire_levels(market, market.asks(1))
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=_SPOT,
            instrument=self.instrument,
            ts_event_ns=micro(ts_ns),
            ts_recv_ns=now_ns,
            bid_price=bid,
            bid_qty=bid_qty,
            ask_price=ask,
            ask_qty=ask_qty,
        )
        row: dict[str, object] = {"symbol": self.instrument, "bid": number(bid), "bid_qty": number(bid_qty)}
        row |= {"ask": number(ask), "ask_qty": number(ask_qty), "last": start, "volume": 0.0, "vwap": start}
        row |= {"low": start, "high": start, "change": 0.0, "change_pct": 0.0, "trades": 0, "timestamp": iso(ts_ns)}
        return Message(payload=frame_of("ticker", kind, [row]), events=(event,))


class Book(BaseStream):
    """`book`: the best levels to the subscribed depth, then what changes among them. What is pushed out is not deleted; what comes back is sent again."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str, depth: int) -> None:
        super().__init__(venue, instrument, Want(kind=DepthBatch, instrument=instrument, every_ns=_REAL_TIME_NS))
        self._depth = depth
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def _look(self) -> tuple[list[LevelInts], list[LevelInts]]:
        bids, asks = self._market.bids(self._depth), self._market.asks(self._depth)
        self._bids, self._asks = dict(bids), dict(asks)
        return bids, asks

    def welcome(self, now_ns: int) -> Sequence[Message]:
        bids, asks = self._look()
        return (self._message("snapshot", bids, asks, self._now(), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        old_bids, old_asks = self._bids, self._asks
        self._look()
        bids = self._changes(old_bids, self._bids, is_bid=True)
        asks = self._changes(old_asks, self._asks, is_bid=False)
        return (self._message("update", bids, asks, happening.ts_ns, now_ns),) if bids or asks else ()

    def _changes(self, old: dict[int, int], new: dict[int, int], *, is_bid: bool) -> list[LevelInts]:
        """Deletes of what is gone (not of what was pushed out), then what is new or has changed."""
        worst = (min(new) if is_bid else max(new)) if len(new) >= self._depth else None
        gone = [tick for tick in old.keys() - new.keys() if worst is None or (tick > worst) is is_bid]
        changed = [(tick, qty) for tick, qty in new.items() if old.get(tick) != qty]
        return [*((tick, 0) for tick in sorted(gone, reverse=is_bid)), *changed]

    def _message(self, kind: str, bids: list[LevelInts], asks: list[LevelInts], ts_ns: int, now_ns: int) -> Message:
        checksum = self._checksum()
        wire_bids, wire_asks = wire_levels(self._market, bids), wire_levels(self._market, asks)
        row = {"symbol": self.instrument, "bids": level_objects(wire_bids), "asks": level_objects(wire_asks)}
        event: MarketEvent
        if kind == "snapshot":
            event = BookSnapshot(
                exchange=EXCHANGE,
                market_type=_SPOT,
                instrument=self.instrument,
                ts_event_ns=micro(ts_ns),
                ts_recv_ns=now_ns,
                bids=wire_bids,
                asks=wire_asks,
                checksum=checksum,
                depth=self._depth,
            )
        else:
            event = DepthDiff(
                exchange=EXCHANGE,
                market_type=_SPOT,
                instrument=self.instrument,
                ts_event_ns=micro(ts_ns),
                ts_recv_ns=now_ns,
                bids=wire_bids,
                asks=wire_asks,
                checksum=checksum,
            )
        payload = frame_of("book", kind, [row | {"checksum": checksum, "timestamp": iso(ts_ns)}])
        return Message(payload=payload, events=(event,))

    def _checksum(self) -> int:
        """Over the best ten asks, then the best ten bids, with all their zeros, without points and leading zeros."""
        market = self._market
        best = [*market.asks(_CHECKED), *market.bids(_CHECKED)]
        texts = (text for tick, qty in best for text in (market.price_text(tick), market.qty_text(qty)))
        return crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())

    def with_wrong_checksum(self, message: Message) -> Message | None:
        body = orjson.loads(message.payload)
        right = body["data"][0]["checksum"]
        payload = message.payload.replace(b'"checksum":%d' % right, b'"checksum":%d' % (right ^ 1))
        return msgspec.structs.replace(message, payload=payload)


class _OfNone:
    """A channel of all pairs or of none; it means no event."""

    feeds: frozenset[Feed] = frozenset()
    instrument = ""
    wants: tuple[Want, ...] = ()

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


class Heartbeats(_OfNone):
    """`heartbeat`, about every second while anything is subscribed."""

    wants = (Want(kind=Beat, every_ns=NS_PER_S),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (Message(payload=b'{"channel":"heartbeat"}'),)


class Instruments(_OfNone):
    """`instrument`: all pairs where a snapshot is asked for, then those that change."""

    wants = (Want(kind=StatusChanged),)

    def __init__(self, venue: Venue, *, tells_all: bool) -> None:
        self._venue = venue
        self._tells_all = tells_all

    def welcome(self, now_ns: int) -> Sequence[Message]:
        markets = of_system(list(self._venue.markets.values()), spot=True)
        return (self._message("snapshot", markets),) if self._tells_all else ()

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market = self._venue.markets.get(happening.instrument)
        if market is None or market.listing.market_type is not MarketType.SPOT:
            return ()
        return (self._message("update", [market]),)

    def _message(self, kind: str, markets: list[Market]) -> Message:
        data = {"assets": [], "pairs": [pair_object(market) for market in markets]}
        return Message(payload=frame_of("instrument", kind, data))


def open_stream(topic: str, venue: Venue) -> BaseStream | Heartbeats | Instruments | None:
    """The channel behind a topic of `SpotPeer`: `book-100:BTC/USD`."""
    name, _, symbol = topic.partition(":")
    channel, _, argument = name.partition("-")
    match channel:
        case "heartbeat":
            return Heartbeats()
        case "instrument":
            return Instruments(venue, tells_all=argument == "all")
        case _ if symbol not in venue.markets:
            return None
        case "trade":
            return Trades(venue, symbol, tells_last=argument == "last")
        case "ticker":
            return Tickers(venue, symbol, is_bbo=argument == "bbo")
        case "book":
            return Book(venue, symbol, int(argument))
        case "ohlc":
            return Candles(venue, symbol, int(argument))
    return None
