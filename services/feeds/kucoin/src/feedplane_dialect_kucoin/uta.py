"""Channels of the UTA system: `{"T":"trade.SPOT","P":...,"d":{...}}`, binary frames of plain JSON. A topic is `uta|SPOT|obu|BTC-USDT|increment@10ms`."""

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
    Market,
    Message,
    QuoteMoved,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .channel import (
    BATCH_NS,
    INTERVALS_S,
    MAINTAINED,
    PARTIAL_NS,
    BaseStream,
    diff_event,
    funding_event,
    interest_event,
    is_funded,
    kline_event,
    mark_event,
    ms,
    quote_event,
    sides_text,
    snapshot_event,
    trade_event,
    trade_type,
)
from .listing import FUNDING_MS, is_spot

PUSH_DELAY_NS = 2 * NS_PER_MS
"""Push time `P` is so much after engine time `M`."""
DEPTHS = ("1", "5", "50", "increment@10ms")
CHANNELS = ("trade", "ticker", "obu", "kline", "mark-price", "funding-fee")

_FUNDING_EVERY_NS = 60 * NS_PER_S


class UtaStream(BaseStream):
    """`T` is the channel, with the book of business where it exists in both."""

    channel = ""

    def _message(self, ts_ns: int, data: object, *events: MarketEvent, **head: object) -> Message:
        body = {"T": self.channel, **head, "P": ts_ns + PUSH_DELAY_NS, "d": data}
        return Message(payload=orjson.dumps(body), events=events, is_binary=True)


class SplitStream(UtaStream):
    """A channel that names its book of business: `trade.FUTURES`."""

    def __init__(self, venue: Venue, instrument: str, kind: str, *wants: Want) -> None:
        super().__init__(venue, instrument, *wants)
        self.channel = f"{kind}.{trade_type(self._market)}"


