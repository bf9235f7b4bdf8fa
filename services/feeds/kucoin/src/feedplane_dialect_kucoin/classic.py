"""Channels of the classic system: `{"type":"message","topic":"/market/match:BTC-USDT","subject":"trade.l3match","data":{...}}`. A topic is `classic|` and the venue's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from feedplane_core.decimals import Dec
from feedplane_core.dialect import (
    Beat,
    CandleMoved,
    DepthBatch,
    Happening,
    Marked,
    Message,
    QuoteMoved,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .channel import (
    BATCH_NS,
    INTERVALS_S,
    PARTIAL_NS,
    BaseStream,
    diff_event,
    funding_event,
    is_funded,
    kline_event,
    mark_event,
    ms,
    quote_event,
    sides_text,
    snapshot_event,
    trade_event,
)
from .listing import is_spot

SPOT_HEADS = frozenset(
    (
        "/market/match",
        "/market/ticker",
        "/market/level2",
        "/market/candles",
        "/spotMarket/level1",
        "/spotMarket/level2Depth5",
        "/spotMarket/level2Depth50",
    )
)
FUTURES_HEADS = frozenset(
    (
        "/contractMarket/execution",
        "/contractMarket/tickerV2",
        "/contractMarket/level2",
        "/contractMarket/level2Depth5",
        "/contractMarket/level2Depth50",
        "/contract/instrument",
    )
)

_PREDICTED_MS = 60_000
_ORDER_ID = "67{:022x}"


class ClassicStream(BaseStream):
    """Futures frames carry a number `sn` beside the data."""

    def __init__(self, venue: Venue, topic: str, symbol: str, *wants: Want) -> None:
        super().__init__(venue, symbol, *wants)
        self._topic = topic

    def _message(self, subject: str, data: object, *events: MarketEvent, number: int | None = None) -> Message:
        body: dict[str, object] = {"topic": self._topic, "type": "message", "subject": subject}
        if number is not None:
            body["sn"] = number
        return Message(payload=orjson.dumps(body | {"data": data}), events=events)


class Matches(ClassicStream):
    """`/market/match`, `/contractMarket/execution`."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, Want(kind=TradeDone, instrument=symbol))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market, number = self._market, happening.number
        price, size = market.price_text(happening.price), market.qty_text(happening.qty)
        data: dict[str, object] = {
            "symbol": self.instrument,
            "side": "buy" if happening.is_buy else "sell",
            "makerOrderId": _ORDER_ID.format(2 * number),
            "takerOrderId": _ORDER_ID.format(2 * number + 1),
            "price": price,
            "tradeId": str(number),
        }
        event = trade_event(market, happening, now_ns)
        if is_spot(market):
            data |= {"type": "match", "sequence": str(number), "size": size, "time": str(happening.ts_ns)}
            return (self._message("trade.l3match", data, event),)
        data |= {"sequence": number, "size": orjson.Fragment(size), "ts": happening.ts_ns}
        return (self._message("match", data, event, number=number),)


