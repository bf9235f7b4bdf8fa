"""Candles, marks, funding, liquidations and listings: the `/market` route."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from feedplane_core.dialect import (
    Beat,
    CandleMoved,
    Happening,
    LiquidationDone,
    Marked,
    Market,
    Message,
    StatusChanged,
    Venue,
    Want,
)
from feedplane_core.events import (
    FundingRate,
    Kline,
    Liquidation,
    MarkPrice,
)
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Liquidated

from .channel import EXCHANGE, FUNDING_INTERVAL_S, INTERVALS_S, LINEAR, PUSH_DELAY_MS, BaseStream, ms
from .listing import STATUS_NAMES

_LIQUIDATION_EVERY_NS = NS_PER_S


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
        body: dict[str, object] = {"e": "forceOrder", "E": done_ms + PUSH_DELAY_MS, "o": order, "ps": name, "st": 1}
        event = Liquidation(
            exchange=EXCHANGE,
            market_type=LINEAR,
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
        market_type=LINEAR,
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
        market_type=LINEAR,
        instrument=name,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        mark_price=mark,
        index_price=index,
    )
    funding = FundingRate(
        exchange=EXCHANGE,
        market_type=LINEAR,
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
