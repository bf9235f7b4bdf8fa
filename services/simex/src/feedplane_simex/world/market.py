"""One simulated instrument: book, trades, candles and derivative state, all in integers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from feedplane_core.decimals import Dec, exact_product, scaled
from feedplane_core.dialect import (
    MARK_DECIMALS,
    CandleMoved,
    DepthBatch,
    LevelInts,
    Listing,
    QuoteMoved,
    Steps,
    Ticks,
    TradeDone,
)
from feedplane_core.instruments import InstrumentStatus

from .candles import Candles
from .side import Side

TRADES_KEPT = 20_000
"""Per instrument: what REST pages of trades reach back to."""
_UNIT = 10**18
_TEXTS_KEPT = 1 << 16


def fixed_text(value: int, decimals: int) -> Dec:
    """`value` / 10**decimals with exactly that many decimals."""
    if not decimals:
        return str(value)
    sign, magnitude = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(magnitude, 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}"


class Pending:
    """Levels changed since the last depth batch of one cadence."""

    __slots__ = ("asks", "bids", "first_seq", "prev_seq")

    def __init__(self, seq: int) -> None:
        self.prev_seq = seq
        self.first_seq = 0
        self.bids: set[Ticks] = set()
        self.asks: set[Ticks] = set()

    def restart(self, seq: int) -> None:
        self.prev_seq, self.first_seq = seq, 0
        self.bids.clear()
        self.asks.clear()


class MarketState:
    """What is true of one instrument. Only `World` changes it; dialects read it as `Market`."""

    def __init__(self, listing: Listing, seq: int, trade_number: int, clock: Callable[[], int]) -> None:
        self.listing = listing
        self._clock = clock
        self.name = listing.world_name
        self.seq = seq
        self.trade_number = trade_number
        self.liquidation_number = 0
        self.status = InstrumentStatus.TRADING
        self.bid_side = Side(is_bid=True)
        self.ask_side = Side(is_bid=False)
        self.last_trade: TradeDone | None = None
        self.pending: dict[int, Pending] = {}
        self.candle_books: dict[int, Candles] = {}
        self.mark = self.index = self.funding = 0
        self.next_funding_ns = 0
        self.open_interest: Steps = 0
        self._trades: deque[TradeDone] = deque(maxlen=TRADES_KEPT)
        self._tick_units = scaled(listing.tick) * 10**listing.price_decimals // _UNIT
        self._step_units = scaled(listing.step) * 10**listing.qty_decimals // _UNIT
        self.start_tick = scaled(listing.start_price) // scaled(listing.tick)
        self.lot: Steps = max(2, scaled(listing.lot) // scaled(listing.step))
        self._prices: dict[Ticks, Dec] = {}

    # Reading: what dialects see

    def bids(self, depth: int) -> list[LevelInts]:
        return self.bid_side.top(depth)

    def asks(self, depth: int) -> list[LevelInts]:
        return self.ask_side.top(depth)

    def price_text(self, ticks: Ticks) -> Dec:
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) >= _TEXTS_KEPT:
                self._prices.clear()
            text = self._prices[ticks] = fixed_text(ticks * self._tick_units, self.listing.price_decimals)
        return text

    def qty_text(self, steps: Steps) -> Dec:
        return fixed_text(steps * self._step_units, self.listing.qty_decimals)

    def mark_text(self, value: int) -> Dec:
        return fixed_text(value, MARK_DECIMALS)

    def turnover_text(self, turnover: int) -> Dec:
        return exact_product(str(turnover), self.listing.tick, self.listing.step)

    def levels_text(self, levels: Iterable[LevelInts]) -> list[list[Dec]]:
        return [[self.price_text(tick), self.qty_text(qty)] for tick, qty in levels]

    def trades(self, first_number: int, limit: int) -> list[TradeDone]:
        held = self._trades
        if not held or limit <= 0:
            return []
        # Numbers are consecutive except across a jump made by a fault, so this is the place or a little after it.
        place = max(0, min(first_number - held[0].number, len(held)))
        while place and held[place - 1].number >= first_number:
            place -= 1
        return list(islice(held, place, place + limit))

    def candles(self, interval_s: int, start_ns: int, end_ns: int, limit: int) -> list[CandleMoved]:
        now_ns = self._clock()
        return self.candle_book(interval_s, now_ns).between(start_ns, end_ns, limit, now_ns)

    # Changing: what the world does

    def candle_book(self, interval_s: int, now_ns: int) -> Candles:
        """Candles of this interval, built from the remembered trades where they are asked for the first time."""
        book = self.candle_books.get(interval_s)
        if book is None:
            since = self._trades[0].ts_ns if self._trades else now_ns
            price = self._trades[0].price if self._trades else self.start_tick
            book = self.candle_books[interval_s] = Candles(self.name, interval_s, price, since)
            book.feed(self._trades)
        return book

    def set_level(self, side: Side, tick: Ticks, qty: Steps, stride: int) -> None:
        """One numbered change of the book."""
        side.set(tick, qty)
        self.seq += stride
        for pending in self.pending.values():
            if not pending.first_seq:
                pending.first_seq = self.seq
            (pending.bids if side.is_bid else pending.asks).add(tick)

    def record_trade(self, price: Ticks, qty: Steps, is_buy: bool, ts_ns: int) -> TradeDone:
        self.trade_number += 1
        trade = TradeDone(
            instrument=self.name,
            ts_ns=ts_ns,
            number=self.trade_number,
            price=price,
            qty=qty,
            is_buy=is_buy,
            seq=self.seq,
        )
        self.last_trade = trade
        self._trades.append(trade)
        return trade

    def quote(self, ts_ns: int) -> QuoteMoved:
        bid, bid_qty = self.bid_side.best()
        ask, ask_qty = self.ask_side.best()
        return QuoteMoved(
            instrument=self.name, ts_ns=ts_ns, seq=self.seq, bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty
        )

    def flush(self, every_ns: int, ts_ns: int) -> DepthBatch | None:
        """The depth batch of this cadence, if a level changed since the last one."""
        pending = self.pending.get(every_ns)
        if pending is None or not pending.first_seq:
            return None
        bids, asks = self.bid_side.qty, self.ask_side.qty
        batch = DepthBatch(
            instrument=self.name,
            ts_ns=ts_ns,
            every_ns=every_ns,
            first_seq=pending.first_seq,
            last_seq=self.seq,
            prev_seq=pending.prev_seq,
            bids=[(tick, bids.get(tick, 0)) for tick in sorted(pending.bids, reverse=True)],
            asks=[(tick, asks.get(tick, 0)) for tick in sorted(pending.asks)],
        )
        pending.restart(self.seq)
        return batch

    def renumber(self, seq: int) -> None:
        """Go on from another book number, as if what lies between had been lost. Pending depth was flushed before."""
        self.seq = seq
        for pending in self.pending.values():
            pending.restart(seq)

    def frozen_copy(self) -> MarketState:
        """The book as it stands now, for stale answers."""
        twin = MarketState(self.listing, self.seq, self.trade_number, self._clock)
        twin.bid_side, twin.ask_side = self.bid_side.copy(), self.ask_side.copy()
        twin.last_trade, twin.status = self.last_trade, self.status
        twin._trades = self._trades.copy()
        twin.mark, twin.index, twin.funding = self.mark, self.index, self.funding
        twin.next_funding_ns, twin.open_interest = self.next_funding_ns, self.open_interest
        return twin