class Quotes(ClassicStream):
    """`/spotMarket/level1`, `/contractMarket/tickerV2` whenever the best moves; `/market/ticker` at most every 100 ms."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, Want(kind=QuoteMoved, instrument=symbol))
        self._told_ns = 0

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        market, done_ms, seq = self._market, ms(happening.ts_ns), happening.seq
        levels = market.levels_text(((happening.bid, happening.bid_qty), (happening.ask, happening.ask_qty)))
        (bid, bid_size), (ask, ask_size) = levels
        if self._topic.startswith("/contractMarket/"):
            data: dict[str, object] = {"symbol": self.instrument, "sequence": seq}
            data |= {"bestBidSize": orjson.Fragment(bid_size), "bestBidPrice": bid}
            data |= {"bestAskPrice": ask, "bestAskSize": orjson.Fragment(ask_size), "ts": happening.ts_ns}
            event = quote_event(market, levels, seq, happening.ts_ns, now_ns)
            return (self._message("tickerV2", data, event, number=seq),)
        if self._topic.startswith("/spotMarket/"):
            data = {"asks": [ask, ask_size], "bids": [bid, bid_size], "timestamp": done_ms}
            return (self._message("level1", data, quote_event(market, levels, None, done_ms * NS_PER_MS, now_ns)),)
        if happening.ts_ns - self._told_ns < PARTIAL_NS:
            return ()
        self._told_ns = happening.ts_ns
        data = {"bestAsk": ask, "bestAskSize": ask_size, "bestBid": bid, "bestBidSize": bid_size}
        data |= {"price": bid, "sequence": str(seq), "size": bid_size, "time": done_ms}
        return (self._message("trade.ticker", data, quote_event(market, levels, seq, done_ms * NS_PER_MS, now_ns)),)


class SpotChanges(ClassicStream):
    """`/market/level2`: rows of price, size and a sequence of their own, not sorted by it."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, Want(kind=DepthBatch, instrument=symbol, every_ns=BATCH_NS))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        market, batch, done_ms = self._market, happening, ms(happening.ts_ns)
        bids, asks = sides_text(market, batch.bids, batch.asks)
        numbered = [
            [[*level, str(max(batch.first_seq, batch.last_seq - place))] for place, level in enumerate(side)]
            for side in (bids, asks)
        ]
        data = {
            "changes": {"asks": numbered[1], "bids": numbered[0]},
            "sequenceEnd": batch.last_seq,
            "sequenceStart": batch.first_seq,
            "symbol": self.instrument,
            "time": done_ms,
        }
        event = diff_event(market, bids, asks, batch.first_seq, batch.last_seq, done_ms * NS_PER_MS, now_ns)
        return (self._message("trade.l2update", data, event),)


class FuturesChanges(ClassicStream):
    """`/contractMarket/level2`: one sequence and one level a message; a sequence that changed no level has price 0.

    `told` is the newest sequence said of each symbol, which REST snapshots must not be ahead of: the world changes between two batches.
    """

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str, told: dict[str, int]) -> None:
        super().__init__(venue, topic, symbol, Want(kind=DepthBatch, instrument=symbol, every_ns=BATCH_NS))
        self._told = told
        told[symbol] = self._market.seq

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        batch, market = happening, self._market
        bids, asks = sides_text(market, batch.bids, batch.asks)
        changes = [("buy", *level) for level in bids] + [("sell", *level) for level in asks]
        empty = max(0, batch.last_seq - batch.first_seq + 1 - len(changes))
        messages = []
        for seq, (side, price, size) in enumerate([("buy", "0", "0")] * empty + changes, batch.first_seq):
            messages.append(self._change(seq, side, price, size, ms(batch.ts_ns), now_ns))
        self._told[self.instrument] = batch.last_seq
        return messages

    def _change(self, seq: int, side: str, price: Dec, size: Dec, done_ms: int, now_ns: int) -> Message:
        level = [[price, size]] if price != "0" else []
        bids, asks = (level, []) if side == "buy" else ([], level)
        event = diff_event(self._market, bids, asks, seq, seq, done_ms * NS_PER_MS, now_ns)
        data = {"sequence": seq, "change": f"{price},{side},{size}", "timestamp": done_ms}
        return self._message("level2", data, event, number=seq)


