"""The world of one venue: random acts on its markets, and timers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random

from feedplane_core.decimals import scaled
from feedplane_core.dialect import (
    MARK_DECIMALS,
    Beat,
    CandleMoved,
    DepthBatch,
    Happening,
    InterestMoved,
    LiquidationDone,
    Listing,
    Marked,
    StatusChanged,
    Ticks,
    Want,
)
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S

from .market import MarketState, Pending
from .side import Side

DEPTH = 120
"""Levels per side that a book keeps to, roughly."""
MARK_EVERY_NS = NS_PER_S
INTEREST_EVERY_NS = 3 * NS_PER_S
FUNDING_EVERY_NS = 8 * 3600 * NS_PER_S
CANDLE_EVERY_NS = 250 * NS_PER_MS
_PREROLL_ACTS = 150
_PREROLL_NS = 400 * NS_PER_MS
_TRADE_SHARE = 0.4
_LIQUIDATION_SHARE = 0.004
_LEASH_SHIFT = 5  # prices stay within 1/2**5 of where they began


class Timer:
    """One recurring happening. `want` says which; cancelled timers are dropped when they come due."""

    __slots__ = ("every_ns", "is_cancelled", "market", "want")

    def __init__(self, want: Want, market: MarketState | None, every_ns: int) -> None:
        self.want, self.market, self.every_ns = want, market, every_ns
        self.is_cancelled = False


class World:
    """Seeded and pure: the same calls with the same times give the same happenings. It is a `Venue` to dialects."""

    def __init__(self, listings: Sequence[Listing], seed: str, now_ns: int, seq_stride: int = 1) -> None:
        self.markets: dict[str, MarketState] = {}
        self.skew_ns = 0
        self._clock_ns = now_ns
        self._random = Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._stride = seq_stride
        self._trading: list[MarketState] = []
        self._due: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._timers: dict[tuple[str, Want], Timer] = {}
        for listing in listings:
            self.add(listing, now_ns)

    def now_ns(self) -> int:
        return self._clock_ns + self.skew_ns

    # Markets

    def add(self, listing: Listing, now_ns: int) -> MarketState:
        """List an instrument: a full book, a little history, and its clocks."""
        market = MarketState(
            listing,
            seq=self._below(1 << 30) + (1 << 30),
            trade_number=self._below(1 << 20) + (1 << 20),
            clock=self.now_ns,
        )
        self.markets[market.name] = market
        self._fill(market)
        market.open_interest = market.lot * (2000 + self._below(1000))
        begin_ns = now_ns - _PREROLL_ACTS * _PREROLL_NS
        for n in range(_PREROLL_ACTS):
            self._act_on(market, begin_ns + n * _PREROLL_NS)
        self._mark(market, now_ns)
        self._refresh_trading()
        phase_ns = self._below(1000) * NS_PER_MS
        for kind, every_ns in ((Marked, MARK_EVERY_NS), (InterestMoved, INTEREST_EVERY_NS)):
            self._start(Timer(Want(kind=kind, instrument=market.name), market, every_ns), now_ns + phase_ns)
        return market

    def set_status(self, instrument: str, status: InstrumentStatus) -> StatusChanged:
        """Halt, resume or delist. Raises: KeyError for an unknown instrument."""
        market = self.markets[instrument]
        market.status = status
        self._refresh_trading()
        return StatusChanged(instrument=instrument, ts_ns=self.now_ns(), status=status)

    def _refresh_trading(self) -> None:
        self._trading = [m for m in self.markets.values() if m.status is InstrumentStatus.TRADING]

    def frozen_copy(self) -> World:
        """The same markets as they stand now, moving no more: what a stale server would answer from."""
        twin = World((), "", self._clock_ns)
        twin.markets = {name: market.frozen_copy() for name, market in self.markets.items()}
        return twin

    # Timers

    def start(self, want: Want, now_ns: int) -> None:
        """Begin what a stream wants, where it is not always on."""
        names = [want.instrument] if want.instrument else list(self.markets)
        if want.kind is Beat:
            names = [want.instrument]
        for name in names:
            market = self.markets.get(name)
            key = (name, want)
            if key in self._timers or want.kind not in (DepthBatch, CandleMoved, Beat) or (name and market is None):
                continue
            every_ns = want.every_ns
            if market is not None and want.kind is DepthBatch and every_ns not in market.pending:
                market.pending[every_ns] = Pending(market.seq)
            if market is not None and want.kind is CandleMoved:
                market.candle_book(want.interval_s, now_ns)
            timer = self._timers[key] = Timer(
                want, market, CANDLE_EVERY_NS if want.kind is CandleMoved else max(every_ns, NS_PER_MS)
            )
            self._start(timer, now_ns + 1 + self._below(timer.every_ns))

    def stop(self, want: Want) -> None:
        """End it, when no stream wants it any more."""
        for key in [key for key in self._timers if key[1] == want]:
            timer = self._timers.pop(key)
            timer.is_cancelled = True
            if timer.market is not None and want.kind is DepthBatch:
                timer.market.pending.pop(want.every_ns, None)

    def _start(self, timer: Timer, due_ns: int) -> None:
        heappush(self._due, (due_ns, next(self._order), timer))

    def due(self, now_ns: int) -> list[Happening]:
        """What the timers that have come due bring about; moves the clock."""
        self._clock_ns = max(self._clock_ns, now_ns)
        done: list[Happening] = []
        while self._due and self._due[0][0] <= now_ns:
            due_ns, _, timer = heappop(self._due)
            if timer.is_cancelled:
                continue
            done += self._fire(timer)
            late = max(0, now_ns - due_ns) // timer.every_ns
            self._start(timer, due_ns + (1 + late) * timer.every_ns)
        return done

    def _fire(self, timer: Timer) -> Iterable[Happening]:
        want, market, ts_ns = timer.want, timer.market, self.now_ns()
        if want.kind is Beat:
            return (Beat(instrument=want.instrument, ts_ns=ts_ns, every_ns=want.every_ns),)
        if market is None or market.status is not InstrumentStatus.TRADING:
            return ()
        if want.kind is DepthBatch:
            batch = market.flush(want.every_ns, ts_ns)
            return (batch,) if batch else ()
        if want.kind is CandleMoved:
            return market.candle_book(want.interval_s, ts_ns).update(ts_ns)
        if want.kind is Marked:
            return (self._mark(market, ts_ns),)
        market.open_interest = max(market.lot, market.open_interest + self._below(2 * market.lot) - market.lot)
        return (InterestMoved(instrument=market.name, ts_ns=ts_ns, open_interest=market.open_interest),)

    # Acts

    def act(self) -> list[Happening]:
        """One random act on one market: a fill, a change of a level, now and then a liquidation."""
        if not self._trading:
            return []
        market = self._trading[self._below(len(self._trading))]
        return self._act_on(market, self.now_ns())

    def _act_on(self, market: MarketState, ts_ns: int) -> list[Happening]:
        dice = self._random.random()
        if dice < _LIQUIDATION_SHARE:
            done = self._trade(market, ts_ns)
            done.append(self._liquidate(market, ts_ns))
        elif dice < _TRADE_SHARE:
            done = self._trade(market, ts_ns)
        else:
            done = self._change(market, ts_ns)
        return done

    def _below(self, bound: int) -> int:
        return int(self._random.random() * bound)

    def _set(self, market: MarketState, side: Side, tick: Ticks, qty: int) -> None:
        stride = 1 if self._stride == 1 else 1 + self._below(self._stride)
        market.set_level(side, tick, qty, stride)

    def _fill(self, market: MarketState) -> None:
        """A fresh book around the start price: every tick near it, wider apart farther out."""
        for side, sign in ((market.bid_side, -1), (market.ask_side, 1)):
            tick = market.start_tick
            for place in range(DEPTH):
                tick += sign * (1 + self._below(1 + place // 10))
                if tick > 0:
                    self._set(market, side, tick, 1 + self._below(2 * market.lot))

    def _trade(self, market: MarketState, ts_ns: int) -> list[Happening]:
        """A taker meets the best level; a level taken whole is gone."""
        done: list[Happening] = []
        for book in market.candle_books.values():
            done += book.roll(ts_ns)
        is_buy = self._leans_up(market)
        side = market.ask_side if is_buy else market.bid_side
        tick, resting = side.best()
        qty = min(resting, 1 + self._below(market.lot))
        self._set(market, side, tick, resting - qty)
        trade = market.record_trade(tick, qty, is_buy, ts_ns)
        for book in market.candle_books.values():
            book.add(trade)
        done.append(trade)
        self._tend(market, side)
        done.append(market.quote(ts_ns))
        return done

    def _change(self, market: MarketState, ts_ns: int) -> list[Happening]:
        """A maker sets, changes or cancels a level, mostly near the best."""
        side = market.bid_side if self._random.random() < 0.5 else market.ask_side
        before = side.best()
        place = (10 - self._below(1 << 10).bit_length()) * (
            1 + self._below(4)
        )  # half at the best, each further step half as likely
        tick, dice = side.nth(place), self._random.random()
        outward = -1 if side.is_bid else 1
        if dice < 0.25 and place:
            self._set(market, side, tick, 0)
        elif dice < 0.5 and place and tick + outward > 0:
            self._set(market, side, tick + outward, 1 + self._below(2 * market.lot))
        elif dice < 0.5 and not place and market.ask_side.best()[0] - market.bid_side.best()[0] > 1:
            self._set(market, side, tick - outward, 1 + self._below(market.lot))
        else:
            self._set(market, side, tick, 1 + self._below(2 * market.lot))
        self._tend(market, side)
        return [market.quote(ts_ns)] if side.best() != before else []

    def _tend(self, market: MarketState, side: Side) -> None:
        """Keep a side between half and twice its depth."""
        outward = -1 if side.is_bid else 1
        while len(side) < DEPTH // 2:
            tick = side.nth(len(side)) if len(side) else market.start_tick
            self._set(market, side, max(1, tick + outward * (1 + self._below(8))), 1 + self._below(2 * market.lot))
        while len(side) > 2 * DEPTH:
            self._set(market, side, side.nth(len(side)), 0)

    def _leans_up(self, market: MarketState) -> bool:
        """Which way the next taker goes: even odds, pulled back where the price has strayed from its start."""
        strayed = market.bid_side.best()[0] - market.start_tick
        leash = max(1, market.start_tick >> _LEASH_SHIFT)
        return self._random.random() * 2 * leash > leash + max(-leash, min(leash, strayed))

    def _liquidate(self, market: MarketState, ts_ns: int) -> LiquidationDone:
        market.liquidation_number += 1
        is_long = self._random.random() < 0.5
        price = (market.bid_side if is_long else market.ask_side).best()[0]
        return LiquidationDone(
            instrument=market.name,
            ts_ns=ts_ns,
            number=market.liquidation_number,
            price=price,
            qty=1 + self._below(market.lot),
            is_long=is_long,
        )

    def _mark(self, market: MarketState, ts_ns: int) -> Marked:
        """Mark and index near the middle, the funding estimate near its usual hundredth of a percent."""
        middle_ticks_2 = market.bid_side.best()[0] + market.ask_side.best()[0]
        unit = 10**MARK_DECIMALS
        mid = middle_ticks_2 * scaled(market.listing.tick) * unit // (2 * 10**18)
        market.mark = mid + mid * (self._below(41) - 20) // 1_000_000
        market.index = mid + mid * (self._below(81) - 40) // 1_000_000
        market.funding = 10_000 + self._below(8001) - 4000
        market.next_funding_ns = (ts_ns // FUNDING_EVERY_NS + 1) * FUNDING_EVERY_NS
        return Marked(
            instrument=market.name,
            ts_ns=ts_ns,
            mark=market.mark,
            index=market.index,
            funding=market.funding,
            next_funding_ns=market.next_funding_ns,
        )
