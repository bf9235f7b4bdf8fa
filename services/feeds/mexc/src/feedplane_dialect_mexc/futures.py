"""Channels of futures: JSON, numbers as numbers, one contract a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from feedplane_core.dialect import (
    Beat,
    CandleMoved,
    DepthBatch,
    Happening,
    LevelInts,
    Marked,
    Market,
    Message,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import BookSnapshot, DepthDiff, Kline, MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .channel import (
    INTERVALS_S,
    PUSH_DELAY_MS,
    BaseStream,
    CandleStream,
    funding_event,
    interest_event,
    mark_event,
    ms,
    trade_event,
    window_s,
)
from .listing import EXCHANGE, base_text
from .wire import number

_DEPTH_EVERY_NS = 200 * NS_PER_MS
_FULL_EVERY_NS = 300 * NS_PER_MS
_TICKER_EVERY_NS = 2 * NS_PER_S
_FUNDING_EVERY_NS = 60 * NS_PER_S
_FULL_LEVELS = 20


def frame(symbol: str, channel: str, data: object, pushed_ms: int, *, is_channel_first: bool = False) -> bytes:
    """The envelope; of candles its keys come in another order."""
    if is_channel_first:
        return orjson.dumps({"channel": channel, "data": data, "symbol": symbol, "ts": pushed_ms})
    return orjson.dumps({"symbol": symbol, "data": data, "channel": channel, "ts": pushed_ms})


def level_rows(market: Market, levels: Sequence[LevelInts]) -> list[list[object]]:
    """`[price, contracts, orders]`."""
    rows = market.levels_text(levels)
    return [
        [number(price), number(qty), 1 if steps else 0] for (price, qty), (_, steps) in zip(rows, levels, strict=True)
    ]


def levels_in_base(market: Market, levels: Sequence[LevelInts]) -> list[list[str]]:
    return [[price, base_text(market, qty, price)] for price, qty in market.levels_text(levels)]


def deal_row(market: Market, trade: TradeDone, trade_id: str) -> dict[str, object]:
    """`O` and `M` say nothing of the maker; `i` and `cts` are texts."""
    done_ms = ms(trade.ts_ns)
    row = {"p": number(market.price_text(trade.price)), "v": number(market.qty_text(trade.qty))}
    return row | {"T": 1 if trade.is_buy else 2, "O": 3, "M": 2, "t": done_ms, "i": trade_id, "cts": str(done_ms)}


class Deals(BaseStream):
    """`push.deal`: a list of deals."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=TradeDone, instrument=symbol)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market = self._market
        event = trade_event(market, happening, now_ns)
        data = [deal_row(market, happening, event.trade_id)]
        pushed_ms = ms(happening.ts_ns) + PUSH_DELAY_MS
        return (Message(payload=frame(self._symbol, "push.deal", data, pushed_ms), events=(event,)),)


class Depth(BaseStream):
    """`push.depth`, merged: levels in no order (here asks and bids as they moved, the farthest first)."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=DepthBatch, instrument=symbol, every_ns=_DEPTH_EVERY_NS)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        market, done_ms = self._market, ms(happening.ts_ns)
        bids, asks = happening.bids[::-1], happening.asks[::-1]
        first, last = happening.first_seq, happening.last_seq
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=levels_in_base(market, bids),
            asks=levels_in_base(market, asks),
            first_seq=first,
            last_seq=last,
        )
        data = {"cts": done_ms, "asks": level_rows(market, asks), "bids": level_rows(market, bids)}
        data |= {"end": last, "begin": first, "version": last}
        payload = frame(self._symbol, "push.depth", data, done_ms + PUSH_DELAY_MS)
        return (Message(payload=payload, events=(event,)),)


class FullDepth(BaseStream):
    """`push.depth.full`: the best levels, whole, each time."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=Beat, instrument=symbol, every_ns=_FULL_EVERY_NS)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, done_ms = self._market, ms(happening.ts_ns)
        bids, asks = market.bids(_FULL_LEVELS), market.asks(_FULL_LEVELS)
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=levels_in_base(market, bids),
            asks=levels_in_base(market, asks),
            last_seq=market.seq,
        )
        data = {
            "cts": done_ms,
            "asks": level_rows(market, asks),
            "bids": level_rows(market, bids),
            "version": market.seq,
        }
        payload = frame(self._symbol, "push.depth.full", data, done_ms + PUSH_DELAY_MS)
        return (Message(payload=payload, events=(event,)),)