class Partials(ClassicStream):
    """`level2Depth5`, `level2Depth50`: every 100 ms; spot numbers none."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, Want(kind=Beat, instrument=symbol, every_ns=PARTIAL_NS))
        self._depth = 50 if "Depth50" in topic else 5

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, done_ms = self._market, ms(happening.ts_ns)
        seq = None if is_spot(market) else market.seq
        event, bids, asks = snapshot_event(market, self._depth, seq, done_ms * NS_PER_MS, now_ns)
        data = {"asks": asks, "bids": bids, "timestamp": done_ms} | ({} if seq is None else {"sequence": seq})
        return (self._message("level2", data, event, number=seq),)


class Candles(ClassicStream):
    """`/market/candles`: no frame says that a candle is closed; the first one of the next candle does.

    What that frame means is told for a client that got the frame before it: after a fault that withheld that one, its view of the closed candle is older.
    """

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, topic: str, symbol: str, interval: str) -> None:
        super().__init__(
            venue, topic, symbol, Want(kind=CandleMoved, instrument=symbol, interval_s=INTERVALS_S[interval])
        )
        self._last: tuple[CandleMoved, int] | None = None

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        market, candle = self._market, happening
        events: list[Kline] = []
        is_new = self._last is None or self._last[0].open_ns != candle.open_ns
        if self._last is not None and is_new:
            before, told_ns = self._last
            events.append(kline_event(market, before, told_ns, now_ns, is_closed=True))
        events.append(kline_event(market, candle, candle.ts_ns, now_ns, is_closed=False))
        self._last = candle, candle.ts_ns
        data = {"symbol": self.instrument, "candles": candle_row(self._venue, candle), "time": candle.ts_ns}
        return (self._message(f"trade.candles.{'add' if is_new else 'update'}", data, *events),)


def candle_row(venue: Venue, candle: CandleMoved) -> list[str]:
    """start (s), open, close, high, low, volume, turnover"""
    market = venue.markets[candle.instrument]
    prices = map(market.price_text, (candle.open, candle.close, candle.high, candle.low))
    start = str(candle.open_ns // NS_PER_S)
    return [start, *prices, market.qty_text(candle.volume), market.turnover_text(candle.turnover)]


class Instruments(ClassicStream):
    """`/contract/instrument`: mark and index price each second, the predicted funding rate each minute; here a subscriber is told the latter at once as well."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        every_ns = _PREDICTED_MS * NS_PER_MS
        super().__init__(
            venue,
            topic,
            symbol,
            Want(kind=Marked, instrument=symbol),
            Want(kind=Beat, instrument=symbol, every_ns=every_ns),
        )

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return self._funding(self._venue.now_ns(), now_ns)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return self._funding(happening.ts_ns, now_ns)
        market, done_ms = self._market, ms(happening.ts_ns)
        mark, index = market.mark_text(happening.mark), market.mark_text(happening.index)
        data = {"markPrice": orjson.Fragment(mark), "indexPrice": orjson.Fragment(index)}
        event = mark_event(market, mark, index, done_ms * NS_PER_MS, now_ns)
        return (self._message("mark.index.price", data | {"granularity": 1000, "timestamp": done_ms}, event),)

    def _funding(self, ts_ns: int, now_ns: int) -> Sequence[Message]:
        market = self._market
        if not is_funded(market):
            return ()
        minute_ms = ms(ts_ns) // _PREDICTED_MS * _PREDICTED_MS
        rate = orjson.Fragment(market.mark_text(market.funding))
        data = {"granularity": _PREDICTED_MS, "fundingRate": rate, "timestamp": minute_ms}
        return (self._message("funding.rate", data, funding_event(market, None, minute_ms * NS_PER_MS, now_ns)),)


_STREAMS: dict[str, Callable[[Venue, str, str], ClassicStream]] = {
    "/market/match": Matches,
    "/market/ticker": Quotes,
    "/market/level2": SpotChanges,
    "/spotMarket/level1": Quotes,
    "/spotMarket/level2Depth5": Partials,
    "/spotMarket/level2Depth50": Partials,
    "/contractMarket/execution": Matches,
    "/contractMarket/tickerV2": Quotes,
    "/contractMarket/level2Depth5": Partials,
    "/contractMarket/level2Depth50": Partials,
    "/contract/instrument": Instruments,
}


def open_stream(topic: str, venue: Venue, told: dict[str, int]) -> ClassicStream | None:
    """The channel of one symbol; `None` for symbols of nobody, or of the other book of business."""
    head, _, symbol = topic.partition(":")
    interval = ""
    if head == "/market/candles":
        symbol, _, interval = symbol.rpartition("_")
    market = venue.markets.get(symbol)
    if market is None or is_spot(market) is not (head in SPOT_HEADS):
        return None
    if head == "/market/candles":
        return Candles(venue, topic, symbol, interval) if interval in INTERVALS_S else None
    if head == "/contractMarket/level2":
        return FuturesChanges(venue, topic, symbol, told)
    return _STREAMS[head](venue, topic, symbol) if head in _STREAMS else None
