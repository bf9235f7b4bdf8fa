"""The channels: what each sends for what happens, and what that means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from feedplane_core.dialect import (
    CandleMoved,
    DepthBatch,
    Happening,
    LiquidationDone,
    Marked,
    Market,
    Message,
    QuoteMoved,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    FundingRate,
    Kline,
    Liquidation,
    MarkPrice,
    OpenInterest,
    TopOfBook,
    Trade,
)
from feedplane_core.names import NS_PER_MS, NS_PER_S, NS_PER_US, Aggressor, Feed, Liquidated

from .channel import INTERVALS_S, Asked, BaseStream, ms, pushed_ms
from .listing import EXCHANGE, FUNDING_INTERVAL_S, base_levels, base_qty

OBU_CADENCES_MS = {"400": 100, "50": 20}
UPDATE_LEVELS = {"100ms": "100", "20ms": "20"}
_LIQUIDATION_EVERY_NS = NS_PER_S


def global_id(trade: TradeDone, market: Market) -> int:
    """Spot ids count over all pairs, so inside one they leap."""
    return trade.number * 1_000 + sum(market.listing.instrument.encode()) % 1_000


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    """Spot times have microseconds, those of futures milliseconds."""
    is_spot = market.listing.extra["market"] == "spot"
    unit_ns = NS_PER_US if is_spot else NS_PER_MS
    price = market.price_text(trade.price)
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=trade.ts_ns // unit_ns * unit_ns,
        ts_recv_ns=now_ns,
        trade_id=str(global_id(trade, market) if is_spot else trade.number),
        price=price,
        qty=base_qty(market, market.qty_text(trade.qty), price),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


def spot_time_text(ts_ns: int) -> str:
    """`1606292218213.457`: milliseconds with decimals."""
    return f"{ms(ts_ns)}.{ts_ns // NS_PER_US % 1_000:03d}"


def signed(asked: Asked, amount: str, is_buy: bool) -> object:
    """Contracts: positive buys, negative sells."""
    return asked.size(amount if is_buy else f"-{amount}")


class Trades(BaseStream):
    """`spot.trades`: one object a frame; `futures.trades`: a list."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked, Want(kind=TradeDone, instrument=asked.market.listing.world_name))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        market, asked = self._market, self._asked
        event = trade_event(market, happening, now_ns)
        amount = market.qty_text(happening.qty)
        if asked.is_spot:
            result: object = spot_trade_row(market, happening) | {
                "id": global_id(happening, market),
                "id_market": happening.number,
                "create_time": happening.ts_ns // NS_PER_S,
                "range": f"{happening.number}-{happening.number}",
            }
        else:
            result = [
                {
                    "size": signed(asked, amount, happening.is_buy),
                    "id": happening.number,
                    "create_time": happening.ts_ns // NS_PER_S,
                    "create_time_ms": ms(happening.ts_ns),
                    "price": event.price,
                    "contract": self.instrument,
                }
            ]
        return (self._message(happening.ts_ns, result, event),)


def spot_trade_row(market: Market, trade: TradeDone) -> dict[str, object]:
    """What sockets and REST say alike."""
    return {
        "create_time_ms": spot_time_text(trade.ts_ns),
        "side": "buy" if trade.is_buy else "sell",
        "currency_pair": market.listing.instrument,
        "amount": market.qty_text(trade.qty),
        "price": market.price_text(trade.price),
    }


class Quotes(BaseStream):
    """`book_ticker`: each change of the best bid or ask; an empty side has no price."""

    feeds = frozenset({Feed.L1})

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked, Want(kind=QuoteMoved, instrument=asked.market.listing.world_name))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        market, moved_ms = self._market, ms(happening.ts_ns)
        sides = market.levels_text(((happening.bid, happening.bid_qty), (happening.ask, happening.ask_qty)))
        (bid, bid_qty), (ask, ask_qty) = sides
        result = {"t": moved_ms, "u": happening.seq, "s": self.instrument}
        result |= {"b": bid, "B": self._asked.size(bid_qty), "a": ask, "A": self._asked.size(ask_qty)}
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=moved_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bid_price=bid,
            bid_qty=base_qty(market, bid_qty, bid),
            ask_price=ask,
            ask_qty=base_qty(market, ask_qty, ask),
            seq=happening.seq,
        )
        return (self._message(happening.ts_ns, result, event),)


