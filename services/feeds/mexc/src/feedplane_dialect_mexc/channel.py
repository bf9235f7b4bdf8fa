"""What all channels share: how a trade, a candle or a mark of the world becomes an event, and the shape of a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from feedplane_core.dialect import CandleMoved, Happening, Market, Message, TradeDone, Venue, Want
from feedplane_core.events import FundingRate, Kline, MarkPrice, OpenInterest, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed

from .listing import EXCHANGE, FUNDING_HOURS, base_text, is_contract

PUSH_DELAY_MS = 2
"""A frame is pushed so long after the matching engine is done."""
INTERVALS_S = {
    "Min1": 60,
    "Min5": 300,
    "Min15": 900,
    "Min30": 1800,
    "Min60": 3600,
    "Hour4": 14400,
    "Hour8": 28800,
    "Day1": 86400,
    "Week1": 604800,
}
_ID_BASE = 698_165_549_569_396_736


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def trade_id(market: Market, number: int) -> str:
    """`698165549569396736X0_698165549569396737X0` on spot, a number elsewhere."""
    if is_contract(market.listing.instrument):
        return str(13_064_218_000 + number)
    return f"{_ID_BASE + 2 * number}X0_{_ID_BASE + 2 * number + 1}X0"


def trade_event(market: Market, trade: TradeDone, now_ns: int, *, has_id: bool = True) -> Trade:
    price = market.price_text(trade.price)
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ms(trade.ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        trade_id=trade_id(market, trade.number) if has_id else "",
        price=price,
        qty=base_text(market, market.qty_text(trade.qty), price),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int, now_ns: int, *, is_closed: bool) -> Kline:
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
        volume=base_text(market, market.qty_text(candle.volume), close),
        trades=None,
        is_closed=is_closed,
    )


def mark_event(market: Market, at_ms: int, now_ns: int, *, has_mark: bool = True, has_index: bool = True) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=at_ms * NS_PER_MS,
        ts_recv_ns=now_ns,
        mark_price=market.mark_text(market.mark) if has_mark else None,
        index_price=market.mark_text(market.index) if has_index else None,
    )


def funding_event(market: Market, at_ms: int, now_ns: int, *, is_charged: bool = False) -> FundingRate:
    return FundingRate(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=at_ms * NS_PER_MS,
        ts_recv_ns=now_ns,
        rate=market.mark_text(market.funding),
        interval_s=FUNDING_HOURS * 3600,
        next_funding_ns=None if is_charged else ms(market.next_funding_ns) * NS_PER_MS,
    )


def interest_event(market: Market, at_ms: int, now_ns: int) -> OpenInterest:
    contracts = market.qty_text(market.open_interest)
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=at_ms * NS_PER_MS,
        ts_recv_ns=now_ns,
        open_interest=base_text(market, contracts, market.mark_text(market.mark)),
    )


class BaseStream(ABC):
    """What every channel shares: its name, its instrument, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, topic: str, symbol: str, wants: Sequence[Want]) -> None:
        self.instrument = symbol
        self.wants = tuple(wants)
        self._topic = topic
        self._venue = venue
        self._symbol = symbol

    @property
    def _market(self) -> Market:
        return self._venue.markets[self._symbol]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


class CandleStream(BaseStream):
    """Candles of both markets: none is said to be closed, the first of a new window tells."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, topic: str, symbol: str, interval: str) -> None:
        super().__init__(
            venue, topic, symbol, [Want(kind=CandleMoved, instrument=symbol, interval_s=INTERVALS_S[interval])]
        )
        self._interval = interval
        self._last: CandleMoved | None = None

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved):
            return ()
        last, self._last = self._last, happening
        market, pushed_ms = self._market, ms(happening.ts_ns)
        at_ns = pushed_ms * NS_PER_MS
        events = [kline_event(market, happening, at_ns, now_ns, is_closed=False)]
        if last is not None and last.open_ns < happening.open_ns:
            events.insert(0, kline_event(market, last, at_ns, now_ns, is_closed=True))
        return (self._candle_message(market, happening, pushed_ms, tuple(events)),)

    @abstractmethod
    def _candle_message(
        self, market: Market, candle: CandleMoved, pushed_ms: int, events: tuple[Kline, ...]
    ) -> Message: ...


def window_s(candle: CandleMoved) -> tuple[int, int]:
    """First second of a candle's window, and of the next."""
    start_s = candle.open_ns // NS_PER_S
    return start_s, start_s + candle.interval_s
