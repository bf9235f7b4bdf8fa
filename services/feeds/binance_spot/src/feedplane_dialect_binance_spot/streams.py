"""The channels: what each sends for what happens, and what that means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import orjson
from feedplane_core.dialect import (
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
from feedplane_core.events import DepthDiff, Kline, TopOfBook, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, NS_PER_US, Aggressor, Feed, MarketType

from .peer import MICROSECONDS

EXCHANGE = "binance_spot"
INTERVALS_S = {
    "1s": 1,
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
    "3d": 259200,
    "1w": 604800,
}
AGGREGATE_ID_OFFSET = 100_000
"""Aggregate ids run behind trade ids: another id space, as at the venue."""
_DEPTH_SPEEDS_MS = {"depth": 1000, "depth@100ms": 100}
_SPOT = MarketType.SPOT


class BaseStream(ABC):
    """What every channel shares: its place, its time unit, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, unit_ns: int, want: Want) -> None:
        self.instrument = instrument
        self.wants = (want,)
        self._market: Market = venue.markets[instrument]
        self._unit_ns = unit_ns

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


def trade_event(market: Market, trade: TradeDone, trade_id: int, at: int, unit_ns: int, now_ns: int) -> Trade:
    """`at` is the time as sent, in units of `unit_ns`."""
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=trade.instrument,
        ts_event_ns=at * unit_ns,
        ts_recv_ns=now_ns,
        trade_id=str(trade_id),
        price=market.price_text(trade.price),
        qty=market.qty_text(trade.qty),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


class Trades(BaseStream):
    """`<s>@trade` and `<s>@aggTrade`. `m` true: the buyer was the maker, so the taker sold."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, instrument: str, unit_ns: int, is_aggregate: bool) -> None:
        super().__init__(venue, instrument, unit_ns, Want(kind=TradeDone, instrument=instrument))
        self._is_aggregate = is_aggregate

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        number, at = happening.number, happening.ts_ns // self._unit_ns
        trade_id = number - AGGREGATE_ID_OFFSET if self._is_aggregate else number
        event = trade_event(self._market, happening, trade_id, at, self._unit_ns, now_ns)
        kind = "aggTrade" if self._is_aggregate else "trade"
        body: dict[str, object] = {"e": kind, "E": at + 1, "s": self.instrument}
        body |= {"a": trade_id, "f": number, "l": number} if self._is_aggregate else {"t": number}
        body |= {"p": event.price, "q": event.qty, "T": at, "m": not happening.is_buy, "M": True}
        return (Message(payload=orjson.dumps(body), events=(event,)),)


class Quotes(BaseStream):
    """`<s>@bookTicker`: neither event type nor time."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, instrument: str, unit_ns: int) -> None:
        super().__init__(venue, instrument, unit_ns, Want(kind=QuoteMoved, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        quote, market = happening, self._market
        bid, bid_qty = market.price_text(quote.bid), market.qty_text(quote.bid_qty)
        ask, ask_qty = market.price_text(quote.ask), market.qty_text(quote.ask_qty)
        body = {"u": quote.seq, "s": self.instrument, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=_SPOT,
            instrument=self.instrument,
            ts_event_ns=None,
            ts_recv_ns=now_ns,
            bid_price=bid,
            bid_qty=bid_qty,
            ask_price=ask,
            ask_qty=ask_qty,
            seq=quote.seq,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)


class Depth(BaseStream):
    """`<s>@depth` each second, `<s>@depth@100ms`: `U` is the `u` before plus one."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str, unit_ns: int, speed_ms: int) -> None:
        want = Want(kind=DepthBatch, instrument=instrument, every_ns=speed_ms * NS_PER_MS)
        super().__init__(venue, instrument, unit_ns, want)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        bids, asks = self._market.levels_text(happening.bids), self._market.levels_text(happening.asks)
        at, name, first, last = (
            happening.ts_ns // self._unit_ns,
            self.instrument,
            happening.first_seq,
            happening.last_seq,
        )
        body = {"e": "depthUpdate", "E": at, "s": name, "U": first, "u": last, "b": bids, "a": asks}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=_SPOT,
            instrument=name,
            ts_event_ns=at * self._unit_ns,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            first_seq=first,
            last_seq=last,
        )
        return (Message(payload=orjson.dumps(body), events=(event,)),)


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int | None, now_ns: int) -> Kline:
    return Kline(
        exchange=EXCHANGE,
        market_type=_SPOT,
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


class Klines(BaseStream):
    """`<s>@kline_<i>`: open candles every second (`1s`) or two, the closed one at the boundary."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, instrument: str, unit_ns: int, interval: str) -> None:
        interval_s = INTERVALS_S[interval]
        super().__init__(
            venue, instrument, unit_ns, Want(kind=CandleMoved, instrument=instrument, interval_s=interval_s)
        )
        self._interval = interval
        self._pause_ns = NS_PER_S if interval == "1s" else 2 * NS_PER_S
        self._told_ns = 0

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved):
            return ()
        candle = happening
        if not candle.is_closed and candle.ts_ns - self._told_ns < self._pause_ns:
            return ()
        self._told_ns = candle.ts_ns
        market, at, open_at = self._market, candle.ts_ns // self._unit_ns, candle.open_ns // self._unit_ns
        event = kline_event(market, candle, at * self._unit_ns, now_ns)
        body = {
            "t": open_at,
            "T": open_at + candle.interval_s * NS_PER_S // self._unit_ns - 1,
            "s": self.instrument,
            "i": self._interval,
            "f": candle.first_number,
            "L": candle.last_number,
            "o": event.open,
            "c": event.close,
            "h": event.high,
            "l": event.low,
            "v": event.volume,
            "n": candle.trades,
            "x": candle.is_closed,
            "q": market.turnover_text(candle.turnover),
            "V": market.qty_text(candle.taker_buy_volume),
            "Q": market.turnover_text(candle.taker_buy_turnover),
            "B": "0",
        }
        payload = orjson.dumps({"e": "kline", "E": at, "s": self.instrument, "k": body})
        return (Message(payload=payload, events=(event,)),)


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    """The channel of a stream name; `None` for names that the venue acknowledges and never speaks of."""
    unit_ns = NS_PER_US if topic.endswith(MICROSECONDS) else NS_PER_MS
    symbol, _, kind = topic.removesuffix(MICROSECONDS).partition("@")
    instrument = symbol.upper()
    if symbol != symbol.lower() or instrument not in venue.markets:
        return None
    if kind in ("trade", "aggTrade"):
        return Trades(venue, instrument, unit_ns, kind == "aggTrade")
    if kind == "bookTicker":
        return Quotes(venue, instrument, unit_ns)
    if kind in _DEPTH_SPEEDS_MS:
        return Depth(venue, instrument, unit_ns, _DEPTH_SPEEDS_MS[kind])
    if kind.startswith("kline_") and kind.removeprefix("kline_") in INTERVALS_S:
        return Klines(venue, instrument, unit_ns, kind.removeprefix("kline_"))
    return None
