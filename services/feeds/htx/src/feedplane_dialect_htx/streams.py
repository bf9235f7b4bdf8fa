"""Trades, quotes and candles of both hosts: the topics are alike, the payloads are not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.dialect import CandleMoved, Happening, Market, Message, QuoteMoved, TradeDone, Venue, Want
from feedplane_core.events import Kline, TopOfBook, Trade
from feedplane_core.names import NS_PER_MS, Aggressor, Feed

from .channel import EXCHANGE, PERIOD_S, PUSH_DELAY_MS, BaseStream, ms
from .listing import base_qty, in_coins, number


def frame(topic: str, ts_ms: int, tick: str) -> bytes:
    """`{"ch":...,"ts":...,"tick":...}`."""
    return f'{{"ch":"{topic}","ts":{ts_ms},"tick":{tick}}}'.encode()


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    """`direction` is the taker's side."""
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=trade.instrument,
        ts_event_ns=ms(trade.ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        trade_id=str(trade.number),
        price=market.price_text(trade.price),
        qty=base_qty(market, trade.qty),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


def trade_row(market: Market, trade: TradeDone, id_key: str = "tradeId") -> str:
    """Spot has an id of its own beside the long one; contracts count both sides of the trade."""
    direction = "buy" if trade.is_buy else "sell"
    price = number(market.price_text(trade.price))
    head = f'"ts":{ms(trade.ts_ns)},"price":{price},"direction":"{direction}"'
    if market.listing.contract_size is None:
        long_id = f"{trade.seq % 10**12:012d}{trade.number:015d}"
        return f'{{"id":1{long_id},"{id_key}":{trade.number},"amount":{number(market.qty_text(trade.qty))},{head}}}'
    both = 2 * trade.qty
    turnover = market.turnover_text(2 * trade.price * trade.qty)
    coins = in_coins(market.listing, both)
    return f'{{"amount":{both},"id":{trade.number},"quantity":{coins},"trade_turnover":{turnover},{head}}}'


class Trades(BaseStream):
    """`market.<symbol>.trade.detail`: the last trade on subscribing, then each."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, topic: str, instrument: str) -> None:
        super().__init__(venue, topic, instrument, Want(kind=TradeDone, instrument=instrument))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        last = self._market(self.instrument).last_trade
        return () if last is None else (self._message(last, now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._message(happening, now_ns),) if isinstance(happening, TradeDone) else ()

    def _message(self, trade: TradeDone, now_ns: int) -> Message:
        market, done_ms = self._market(self.instrument), ms(trade.ts_ns)
        tick = f'{{"id":{trade.seq},"ts":{done_ms},"data":[{trade_row(market, trade)}]}}'
        payload = frame(self.topic, done_ms + PUSH_DELAY_MS, tick)
        return Message(payload=payload, events=(trade_event(market, trade, now_ns),), is_binary=True)


class Quotes(BaseStream):
    """`market.<symbol>.bbo`."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, topic: str, instrument: str) -> None:
        super().__init__(venue, topic, instrument, Want(kind=QuoteMoved, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        market, at_ms = self._market(self.instrument), ms(happening.ts_ns)
        bid, ask = market.price_text(happening.bid), market.price_text(happening.ask)
        bid_size, ask_size = market.qty_text(happening.bid_qty), market.qty_text(happening.ask_qty)
        if market.listing.contract_size is None:
            tick = f'"seqId":{happening.seq},"ask":{number(ask)},"askSize":{number(ask_size)},"bid":{number(bid)}'
            tick += f',"bidSize":{number(bid_size)},"quoteTime":{at_ms},"symbol":"{self.instrument}"'
        else:
            tick = f'"mrid":{happening.seq},"id":{at_ms // 1000},"bid":[{number(bid)},{bid_size}]'
            tick += f',"ask":[{number(ask)},{ask_size}],"ts":{at_ms},"version":{happening.seq},"ch":"{self.topic}"'
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bid_price=bid,
            bid_qty=base_qty(market, happening.bid_qty),
            ask_price=ask,
            ask_qty=base_qty(market, happening.ask_qty),
            seq=happening.seq,
        )
        payload = frame(self.topic, at_ms + PUSH_DELAY_MS, f"{{{tick}}}")
        return (Message(payload=payload, events=(event,), is_binary=True),)


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int, now_ns: int, *, is_closed: bool) -> Kline:
    """Traded volume counts once in the event, whatever the venue counts."""
    is_spot = market.listing.contract_size is None
    return Kline(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=candle.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=market.price_text(candle.open),
        high=market.price_text(candle.high),
        low=market.price_text(candle.low),
        close=market.price_text(candle.close),
        volume=base_qty(market, candle.volume),
        trades=candle.trades if is_spot else None,
        is_closed=is_closed,
    )


def kline_row(market: Market, candle: CandleMoved) -> str:
    """Contracts count both sides everywhere."""
    o, h, low, c = (number(market.price_text(p)) for p in (candle.open, candle.high, candle.low, candle.close))
    head = f'"id":{candle.open_ns // 1_000_000_000},"open":{o},"close":{c},"low":{low},"high":{h}'
    if market.listing.contract_size is None:
        volume, turnover = market.qty_text(candle.volume), market.turnover_text(candle.turnover)
        return f'{{{head},"amount":{number(volume)},"vol":{turnover},"count":{candle.trades}}}'
    both, turnover = 2 * candle.volume, market.turnover_text(2 * candle.turnover)
    coins = in_coins(market.listing, both)
    return f'{{{head},"amount":{coins},"vol":{both},"trade_turnover":{turnover},"count":{2 * candle.trades}}}'


class Klines(BaseStream):
    """`market.<symbol>.kline.<period>`: on change. A candle has no end but the first frame of the next, which so means two events."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, topic: str, instrument: str, interval_s: int) -> None:
        super().__init__(venue, topic, instrument, Want(kind=CandleMoved, instrument=instrument, interval_s=interval_s))
        self._interval_s = interval_s
        self._sent: CandleMoved | None = None

    def welcome(self, now_ns: int) -> Sequence[Message]:
        """The candle as it stands."""
        venue_ns = self._venue.now_ns()
        market = self._market(self.instrument)
        candles = market.candles(self._interval_s, venue_ns - self._interval_s * 1_000_000_000, venue_ns + 1, 1)
        if not candles or not candles[-1].trades or candles[-1].is_closed:
            return ()
        return self._messages(candles[-1], ms(venue_ns), now_ns)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        return self._messages(happening, ms(happening.ts_ns), now_ns)

    def _messages(self, candle: CandleMoved, at_ms: int, now_ns: int) -> Sequence[Message]:
        market, before = self._market(self.instrument), self._sent
        ts_event_ns = at_ms * NS_PER_MS
        events = [kline_event(market, candle, ts_event_ns, now_ns, is_closed=False)]
        if before is not None and before.open_ns < candle.open_ns:
            events.insert(0, kline_event(market, before, ts_event_ns, now_ns, is_closed=True))
        self._sent = msgspec.structs.replace(candle, is_closed=False)
        payload = frame(self.topic, at_ms, kline_row(market, candle))
        return (Message(payload=payload, events=tuple(events), is_binary=True),)


def open_stream(topic: str, instrument: str, kind: str, venue: Venue) -> BaseStream | None:
    """The channel `kind` of a symbol, of those in this file."""
    if kind == "trade.detail":
        return Trades(venue, topic, instrument)
    if kind == "bbo":
        return Quotes(venue, topic, instrument)
    period = kind.removeprefix("kline.")
    return Klines(venue, topic, instrument, PERIOD_S[period]) if period != kind and period in PERIOD_S else None
