"""The channels: what each sends for what happens, and what that means."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import (
    Beat,
    CandleMoved,
    DepthBatch,
    Happening,
    LiquidationDone,
    Marked,
    Market,
    Message,
    QuoteMoved,
    StatusChanged,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import (
    DepthDiff,
    FundingRate,
    Kline,
    Liquidation,
    MarkPrice,
    TopOfBook,
    Trade,
)
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed, Liquidated, MarketType

from .listing import STATUS_NAMES

EXCHANGE = "binance_futures"
INTERVALS_S = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "6h": 21600,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
}
FUNDING_INTERVAL_S = 8 * 3600
_DEPTH_SPEEDS = {"": 250, "@0ms": 1, "@100ms": 100, "@250ms": 250, "@500ms": 500}
_PUSH_DELAY_MS = 2  # push time `E` is a little after engine time `T`
_LIQUIDATION_EVERY_NS = NS_PER_S
_LINEAR = MarketType.PERP_LINEAR


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


class BaseStream(ABC):
    """What every channel shares: its place, its feeds, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, wants: Sequence[Want]) -> None:
        self.instrument = instrument
        self.wants = tuple(wants)
        self._venue = venue

    def _market(self, happening: Happening) -> Market:
        return self._venue.markets[happening.instrument]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


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
        body: dict[str, object] = {"e": self._kind, "E": done_ms + _PUSH_DELAY_MS, "s": self.instrument}
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
            market_type=_LINEAR,
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
    body = {"e": "bookTicker", "u": quote.seq, "E": moved_ms + _PUSH_DELAY_MS, "T": moved_ms, "s": name, "ps": name}
    body |= {"b": bid, "B": bid_qty, "a": ask, "A": ask_qty, "st": 1}
    event = TopOfBook(
        exchange=EXCHANGE,
        market_type=_LINEAR,
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
        body = {"e": "depthUpdate", "E": done_ms + _PUSH_DELAY_MS, "T": done_ms, "s": name, "U": happening.first_seq}
        body |= {"u": happening.last_seq, "pu": happening.prev_seq, "b": bids, "a": asks, "ps": name, "st": 1}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=_LINEAR,
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


class ForcedOrders(BaseStream):
    """`<s>@forceOrder`, `!forceOrder@arr`: at most one per symbol and second. `S` SELL: a long died."""

    feeds = frozenset({Feed.LIQUIDATIONS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, [Want(kind=LiquidationDone, instrument=instrument)])
        self._last_ns: dict[str, int] = {}

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, LiquidationDone):
            return ()
        name = happening.instrument
        if happening.ts_ns - self._last_ns.get(name, -_LIQUIDATION_EVERY_NS) < _LIQUIDATION_EVERY_NS:
            return ()
        self._last_ns[name] = happening.ts_ns
        market, done_ms = self._market(happening), ms(happening.ts_ns)
        price, qty = market.price_text(happening.price), market.qty_text(happening.qty)
        order: dict[str, object] = {
            "s": name,
            "S": "SELL" if happening.is_long else "BUY",
            "o": "LIMIT",
            "f": "IOC",
            "q": qty,
            "p": price,
        }
        order |= {"ap": price, "X": "FILLED", "l": qty, "z": qty, "T": done_ms}
        body: dict[str, object] = {"e": "forceOrder", "E": done_ms + _PUSH_DELAY_MS, "o": order, "ps": name, "st": 1}
        event = Liquidation(
            exchange=EXCHANGE,
            market_type=_LINEAR,
            instrument=name,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if happening.is_long else Liquidated.SHORT,
            price=price,
            qty=qty,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)


class Klines(BaseStream):
    """`<s>@kline_<i>`: every quarter of a second while it changes; an interval without trades ends without a frame."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, instrument: str, interval: str) -> None:
        interval_s = INTERVALS_S[interval]
        super().__init__(venue, instrument, [Want(kind=CandleMoved, instrument=instrument, interval_s=interval_s)])
        self._interval = interval

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        market, candle = self._market(happening), happening
        o, h, low, c = map(market.price_text, (candle.open, candle.high, candle.low, candle.close))
        volume, open_ms = market.qty_text(candle.volume), ms(candle.open_ns)
        body = {
            "t": open_ms,
            "T": open_ms + candle.interval_s * 1000 - 1,
            "s": self.instrument,
            "i": self._interval,
            "f": 3 * candle.first_number - 2,
            "L": 3 * candle.last_number,
            "o": o,
            "c": c,
            "h": h,
            "l": low,
            "v": volume,
            "n": candle.trades,
            "x": candle.is_closed,
            "q": market.turnover_text(candle.turnover),
            "V": market.qty_text(candle.taker_buy_volume),
            "Q": market.turnover_text(candle.taker_buy_turnover),
            "B": "0",
        }
        pushed_ms = ms(candle.ts_ns)
        event = kline_event(market, candle, pushed_ms * NS_PER_MS, now_ns)
        return (
            Message(
                payload=orjson.dumps({"e": "kline", "E": pushed_ms, "s": self.instrument, "k": body}), events=(event,)
            ),
        )


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int | None, now_ns: int) -> Kline:
    return Kline(
        exchange=EXCHANGE,
        market_type=_LINEAR,
        instrument=candle.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=market.price_text(candle.open),
        high=market.price_text(candle.high),
        low=market.price_text(candle.low),
        close=market.price_text(candle.close),
        volume=market.qty_text(candle.volume),
        trades=candle.trades,
        is_closed=candle.is_closed,
    )


def mark_parts(market: Market, marked: Marked, now_ns: int) -> tuple[dict[str, object], MarkPrice, FundingRate]:
    """The payload of one instrument's mark price, and both events that it means."""
    name, done_ms = marked.instrument, ms(marked.ts_ns)
    mark, index, rate = map(market.mark_text, (marked.mark, marked.index, marked.funding))
    body: dict[str, object] = {"e": "markPriceUpdate", "E": done_ms, "s": name, "p": mark, "i": index, "P": index}
    body |= {"r": rate, "ap": mark, "T": ms(marked.next_funding_ns), "st": 1}
    ts_event_ns = done_ms * NS_PER_MS
    price = MarkPrice(
        exchange=EXCHANGE,
        market_type=_LINEAR,
        instrument=name,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        mark_price=mark,
        index_price=index,
    )
    funding = FundingRate(
        exchange=EXCHANGE,
        market_type=_LINEAR,
        instrument=name,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        rate=rate,
        interval_s=FUNDING_INTERVAL_S,
        next_funding_ns=ms(marked.next_funding_ns) * NS_PER_MS,
    )
    return body, price, funding


class Marks(BaseStream):
    """`<s>@markPrice` every three seconds, `@markPrice@1s` every second: mark, index and the funding estimate."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING})

    def __init__(self, venue: Venue, instrument: str, every: int) -> None:
        super().__init__(venue, instrument, [Want(kind=Marked, instrument=instrument)])
        self._every, self._seen = every, 0

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        self._seen += 1
        if not isinstance(happening, Marked) or self._seen % self._every:
            return ()
        body, price, funding = mark_parts(self._market(happening), happening, now_ns)
        return (Message(payload=orjson.dumps(body), events=(price, funding)),)


class AllMarks(BaseStream):
    """`!markPrice@arr[@1s]`: one array of all instruments."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING})

    def __init__(self, venue: Venue, every: int) -> None:
        super().__init__(venue, "", [Want(kind=Marked), Want(kind=Beat, every_ns=every * NS_PER_S)])
        self._latest: dict[str, Marked] = {}

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if isinstance(happening, Marked):
            self._latest[happening.instrument] = happening
            return ()
        latest, self._latest = self._latest, {}
        parts = [mark_parts(self._venue.markets[name], marked, now_ns) for name, marked in latest.items()]
        if not parts:
            return ()
        events = tuple(event for _, price, funding in parts for event in (price, funding))
        return (Message(payload=orjson.dumps([body for body, _, _ in parts]), events=events),)


class ContractInfo(BaseStream):
    """`!contractInfo`: listings, halts and settlements."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, "", [Want(kind=StatusChanged)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, StatusChanged):
            return ()
        body: dict[str, object] = {
            "e": "contractInfo",
            "E": ms(happening.ts_ns),
            "s": happening.instrument,
            "ct": "PERPETUAL",
        }
        body |= {"dt": 4133404800000, "ot": 1569398400000, "cs": STATUS_NAMES[happening.status], "st": 1}
        return (Message(payload=orjson.dumps(body)),)


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