class Obu(BaseStream):
    """`obu`, V2: the whole window first, then what changed in it. A level that leaves the window is removed, one that comes back is told anew; a frame without sides is
    normal. Sizes are texts whatever the header says."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, asked: Asked) -> None:
        level = asked.parameters[0].rpartition(".")[2]
        every_ns = OBU_CADENCES_MS[level] * NS_PER_MS
        super().__init__(asked, Want(kind=DepthBatch, instrument=asked.market.listing.world_name, every_ns=every_ns))
        self._depth = int(level)
        self._seen: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def _window(self) -> tuple[list[list[str]], list[list[str]]]:
        market = self._market
        return market.levels_text(market.bids(self._depth)), market.levels_text(market.asks(self._depth))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        bids, asks = self._window()
        self._seen = _by_price(bids, asks)
        at_ns = self._asked.venue.now_ns()
        result = {
            "t": ms(at_ns),
            "full": True,
            "s": self._asked.parameters[0],
            "u": self._market.seq,
            "b": bids,
            "a": asks,
        }
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=self._market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ms(at_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=base_levels(self._market, bids),
            asks=base_levels(self._market, asks),
            last_seq=self._market.seq,
            depth=self._depth,
        )
        return (self._message(at_ns, result, event),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        before, self._seen = self._seen, _by_price(*self._window())
        now = self._seen
        bids, asks = _changes(before[0], now[0]), _changes(before[1], now[1])
        first = happening.prev_seq + 1
        result: dict[str, object] = {"t": ms(happening.ts_ns), "s": self._asked.parameters[0], "U": first}
        result["u"] = happening.last_seq
        result |= {key: side for key, side in (("b", bids), ("a", asks)) if side}
        event = _diff(self._market, happening, first, bids, asks, now_ns)
        return (self._message(happening.ts_ns, result, event),)


def _by_price(bids: list[list[str]], asks: list[list[str]]) -> tuple[dict[str, str], dict[str, str]]:
    return {level[0]: level[1] for level in bids}, {level[0]: level[1] for level in asks}


def _changes(old: dict[str, str], new: dict[str, str]) -> list[list[str]]:
    prices = [*new, *(price for price in old if price not in new)]
    return [[price, new.get(price, "0")] for price in prices if old.get(price) != new.get(price)]


def _diff(
    market: Market, batch: DepthBatch, first: int, bids: list[list[str]], asks: list[list[str]], now_ns: int
) -> DepthDiff:
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ms(batch.ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        bids=base_levels(market, bids),
        asks=base_levels(market, asks),
        first_seq=first,
        last_seq=batch.last_seq,
    )


class Updates(BaseStream):
    """`order_book_update`: all that changed, numbered; whole books are REST's. `[price, amount]` on spot, `{p, s}` on futures."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, asked: Asked) -> None:
        speed = asked.parameters[1]
        every_ns = int(speed.removesuffix("ms")) * NS_PER_MS
        super().__init__(asked, Want(kind=DepthBatch, instrument=asked.market.listing.world_name, every_ns=every_ns))
        self._level = asked.parameters[2] if len(asked.parameters) > 2 else UPDATE_LEVELS[speed]

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        market, asked = self._market, self._asked
        bids, asks = market.levels_text(happening.bids), market.levels_text(happening.asks)
        first = happening.prev_seq + 1
        result: dict[str, object] = {"t": ms(happening.ts_ns), "l": self._level, "s": self.instrument, "U": first}
        if asked.is_spot:
            result |= {"e": "depthUpdate", "E": happening.ts_ns // NS_PER_S}
        result |= {"u": happening.last_seq, "b": wire_levels(asked, bids), "a": wire_levels(asked, asks)}
        return (self._message(happening.ts_ns, result, _diff(market, happening, first, bids, asks, now_ns)),)


def wire_levels(asked: Asked, levels: list[list[str]]) -> list[object]:
    if asked.is_spot:
        return list(levels)
    return [{"p": price, "s": asked.size(qty)} for price, qty in levels]


class Klines(BaseStream):
    """`candlesticks`, every 2 s and at the end."""

    feeds = frozenset({Feed.KLINES})
    _EVERY_NS = 2 * NS_PER_S

    def __init__(self, asked: Asked) -> None:
        interval_s = INTERVALS_S[asked.parameters[0]]
        name = asked.market.listing.world_name
        super().__init__(asked, Want(kind=CandleMoved, instrument=name, interval_s=interval_s))
        self._sent_ns = 0

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved):
            return ()
        if not happening.is_closed and happening.ts_ns - self._sent_ns < self._EVERY_NS:
            return ()
        self._sent_ns = happening.ts_ns
        market = self._market
        event = kline_event(market, happening, pushed_ms(happening.ts_ns) * NS_PER_MS, now_ns)
        row: dict[str, object] = {"o": event.open, "h": event.high, "l": event.low, "c": event.close}
        row |= {"n": f"{self._asked.parameters[0]}_{self.instrument}", "w": happening.is_closed}
        volume, turnover = market.qty_text(happening.volume), market.turnover_text(happening.turnover)
        if self._asked.is_spot:
            result: object = row | {"t": str(happening.open_ns // NS_PER_S), "v": turnover, "a": volume}
        else:
            result = [row | {"t": happening.open_ns // NS_PER_S, "v": self._asked.size(volume), "a": turnover}]
        return (self._message(happening.ts_ns, result, event),)


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int, now_ns: int) -> Kline:
    """Contracts of an inverse candle are taken at its close."""
    close = market.price_text(candle.close)
    return Kline(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=market.price_text(candle.open),
        high=market.price_text(candle.high),
        low=market.price_text(candle.low),
        close=close,
        volume=base_qty(market, market.qty_text(candle.volume), close),
        trades=None,
        is_closed=candle.is_closed,
    )


class Tickers(BaseStream):
    """`futures.tickers`: mark, index, funding and open interest once a second."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked, Want(kind=Marked, instrument=asked.market.listing.world_name))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return ()
        market, at_ms = self._market, ms(happening.ts_ns)
        mark, index, rate = map(market.mark_text, (happening.mark, happening.index, happening.funding))
        interest = market.qty_text(market.open_interest)
        last = market.price_text(market.last_trade.price) if market.last_trade else market.listing.start_price
        next_s = happening.next_funding_ns // NS_PER_S
        row: dict[str, object] = {"contract": self.instrument, "last": last, "mark_price": mark, "index_price": index}
        row |= {"funding_rate": rate, "funding_rate_indicative": rate, "funding_interval": FUNDING_INTERVAL_S}
        row |= {"funding_offset": 0, "funding_next_apply": next_s, "total_size": interest, "quanto_base_rate": ""}
        head: dict[str, Any] = {
            "exchange": EXCHANGE,
            "market_type": market.listing.market_type,
            "instrument": self.instrument,
            "ts_event_ns": at_ms * NS_PER_MS,
            "ts_recv_ns": now_ns,
        }
        return (
            self._message(
                happening.ts_ns,
                [row | {"t": at_ms}],
                MarkPrice(**head, mark_price=mark, index_price=index),
                FundingRate(**head, rate=rate, interval_s=FUNDING_INTERVAL_S, next_funding_ns=next_s * NS_PER_S),
                OpenInterest(**head, open_interest=base_qty(market, interest, mark)),
            ),
        )


class Liquidations(BaseStream):
    """`futures.public_liquidates`: at most one a contract and second; the price is a JSON number, a negative size sold (a long died)."""

    feeds = frozenset({Feed.LIQUIDATIONS})

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked, Want(kind=LiquidationDone, instrument=asked.market.listing.world_name))
        self._last_ns = 0

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, LiquidationDone) or happening.ts_ns - self._last_ns < _LIQUIDATION_EVERY_NS:
            return ()
        self._last_ns = happening.ts_ns
        market, at_ms = self._market, ms(happening.ts_ns)
        price, amount = market.price_text(happening.price), market.qty_text(happening.qty)
        row = {"price": orjson.Fragment(price), "size": signed(self._asked, amount, not happening.is_long)}
        row |= {"time_ms": at_ms, "contract": self.instrument}
        event = Liquidation(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if happening.is_long else Liquidated.SHORT,
            price=price,
            qty=base_qty(market, amount, price),
        )
        return (self._message(happening.ts_ns, [row], event),)


_KINDS: dict[str, Callable[[Asked], BaseStream]] = {
    "trades": Trades,
    "book_ticker": Quotes,
    "obu": Obu,
    "order_book_update": Updates,
    "candlesticks": Klines,
    "tickers": Tickers,
    "public_liquidates": Liquidations,
}
FUTURES_ONLY = frozenset({"tickers", "public_liquidates"})


def topic_of(market: str, channel: str, parameters: Sequence[str], has_texts: bool) -> str:
    """`usdt|futures.obu|ob.BTC_USDT.400|1`."""
    return "|".join((market, channel, ",".join(parameters), "1" if has_texts else "0"))


def symbol_in(kind: str, parameters: Sequence[str]) -> str:
    """The instrument that parameters of a channel name; empty where they are of another shape."""
    match kind, list(parameters):
        case "obu", [stream] if stream.startswith("ob.") and stream.rpartition(".")[2] in OBU_CADENCES_MS:
            return stream.partition(".")[2].rpartition(".")[0]
        case "order_book_update", [symbol, speed, *_] if speed in UPDATE_LEVELS:
            return symbol
        case "candlesticks", [interval, symbol] if interval in INTERVALS_S:
            return symbol
        case "trades" | "book_ticker" | "tickers" | "public_liquidates", [symbol]:
            return symbol
    return ""


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    """The channel behind a topic; `None` for what is acknowledged and never speaks."""
    where, channel, text, texts = topic.split("|")
    kind, parameters = channel.partition(".")[2], text.split(",")
    market = venue.markets.get(f"{where}/{symbol_in(kind, parameters)}")
    build = _KINDS.get(kind)
    if market is None or build is None or (where == "spot" and kind in FUTURES_ONLY):
        return None
    return build(Asked(venue, market, channel, parameters, texts == "1"))
