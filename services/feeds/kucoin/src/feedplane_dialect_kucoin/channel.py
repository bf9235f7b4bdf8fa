"""What all channels share: names, times, the canonical events behind what is said, and the shape of a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from feedplane_core.decimals import Dec
from feedplane_core.dialect import CandleMoved, Happening, LevelInts, Market, Message, TradeDone, Venue, Want
from feedplane_core.events import BookSnapshot, DepthDiff, FundingRate, Kline, MarkPrice, OpenInterest, TopOfBook, Trade
from feedplane_core.names import NS_PER_MS, Aggressor, Feed, MarketType

from .listing import EXCHANGE, FUNDING_MS, base_text, is_spot, levels_in_base

INTERVALS_S = {
    "1min": 60,
    "3min": 180,
    "5min": 300,
    "15min": 900,
    "30min": 1_800,
    "1hour": 3_600,
    "2hour": 7_200,
    "4hour": 14_400,
    "6hour": 21_600,
    "8hour": 28_800,
    "12hour": 43_200,
    "1day": 86_400,
    "1week": 604_800,
}
BATCH_NS = 10 * NS_PER_MS
PARTIAL_NS = 100 * NS_PER_MS
MAINTAINED = 500
"""Levels a side of the UTA books."""


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def trade_type(market: Market) -> str:
    return "SPOT" if is_spot(market) else "FUTURES"


def is_funded(market: Market) -> bool:
    return market.listing.market_type in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE)


class BaseStream(ABC):
    """What every channel shares: its place, its feeds, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, *wants: Want) -> None:
        self.instrument = instrument
        self.wants = wants
        self._venue = venue

    @property
    def _market(self) -> Market:
        return self._venue.markets[self.instrument]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    price = market.price_text(trade.price)
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=trade.instrument,
        ts_event_ns=trade.ts_ns,
        ts_recv_ns=now_ns,
        trade_id=str(trade.number),
        price=price,
        qty=base_text(market, market.qty_text(trade.qty), price),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


def quote_event(
    market: Market, levels: Sequence[Sequence[Dec]], seq: int | None, ts_event_ns: int, now_ns: int
) -> TopOfBook:
    """`levels`: best bid and best ask, as on the wire."""
    (bid, bid_size), (ask, ask_size) = levels
    return TopOfBook(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        bid_price=bid,
        bid_qty=base_text(market, bid_size, bid),
        ask_price=ask,
        ask_qty=base_text(market, ask_size, ask),
        seq=seq,
    )


def snapshot_event(
    market: Market, depth: int | None, seq: int | None, ts_event_ns: int, now_ns: int
) -> tuple[BookSnapshot, list[list[Dec]], list[list[Dec]]]:
    """The best `depth` levels: as an event, and both sides as on the wire."""
    size = depth or 1 << 20
    bids, asks = market.levels_text(market.bids(size)), market.levels_text(market.asks(size))
    event = BookSnapshot(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        bids=levels_in_base(market, bids),
        asks=levels_in_base(market, asks),
        last_seq=seq,
        depth=depth,
    )
    return event, bids, asks


def diff_event(
    market: Market,
    bids: list[list[Dec]],
    asks: list[list[Dec]],
    first: int,
    last: int,
    ts_event_ns: int,
    now_ns: int,
) -> DepthDiff:
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        bids=levels_in_base(market, bids),
        asks=levels_in_base(market, asks),
        first_seq=first,
        last_seq=last,
    )


def sides_text(market: Market, bids: list[LevelInts], asks: list[LevelInts]) -> tuple[list[list[Dec]], list[list[Dec]]]:
    return market.levels_text(bids), market.levels_text(asks)


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int | None, now_ns: int, *, is_closed: bool) -> Kline:
    """Inverse contracts are converted at the close."""
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


def mark_event(market: Market, mark: Dec, index: Dec, ts_event_ns: int, now_ns: int) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        mark_price=mark,
        index_price=index,
    )


def funding_event(market: Market, next_ns: int | None, ts_event_ns: int, now_ns: int) -> FundingRate:
    return FundingRate(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        rate=market.mark_text(market.funding),
        interval_s=FUNDING_MS // 1_000,
        next_funding_ns=next_ns,
    )


def interest_event(market: Market, mark: Dec, ts_event_ns: int | None, now_ns: int) -> OpenInterest:
    """Inverse contracts are converted at the mark price."""
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_interest=base_text(market, market.qty_text(market.open_interest), mark),
    )
