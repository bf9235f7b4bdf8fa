"""Trades, quotes and books, and which channel a topic stands for."""

from __future__ import annotations

from collections.abc import Sequence

from feedplane_core.dialect import Beat, DepthBatch, Happening, LevelInts, Message, QuoteMoved, TradeDone, Venue, Want
from feedplane_core.events import BookSnapshot, DepthDiff, TopOfBook
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .channel import EXCHANGE, INTERVALS_S, BaseStream, base_text, changes, levels_in_base, ms, trade_event
from .derivatives import Klines, Liquidations, SpotTickers, Tickers
from .listing import LINEAR, SPOT, world_name

BOOK_EVERY_MS = {50: 20, 200: 100, 1000: 200}
_REPEAT_NS = 3 * NS_PER_S
RESTARTED = 1


class Trades(BaseStream):
    """`publicTrade`: `S` is the taker's side; `L` on derivatives alone."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str) -> None:
        want = Want(kind=TradeDone, instrument=world_name(category, symbol))
        super().__init__(venue, category, topic, symbol, [want])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market = self._market
        event = trade_event(market, happening, now_ns)
        row: dict[str, object] = {
            "T": ms(happening.ts_ns),
            "s": self._symbol,
            "S": "Buy" if happening.is_buy else "Sell",
            "v": market.qty_text(happening.qty),
            "p": event.price,
        }
        if not self._is_spot:
            row["L"] = "PlusTick" if happening.is_buy else "MinusTick"
        row |= {"i": event.trade_id, "BT": False, "RPI": False, "seq": happening.seq}
        return (self._message("snapshot", ms(happening.ts_ns), [row], event),)


class Quotes(BaseStream):
    """`orderbook.1`: a snapshot of the best levels when they move, and again, with the same `u`, after three seconds in which they did not."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str) -> None:
        name = world_name(category, symbol)
        wants = [Want(kind=QuoteMoved, instrument=name), Want(kind=Beat, instrument=name, every_ns=NS_PER_S)]
        super().__init__(venue, category, topic, symbol, wants)
        self._last: QuoteMoved | None = None
        self._spoke_ns = 0

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market = self._market
        ((bid, bid_qty),), ((ask, ask_qty),) = market.bids(1), market.asks(1)
        quote = self._last
        if quote is None or (quote.bid, quote.bid_qty, quote.ask, quote.ask_qty) != (bid, bid_qty, ask, ask_qty):
            quote = QuoteMoved(
                instrument=self.instrument,
                ts_ns=self._venue.now_ns(),
                seq=market.seq,
                bid=bid,
                bid_qty=bid_qty,
                ask=ask,
                ask_qty=ask_qty,
            )
        return (self._quote_message(quote, now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if isinstance(happening, QuoteMoved):
            return (self._quote_message(happening, now_ns),)
        if self._last is None or happening.ts_ns - self._spoke_ns < _REPEAT_NS:
            return ()
        repeat = self._quote_message(self._last, now_ns, ms(happening.ts_ns))
        return (Message(payload=repeat.payload),)  # a sign of life: nothing that was not issued before

    def _quote_message(self, quote: QuoteMoved, now_ns: int, pushed_ms: int | None = None) -> Message:
        market, done_ms = self._market, ms(quote.ts_ns)
        self._last, self._spoke_ns = quote, self._venue.now_ns()
        (bid,), (ask,) = (
            market.levels_text([(quote.bid, quote.bid_qty)]),
            market.levels_text([(quote.ask, quote.ask_qty)]),
        )
        data = {"s": self._symbol, "b": [bid], "a": [ask], "u": quote.seq, "seq": quote.seq}
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bid_price=bid[0],
            bid_qty=base_text(market, bid[1], bid[0]),
            ask_price=ask[0],
            ask_qty=base_text(market, ask[1], ask[0]),
            seq=quote.seq,
        )
        return self._message("snapshot", done_ms if pushed_ms is None else pushed_ms, data, event, cts=done_ms)


class Book(BaseStream):
    """`orderbook.<depth>`: a snapshot for the newcomer, then what changed among the best levels, numbered one by one.

    The number goes on from the market's own, which grows at least as fast, so that a channel that is opened again never goes back. Where the market's numbers
    jump, so do these; where they start again, the service has restarted: a snapshot numbered 1.
    """

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str, depth: int) -> None:
        name = world_name(category, symbol)
        every_ns = BOOK_EVERY_MS[depth] * NS_PER_MS
        super().__init__(venue, category, topic, symbol, [Want(kind=DepthBatch, instrument=name, every_ns=every_ns)])
        self._depth = depth
        self._number = self._market.seq + 1
        self._market_seq = self._number - 1
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._snapshot(ms(self._venue.now_ns()), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        lost = happening.prev_seq - self._market_seq
        self._market_seq = happening.last_seq
        done_ms = ms(happening.ts_ns)
        if lost < 0:
            self._number = RESTARTED
            return (self._snapshot(done_ms, now_ns),)
        old_bids, old_asks = self._bids, self._asks
        self._look()
        bids = changes(old_bids, self._bids, is_bid=True)
        asks = changes(old_asks, self._asks, is_bid=False)
        self._number += lost
        if not bids and not asks:
            return ()
        self._number += 1
        return (self._book_message("delta", done_ms, bids, asks, now_ns),)

    def _look(self) -> None:
        self._bids, self._asks = dict(self._market.bids(self._depth)), dict(self._market.asks(self._depth))

    def _snapshot(self, done_ms: int, now_ns: int) -> Message:
        self._look()
        return self._book_message("snapshot", done_ms, list(self._bids.items()), list(self._asks.items()), now_ns)

    def _book_message(
        self, kind: str, done_ms: int, bids: Sequence[LevelInts], asks: Sequence[LevelInts], now_ns: int
    ) -> Message:
        market, number = self._market, self._number
        b, a = market.levels_text(bids), market.levels_text(asks)
        data = {"s": self._symbol, "b": b, "a": a, "u": number, "seq": market.seq}
        place = {
            "exchange": EXCHANGE,
            "market_type": market.listing.market_type,
            "instrument": self._symbol,
        }
        when = {"ts_event_ns": done_ms * NS_PER_MS, "ts_recv_ns": now_ns}
        levels = {"bids": levels_in_base(market, b), "asks": levels_in_base(market, a)}
        event: BookSnapshot | DepthDiff
        if kind == "snapshot":
            event = BookSnapshot(**place, **when, **levels, last_seq=number, depth=self._depth)  # type: ignore[arg-type]
        else:
            event = DepthDiff(**place, **when, **levels, first_seq=number, last_seq=number)  # type: ignore[arg-type]
        return self._message(kind, done_ms, data, event, cts=done_ms)


def is_known(category: str, topic: str, venue: Venue) -> bool:
    """Whether this category has a handler for the topic, and the instrument."""
    channel, parameter, symbol = parts_of(topic)
    if world_name(category, symbol) not in venue.markets:
        return False
    match channel:
        case "publicTrade" | "tickers" | "priceLimit":
            return True
        case "allLiquidation":
            return category != SPOT
        case "orderbook":
            return parameter == "1" or (parameter.isdecimal() and int(parameter) in BOOK_EVERY_MS)
        case "kline":
            return parameter in INTERVALS_S or parameter == "M"
    return False


def parts_of(topic: str) -> tuple[str, str, str]:
    """(channel, parameter, symbol): `orderbook.50.BTCUSDT`, `publicTrade.BTCUSDT`."""
    channel, _, rest = topic.partition(".")
    if channel in ("orderbook", "kline"):
        parameter, _, symbol = rest.partition(".")
        return channel, parameter, symbol
    return channel, "", rest


def open_stream(name: str, venue: Venue) -> BaseStream | None:
    """The channel behind `linear/orderbook.50.BTCUSDT`; `None` for what is acknowledged and never spoken of here."""
    category, _, topic = name.partition("/")
    channel, parameter, symbol = parts_of(topic)
    match channel:
        case "publicTrade":
            return Trades(venue, category, topic, symbol)
        case "orderbook" if parameter == "1":
            return Quotes(venue, category, topic, symbol)
        case "orderbook":
            return Book(venue, category, topic, symbol, int(parameter))
        case "kline" if parameter in INTERVALS_S:
            return Klines(venue, category, topic, symbol, parameter)
        case "allLiquidation":
            return Liquidations(venue, category, topic, symbol)
        case "tickers" if category == SPOT:
            return SpotTickers(venue, category, topic, symbol)
        case "tickers":
            return Tickers(venue, category, topic, symbol)
    return None


def candidate_names(topic: str, category: str) -> tuple[str, ...]:
    """Where a recorded topic may be heard: derivatives first where the category is not known."""
    if category:
        return (f"{category}/{topic}",)
    return tuple(f"{each}/{topic}" for each in (LINEAR, "inverse", SPOT))
