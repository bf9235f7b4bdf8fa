"""The channels: what each sends for what happens, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from feedplane_core.dialect import DepthBatch, Happening, Message, Stream, TradeDone, Venue, Want
from feedplane_core.events import BookSnapshot, DepthDiff, Trade
from feedplane_core.names import NS_PER_MS, Aggressor, Feed, MarketType

EXCHANGE = "toy"
_WHOLE_BOOK = 1_000_000
_EVERY_NS = 100 * NS_PER_MS


class Trades:
    """`trades:<market>`."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, market: str) -> None:
        self.instrument = market
        self.wants = (Want(kind=TradeDone, instrument=market),)
        self._market = venue.markets[market]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        at, taker = happening.ts_ns // NS_PER_MS, "buy" if happening.is_buy else "sell"
        price, qty = self._market.price_text(happening.price), self._market.qty_text(happening.qty)
        body = {"type": "trade", "market": self.instrument, "id": happening.number, "at": at}
        body |= {"price": price, "qty": qty, "taker": taker}
        event = Trade(
            exchange=EXCHANGE,
            market_type=MarketType.SPOT,
            instrument=self.instrument,
            ts_event_ns=at * NS_PER_MS,
            ts_recv_ns=now_ns,
            trade_id=str(happening.number),
            price=price,
            qty=qty,
            aggressor=Aggressor(taker),
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


class Book:
    """`book:<market>`: a snapshot for whoever joins, updates for all."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, market: str) -> None:
        self.instrument = market
        self.wants = (Want(kind=DepthBatch, instrument=market, every_ns=_EVERY_NS),)
        self._venue = venue
        self._market = venue.markets[market]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market, at = self._market, self._venue.now_ns() // NS_PER_MS
        bids, asks = market.levels_text(market.bids(_WHOLE_BOOK)), market.levels_text(market.asks(_WHOLE_BOOK))
        body = {"type": "snapshot", "market": self.instrument, "at": at, "seq": market.seq, "bids": bids, "asks": asks}
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=MarketType.SPOT,
            instrument=self.instrument,
            ts_event_ns=at * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            last_seq=market.seq,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        at, prev, last = happening.ts_ns // NS_PER_MS, happening.prev_seq, happening.last_seq
        bids, asks = self._market.levels_text(happening.bids), self._market.levels_text(happening.asks)
        body = {"type": "update", "market": self.instrument, "at": at, "prev": prev, "seq": last}
        body |= {"bids": bids, "asks": asks}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=MarketType.SPOT,
            instrument=self.instrument,
            ts_event_ns=at * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            last_seq=last,
            prev_seq=prev,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


def open_stream(topic: str, venue: Venue) -> Stream | None:
    """The channel behind `trades:BTC-USD`; `None` for one that does not exist."""
    kind, _, market = topic.partition(":")
    if market not in venue.markets:
        return None
    match kind:
        case "trades":
            return Trades(venue, market)
        case "book":
            return Book(venue, market)
    return None