class Ticker(BaseStream):
    """`push.ticker`: mark, index, funding and open interest, every two seconds whatever happens."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=Beat, instrument=symbol, every_ns=_TICKER_EVERY_NS)])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, at_ms = self._market, ms(happening.ts_ns)
        mark, index, funding = mark_event(market, at_ms, now_ns), market.index, funding_event(market, at_ms, now_ns)
        last = market.listing.start_price if market.last_trade is None else market.price_text(market.last_trade.price)
        data = {
            "symbol": self._symbol,
            "lastPrice": number(last),
            "riseFallRate": number("-0.0006"),
            "fairPrice": number(mark.mark_price or "0"),
            "indexPrice": number(market.mark_text(index)),
            "volume24": 0,
            "amount24": 0,
            "timestamp": at_ms,
            "holdVol": number(market.qty_text(market.open_interest)),
            "fundingRate": number(funding.rate),
            "zone": "UTC+8",
        }
        events: tuple[MarketEvent, ...] = (mark, funding, interest_event(market, at_ms, now_ns))
        return (Message(payload=frame(self._symbol, "push.ticker", data, at_ms), events=events),)


class Funding(BaseStream):
    """`push.funding.rate`: at once, then about once a minute."""

    feeds = frozenset({Feed.FUNDING})

    def __init__(self, venue: Venue, topic: str, symbol: str) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=Beat, instrument=symbol, every_ns=_FUNDING_EVERY_NS)])

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._rate_message(ms(self._venue.now_ns()), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._rate_message(ms(happening.ts_ns), now_ns),)

    def _rate_message(self, at_ms: int, now_ns: int) -> Message:
        market = self._market
        event = funding_event(market, at_ms, now_ns)
        data = {"symbol": self._symbol, "rate": number(event.rate), "nextSettleTime": ms(market.next_funding_ns)}
        return Message(payload=frame(self._symbol, "push.funding.rate", data, at_ms), events=(event,))


class Price(BaseStream):
    """`push.fair.price` or `push.index.price`."""

    feeds = frozenset({Feed.MARK_PRICE})

    def __init__(self, venue: Venue, topic: str, symbol: str, *, is_mark: bool) -> None:
        super().__init__(venue, topic, symbol, [Want(kind=Marked, instrument=symbol)])
        self._is_mark = is_mark

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, at_ms = self._market, ms(happening.ts_ns)
        event = mark_event(market, at_ms, now_ns, has_mark=self._is_mark, has_index=not self._is_mark)
        price = event.mark_price or event.index_price or "0"
        channel = "push.fair.price" if self._is_mark else "push.index.price"
        data = {"symbol": self._symbol, "price": number(price)}
        return (Message(payload=frame(self._symbol, channel, data, at_ms), events=(event,)),)


class Klines(CandleStream):
    """`push.kline`: seconds, contracts."""

    def _candle_message(
        self, market: Market, candle: CandleMoved, pushed_ms: int, events: tuple[Kline, ...]
    ) -> Message:
        now, (start_s, _) = events[-1], window_s(candle)
        prices = {
            key: number(text) for key, text in (("o", now.open), ("h", now.high), ("l", now.low), ("c", now.close))
        }
        data: dict[str, object] = {"a": number("0"), **prices, "interval": self._interval}
        data |= {"q": number(market.qty_text(candle.volume)), "symbol": self._symbol, "t": start_s}
        data |= {f"r{key}": value for key, value in prices.items()}
        payload = frame(self._symbol, "push.kline", data, pushed_ms, is_channel_first=True)
        return Message(payload=payload, events=events)


def topic_of(method: str, param: Mapping[str, object]) -> str:
    """`depth.BTC_USDT`, `kline.Min1.BTC_USDT`: what the runtime calls a channel; `""` for a method that does not exist."""
    symbol = str(param.get("symbol", ""))
    if method == "kline":
        return f"kline.{param.get('interval', '')}.{symbol}"
    return f"{method}.{symbol}" if method in _CHANNELS else ""


_CHANNELS = ("deal", "depth", "depth.full", "ticker", "funding.rate", "fair.price", "index.price")


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    head, _, symbol = topic.rpartition(".")
    if symbol not in venue.markets:
        return None
    match head:
        case "deal":
            return Deals(venue, topic, symbol)
        case "depth":
            return Depth(venue, topic, symbol)
        case "depth.full":
            return FullDepth(venue, topic, symbol)
        case "ticker":
            return Ticker(venue, topic, symbol)
        case "funding.rate":
            return Funding(venue, topic, symbol)
        case "fair.price" | "index.price":
            return Price(venue, topic, symbol, is_mark=head == "fair.price")
    interval = head.removeprefix("kline.")
    return Klines(venue, topic, symbol, interval) if interval != head and interval in INTERVALS_S else None
