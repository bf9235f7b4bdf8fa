"""Trades, quotes and books, and which channel a stream name stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import (
    Beat,
    DepthBatch,
    Happening,
    Market,
    Message,
    QuoteMoved,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import (
    DepthDiff,
    TopOfBook,
    Trade,
)
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed

from .channel import EXCHANGE, INTERVALS_S, LINEAR, PUSH_DELAY_MS, BaseStream, ms
from .derivatives import AllMarks, ContractInfo, ForcedOrders, Klines, Marks

_DEPTH_SPEEDS = {"": 250, "@0ms": 1, "@100ms": 100, "@250ms": 250, "@500ms": 500}


class AggTrades(BaseStream):
    """`<s>@aggTrade`, and the undocumented `<s>@trade`. `m` true: the buyer was the maker, so the taker sold."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, instrument: str, kind: str = "aggTrade") -> None:
        super().__init__(venue, instrument, [Want(kind=TradeDone, instrument=instrument)])
        self._kind = kind

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market = self._market(happening)
        price, qty, done_ms = market.price_text(happening.price), market.qty_text(happening.qty), ms(happening.ts_ns)
        body: dict[str, object] = {"e": self._kind, "E": done_ms + PUSH_DELAY_MS, "s": self.instrument}
        if self._kind == "aggTrade":
            number = happening.number
            body |= {"a": number, "p": price, "q": qty, "nq": qty, "f": 3 * number - 2, "l": 3 * number, "T": done_ms}
            body |= {"m": not happening.is_buy, "st": 1}
        else:
            body |= {
                "T": done_ms,
                "t": happening.number,
                "p": price,
                "q": qty,
                "X": "MARKET",
                "m": not happening.is_buy,
            }
        event = Trade(
            exchange=EXCHANGE,
            market_type=LINEAR,
            instrument=self.instrument,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            trade_id=str(happening.number),
            price=price,
            qty=qty,
            aggressor=Aggressor.BUY if happening.is_buy else Aggressor.SELL,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)


def _quote_message(market: Market, quote: QuoteMoved, now_ns: int) -> Message:
    (bid, bid_qty), (ask, ask_qty) = market.levels_text(((quote.bid, quote.bid_qty), (quote.ask, quote.ask_qty)))
    name, moved_ms = quote.instrument, ms(quote.ts_ns)
    body = {"e": "bookTicker", "u": quote.seq, "E": moved_ms + PUSH_DELAY_MS, "T": moved_ms, "s": name, "ps": name}
    body |= {"b": bid, "B": bid_qty, "a": ask, "A": ask_qty, "st": 1}
    event = TopOfBook(
        exchange=EXCHANGE,
        market_type=LINEAR,
        instrument=name,
        ts_event_ns=moved_ms * NS_PER_MS,
        ts_recv_ns=now_ns,
        bid_price=bid,
        bid_qty=bid_qty,
        ask_price=ask,
        ask_qty=ask_qty,
        seq=quote.seq,
    )
    return Message(payload=orjson.dumps(body), events=(event,))


class Quotes(BaseStream):
    """`<s>@bookTicker`: each change of the best bid or ask."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, [Want(kind=QuoteMoved, instrument=instrument)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        return (_quote_message(self._market(happening), happening, now_ns),)


class AllQuotes(BaseStream):
    """`!bookTicker`: the latest quote of every instrument that moved, every five seconds."""

    feeds = frozenset({Feed.L1})
    _EVERY_NS = 5 * NS_PER_S

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, "", [Want(kind=QuoteMoved), Want(kind=Beat, every_ns=self._EVERY_NS)])
        self._moved: dict[str, QuoteMoved] = {}

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if isinstance(happening, QuoteMoved):
            self._moved[happening.instrument] = happening
            return ()
        moved, self._moved = self._moved, {}
        return [_quote_message(self._venue.markets[name], quote, now_ns) for name, quote in moved.items()]


class Depth(BaseStream):
    """`<s>@depth[@speed]`: `pu` is the `u` of the message before; `U` is not `pu + 1`."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str, speed_ms: int) -> None:
        super().__init__(
            venue, instrument, [Want(kind=DepthBatch, instrument=instrument, every_ns=speed_ms * NS_PER_MS)]
        )

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        market, name, done_ms = self._market(happening), self.instrument, ms(happening.ts_ns)
        bids, asks = market.levels_text(happening.bids), market.levels_text(happening.asks)
        body = {"e": "depthUpdate", "E": done_ms + PUSH_DELAY_MS, "T": done_ms, "s": name, "U": happening.first_seq}
        body |= {"u": happening.last_seq, "pu": happening.prev_seq, "b": bids, "a": asks, "ps": name, "st": 1}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=LINEAR,
            instrument=name,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            first_seq=happening.first_seq,
            last_seq=happening.last_seq,
            prev_seq=happening.prev_seq,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)


_DEPTH = re.compile(r"depth(@\d+ms)?")
_ARRAYS: dict[str, Callable[[Venue], BaseStream]] = {
    "!bookTicker": AllQuotes,
    "!markPrice@arr": lambda venue: AllMarks(venue, 3),
    "!markPrice@arr@1s": lambda venue: AllMarks(venue, 1),
    "!forceOrder@arr": lambda venue: ForcedOrders(venue, ""),
    "!contractInfo": ContractInfo,
}


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    """The channel of a stream name; `None` for names that the venue acknowledges and never speaks of."""
    if topic in _ARRAYS:
        return _ARRAYS[topic](venue)
    symbol, _, kind = topic.partition("@")
    instrument = symbol.upper()
    if symbol != symbol.lower() or instrument not in venue.markets:
        return None
    if kind in ("aggTrade", "trade"):
        return AggTrades(venue, instrument, kind)
    if kind == "bookTicker":
        return Quotes(venue, instrument)
    if kind in ("markPrice", "markPrice@1s"):
        return Marks(venue, instrument, 1 if kind.endswith("@1s") else 3)
    if kind == "forceOrder":
        return ForcedOrders(venue, instrument)
    if (speed := _DEPTH.fullmatch(kind)) and (speed[1] or "") in _DEPTH_SPEEDS:
        return Depth(venue, instrument, _DEPTH_SPEEDS[speed[1] or ""])
    if kind.startswith("kline_") and kind.removeprefix("kline_") in INTERVALS_S:
        return Klines(venue, instrument, kind.removeprefix("kline_"))
    return None