class Trades(SplitStream):
    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, "trade", Want(kind=TradeDone, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market, number = self._market, happening.number
        data = {
            "E": number,
            "M": happening.ts_ns,
            "S": "buy" if happening.is_buy else "sell",
            "p": market.price_text(happening.price),
            "q": market.qty_text(happening.qty),
            "s": self.instrument,
            "ti": str(number),
        }
        return (self._message(happening.ts_ns, data, trade_event(market, happening, now_ns)),)


class Tickers(SplitStream):
    """The best bid and ask whenever they move, beside the last trade."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, "ticker", Want(kind=QuoteMoved, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        market, last = self._market, self._market.last_trade
        levels = _best(self._market, happening)
        (bid, bid_size), (ask, ask_size) = levels
        data = {
            "A": ask_size,
            "B": bid_size,
            "E": happening.seq,
            "M": happening.ts_ns,
            "S": "BUY" if last is None or last.is_buy else "SELL",
            "a": ask,
            "b": bid,
            "l": bid if last is None else market.price_text(last.price),
            "q": "0" if last is None else market.qty_text(last.qty),
            "s": self.instrument,
        }
        event = quote_event(market, levels, happening.seq, happening.ts_ns, now_ns)
        return (self._message(happening.ts_ns, data, event),)


def _best(market: Market, quote: QuoteMoved) -> list[list[Dec]]:
    return market.levels_text(((quote.bid, quote.bid_qty), (quote.ask, quote.ask_qty)))


class Increments(SplitStream):
    """`obu` at `increment@10ms`: the best 500 levels, then what changed; `O` is the `C` before plus one."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, "obu", Want(kind=DepthBatch, instrument=instrument, every_ns=BATCH_NS))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market, ts_ns = self._market, self._venue.now_ns()
        event, bids, asks = snapshot_event(market, MAINTAINED, market.seq, ts_ns, now_ns)
        data = {"C": market.seq, "M": ts_ns, "O": market.seq, "a": asks, "b": bids, "s": self.instrument}
        return (self._message(ts_ns, data, event, dp="increment@10ms", t="snapshot"),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        market, batch = self._market, happening
        bids, asks = sides_text(market, batch.bids, batch.asks)
        data = {"C": batch.last_seq, "M": batch.ts_ns, "O": batch.first_seq, "a": asks, "b": bids}
        event = diff_event(market, bids, asks, batch.first_seq, batch.last_seq, batch.ts_ns, now_ns)
        return (self._message(batch.ts_ns, data | {"s": self.instrument}, event, dp="increment@10ms", t="delta"),)


class Tops(SplitStream):
    """`obu` at depth 1: the best bid and ask whenever they move."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, "obu", Want(kind=QuoteMoved, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        levels = _best(self._market, happening)
        data = {"C": happening.seq, "M": happening.ts_ns, "O": happening.seq, "a": levels[1:], "b": levels[:1]}
        event = quote_event(self._market, levels, happening.seq, happening.ts_ns, now_ns)
        data |= {"s": self.instrument}
        return (self._message(happening.ts_ns, data, event, dp="1", t="snapshot"),)


class Partials(SplitStream):
    """`obu` at depth 5 and 50: a snapshot every 100 ms."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str, depth: str) -> None:
        super().__init__(venue, instrument, "obu", Want(kind=Beat, instrument=instrument, every_ns=PARTIAL_NS))
        self._depth = depth

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, ts_ns = self._market, happening.ts_ns
        event, bids, asks = snapshot_event(market, int(self._depth), market.seq, ts_ns, now_ns)
        data = {"C": market.seq, "M": ts_ns, "O": market.seq, "a": asks, "b": bids, "s": self.instrument}
        return (self._message(ts_ns, data, event, dp=self._depth, t="snapshot"),)


class Klines(SplitStream):
    """While it changes, and once when it closes (`S`); an interval without trades ends without a frame."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, instrument: str, interval: str) -> None:
        want = Want(kind=CandleMoved, instrument=instrument, interval_s=INTERVALS_S[interval])
        super().__init__(venue, instrument, "kline", want)
        self._interval = interval

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved) or not happening.trades:
            return ()
        market, candle = self._market, happening
        open_s = candle.open_ns // NS_PER_S
        data = {
            "o": market.price_text(candle.open),
            "c": market.price_text(candle.close),
            "l": market.price_text(candle.low),
            "h": market.price_text(candle.high),
            "S": candle.is_closed,
            "v": market.qty_text(candle.volume),
            "i": self._interval,
            "a": market.turnover_text(candle.turnover),
            "C": open_s + candle.interval_s,
            "s": self.instrument,
            "O": open_s,
        }
        pushed_ns = candle.ts_ns + PUSH_DELAY_NS
        event = kline_event(market, candle, pushed_ns, now_ns, is_closed=candle.is_closed)
        return (self._message(candle.ts_ns, data, event),)


class Marks(UtaStream):
    """Mark and index price and open interest, once a second."""

    channel = "mark-price"
    feeds = frozenset({Feed.MARK_PRICE, Feed.OPEN_INTEREST})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Marked, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return ()
        market, done_ms = self._market, ms(happening.ts_ns)
        mark, index = market.mark_text(happening.mark), market.mark_text(happening.index)
        data = {"s": self.instrument, "mp": mark, "ip": index, "oi": market.qty_text(market.open_interest)}
        events = (
            mark_event(market, mark, index, done_ms * NS_PER_MS, now_ns),
            interest_event(market, mark, done_ms * NS_PER_MS, now_ns),
        )
        return (self._message(happening.ts_ns, data | {"ts": done_ms}, *events),)


class Fundings(UtaStream):
    """The rate of the coming settlement, once a minute; here a subscriber is told at once as well, so that short runs see one."""

    channel = "funding-fee"
    feeds = frozenset({Feed.FUNDING})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Beat, instrument=instrument, every_ns=_FUNDING_EVERY_NS))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._told(self._venue.now_ns(), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._told(happening.ts_ns, now_ns),)

    def _told(self, ts_ns: int, now_ns: int) -> Message:
        market = self._market
        next_ms, rate = ms(market.next_funding_ns), market.mark_text(market.funding)
        data = {
            "s": self.instrument,
            "fr": rate,
            "ft": next_ms - FUNDING_MS,
            "lfr": rate,
            "nt": next_ms,
            "gl": FUNDING_MS,
            "fc": "0.003",
            "ff": "-0.003",
        }
        event = funding_event(market, next_ms * NS_PER_MS, ts_ns + PUSH_DELAY_NS, now_ns)
        return self._message(ts_ns, data, event)


_PLAIN: dict[str, Callable[[Venue, str], UtaStream]] = {"trade": Trades, "ticker": Tickers}
_OF_FUTURES: dict[str, Callable[[Venue, str], UtaStream]] = {"mark-price": Marks, "funding-fee": Fundings}


def open_stream(words: Sequence[str], venue: Venue) -> UtaStream | None:
    """The channel behind `[SPOT, obu, BTC-USDT, increment@10ms]`; `None` for what is acknowledged and never speaks: symbols of nobody, or of the other book."""
    kind, channel, symbol, parameter = words
    market = venue.markets.get(symbol)
    if market is None or trade_type(market) != kind:
        return None
    if channel in _PLAIN:
        return _PLAIN[channel](venue, symbol)
    if channel in _OF_FUTURES:
        is_silent = is_spot(market) or (channel == "funding-fee" and not is_funded(market))
        return None if is_silent else _OF_FUTURES[channel](venue, symbol)
    if channel == "kline":
        return Klines(venue, symbol, parameter) if parameter in INTERVALS_S else None
    match parameter:
        case "increment@10ms":
            return Increments(venue, symbol)
        case "1":
            return Tops(venue, symbol)
        case "5" | "50":
            return Partials(venue, symbol, parameter)
    return None
