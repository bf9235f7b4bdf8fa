"""Channels of spot: protobuf frames, the channel's name in each."""

from __future__ import annotations

from collections.abc import Sequence

from feedplane_core.dialect import (
    Beat,
    CandleMoved,
    DepthBatch,
    Happening,
    Market,
    Message,
    QuoteMoved,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import BookSnapshot, DepthDiff, Kline, TopOfBook
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from . import wire
from .channel import INTERVALS_S, PUSH_DELAY_MS, BaseStream, CandleStream, ms, trade_event, window_s
from .listing import EXCHANGE

PREFIX = "spot@public."
SPEEDS_MS = {"10ms": 10, "100ms": 100}
_LIMITS = {"5": 5, "10": 10, "20": 20}
_LIMIT_EVERY_NS = 200 * NS_PER_MS
_TICKER_EVERY_NS = 3 * NS_PER_S


class Deals(BaseStream):
    """`aggre.deals`: `tradeType` 1 where the taker bought."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=TradeDone, instrument=symbol)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market, done_ms = self._market, ms(happening.ts_ns)
        event = trade_event(market, happening, now_ns)
        deal = wire.text(1, event.price) + wire.text(2, event.qty) + wire.integer(3, 1 if happening.is_buy else 2)
        deal += wire.integer(4, done_ms) + wire.text(5, event.trade_id)
        body = wire.blob(1, deal) + wire.text(2, self._topic.rpartition("@")[0])
        sent_ms = done_ms + PUSH_DELAY_MS
        payload = wire.wrapped(self._topic, self._symbol, wire.DEALS, body, sent_ms=sent_ms)
        return (Message(payload=payload, events=(event,), is_binary=True),)


class Quotes(BaseStream):
    """`aggre.bookTicker`, numbered as the book."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=QuoteMoved, instrument=symbol)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        market, sent_ms = self._market, ms(happening.ts_ns) + PUSH_DELAY_MS
        (bid,) = market.levels_text([(happening.bid, happening.bid_qty)])
        (ask,) = market.levels_text([(happening.ask, happening.ask_qty)])
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=sent_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bid_price=bid[0],
            bid_qty=bid[1],
            ask_price=ask[0],
            ask_qty=ask[1],
            seq=happening.seq,
        )
        body = b"".join(wire.text(at, value) for at, value in enumerate((*bid, *ask, str(happening.seq)), start=1))
        payload = wire.wrapped(self._topic, self._symbol, wire.BOOK_TICKER, body, sent_ms=sent_ms)
        return (Message(payload=payload, events=(event,), is_binary=True),)


class Depth(BaseStream):
    """`aggre.depth`: the versions of 10 or 100 ms in one frame; no snapshot."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str, speed: str) -> None:
        every_ns = SPEEDS_MS[speed] * NS_PER_MS
        super().__init__(venue, topic, symbol, [Want(kind=DepthBatch, instrument=symbol, every_ns=every_ns)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        market, sent_ms = self._market, ms(happening.ts_ns) + PUSH_DELAY_MS
        bids, asks = market.levels_text(happening.bids), market.levels_text(happening.asks)
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=sent_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            first_seq=happening.first_seq,
            last_seq=happening.last_seq,
        )
        body = wire.levels(1, asks) + wire.levels(2, bids) + wire.text(3, self._topic.rpartition("@")[0])
        body += wire.text(4, str(happening.first_seq)) + wire.text(5, str(happening.last_seq))
        payload = wire.wrapped(self._topic, self._symbol, wire.DEPTHS, body, sent_ms=sent_ms)
        return (Message(payload=payload, events=(event,), is_binary=True),)


class PartialBook(BaseStream):
    """`limit.depth`: the best levels, whole, each time."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str, depth: int) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=Beat, instrument=symbol, every_ns=_LIMIT_EVERY_NS)])
        self._depth = depth

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, sent_ms = self._market, ms(happening.ts_ns) + PUSH_DELAY_MS
        bids, asks = market.levels_text(market.bids(self._depth)), market.levels_text(market.asks(self._depth))
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=sent_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            last_seq=market.seq,
            depth=self._depth,
        )
        body = wire.levels(1, asks) + wire.levels(2, bids) + wire.text(3, f"{PREFIX}limit.depth.v3.api.pb")
        body += wire.text(4, str(market.seq))
        payload = wire.wrapped(self._topic, self._symbol, wire.LIMIT_DEPTHS, body, sent_ms=sent_ms)
        return (Message(payload=payload, events=(event,), is_binary=True),)


class Klines(CandleStream):
    """`kline`: windows in seconds, `createTime` instead of `sendTime`, the close before the high."""

    def _candle_message(
        self, market: Market, candle: CandleMoved, pushed_ms: int, events: tuple[Kline, ...]
    ) -> Message:
        now, (start_s, end_s) = events[-1], window_s(candle)
        prices = (now.open, now.close, now.high, now.low, now.volume, market.turnover_text(candle.turnover))
        body = wire.text(1, self._interval) + wire.integer(2, start_s)
        body += b"".join(wire.text(at, value) for at, value in enumerate(prices, start=3)) + wire.integer(9, end_s)
        payload = wire.wrapped(self._topic, self._symbol, wire.KLINE, body, created_ms=pushed_ms)
        return Message(payload=payload, events=events, is_binary=True)


class MiniTicker(BaseStream):
    """`miniTicker`: a price and turnovers; no quotes, so it means no event."""

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=Beat, instrument=symbol, every_ns=_TICKER_EVERY_NS)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        last = self._market.last_trade
        price = self._market.listing.start_price if last is None else self._market.price_text(last.price)
        body = wire.text(1, self._symbol) + wire.text(2, price)
        payload = wire.wrapped(self._topic, self._symbol, wire.MINI_TICKER, body, sent_ms=ms(happening.ts_ns))
        return (Message(payload=payload, is_binary=True),)


def parts_of(topic: str) -> tuple[str, str, str]:
    """(channel, parameter, symbol) of `spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT` or `spot@public.kline.v3.api.pb@BTCUSDT@Min1`; empty texts for another."""
    head, _, rest = topic.partition("@")[2].partition("@")
    channel = head.removeprefix("public.").removesuffix(".v3.api.pb")
    first, _, second = rest.partition("@")
    if head != f"public.{channel}.v3.api.pb" or not second:
        return "", "", ""
    return (channel, first, second) if channel.startswith("aggre.") else (channel, second, first)


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    channel, parameter, symbol = parts_of(topic)
    if symbol not in venue.markets:
        return None
    match channel:
        case "aggre.deals" if parameter in SPEEDS_MS:
            return Deals(venue, topic, symbol)
        case "aggre.bookTicker" if parameter in SPEEDS_MS:
            return Quotes(venue, topic, symbol)
        case "aggre.depth" if parameter in SPEEDS_MS:
            return Depth(venue, topic, symbol, parameter)
        case "limit.depth" if parameter in _LIMITS:
            return PartialBook(venue, topic, symbol, _LIMITS[parameter])
        case "kline" if parameter in INTERVALS_S:
            return Klines(venue, topic, symbol, parameter)
        case "miniTicker":
            return MiniTicker(venue, topic, symbol)
    return None
