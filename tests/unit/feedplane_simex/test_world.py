"""The world repeats with its seed, keeps its books whole, and tells every change exactly once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from feedplane_core.dialect import (
    CandleMoved,
    DepthBatch,
    Happening,
    Listing,
    Marked,
    QuoteMoved,
    TradeDone,
    Want,
    coins,
    decimals_of,
)
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_MS, NS_PER_S, MarketType
from feedplane_simex.world import World
from feedplane_simex.world.market import fixed_text

BEGIN_NS = 1_750_000_000_000_000_000
BATCH_NS = 100 * NS_PER_MS


def listings(count: int) -> list[Listing]:
    return [
        Listing(
            instrument=coin.base,
            market_type=MarketType.SPOT,
            base=coin.base,
            quote="USD",
            tick=coin.tick,
            step=coin.step,
            price_decimals=decimals_of(coin.tick),
            qty_decimals=decimals_of(coin.step),
            start_price=coin.price,
            lot=coin.lot,
        )
        for coin in coins(count)
    ]


def run(world: World, acts: int, step_ns: int = 5 * NS_PER_MS) -> list[Happening]:
    done: list[Happening] = []
    for n in range(acts):
        done += world.due(BEGIN_NS + n * step_ns)
        done += world.act()
    return done


def of(happenings: list[Happening], kind: type[Any], instrument: str = "BTC") -> list[Any]:
    return [h for h in happenings if isinstance(h, kind) and h.instrument == instrument]


def test_the_same_seed_gives_the_same_world() -> None:
    runs = [run(World(listings(3), "seven", BEGIN_NS), 500) for _ in range(2)]

    assert runs[0] == runs[1]
    assert runs[0] != run(World(listings(3), "eight", BEGIN_NS), 500)


def test_books_stay_two_sided_uncrossed_and_of_bounded_depth() -> None:
    world = World(listings(14), "1", BEGIN_NS)
    for _ in range(200):
        run(world, 200)
        for market in world.markets.values():
            bids, asks = market.bids(1000), market.asks(1000)
            assert bids[0][0] < asks[0][0]
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
            assert all(qty > 0 and tick > 0 for tick, qty in (*bids, *asks))
            assert 50 < len(bids) < 300


def test_prices_stay_near_where_they_began() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    run(world, 60_000)
    market = world.markets["BTC"]

    assert abs(market.bids(1)[0][0] - market.start_tick) < market.start_tick >> 4


@pytest.mark.parametrize("stride", [1, 400])
def test_depth_batches_rebuild_the_book_and_follow_each_other(stride: int) -> None:
    world = World(listings(2), "1", BEGIN_NS, stride)
    want = Want(kind=DepthBatch, instrument="BTC", every_ns=BATCH_NS)
    world.start(want, BEGIN_NS)
    market = world.markets["BTC"]
    bids, asks, seq = dict(market.bids(1000)), dict(market.asks(1000)), market.seq
    batches = of(run(world, 3000), DepthBatch)
    batches += of(world.due(BEGIN_NS + 3600 * NS_PER_S), DepthBatch)
    for batch in batches:
        for side, changes in ((bids, batch.bids), (asks, batch.asks)):
            side.update(changes)
    known = [{tick: qty for tick, qty in side.items() if qty} for side in (bids, asks)]

    assert batches[0].prev_seq == seq
    assert all(b.prev_seq == a.last_seq for a, b in pairwise(batches))
    assert all(b.prev_seq < b.first_seq <= b.last_seq for b in batches)
    assert (stride > 1) == any(b.first_seq != b.prev_seq + 1 for b in batches)
    assert known == [dict(market.bids(1000)), dict(market.asks(1000))]


def test_cadences_are_batched_apart() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    for every_ns in (BATCH_NS, 5 * BATCH_NS):
        world.start(Want(kind=DepthBatch, instrument="BTC", every_ns=every_ns), BEGIN_NS)
    batches = of(run(world, 2000), DepthBatch)
    counts = [len([b for b in batches if b.every_ns == every_ns]) for every_ns in (BATCH_NS, 5 * BATCH_NS)]

    assert 4 * counts[1] < counts[0] < 6 * counts[1]


def test_a_cadence_that_nobody_wants_any_more_costs_nothing() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    want = Want(kind=DepthBatch, instrument="BTC", every_ns=BATCH_NS)
    world.start(want, BEGIN_NS)
    world.stop(want)

    assert not of(run(world, 500), DepthBatch)
    assert not world.markets["BTC"].pending


def test_trades_are_numbered_without_holes_and_remembered() -> None:
    world = World(listings(2), "1", BEGIN_NS)
    trades = of(run(world, 2000), TradeDone)
    market = world.markets["BTC"]

    assert all(b.number == a.number + 1 for a, b in pairwise(trades))
    assert market.trades(trades[10].number, 5) == trades[10:15]
    assert market.trades(trades[-1].number + 1, 5) == []
    assert market.last_trade == trades[-1]


def test_trades_are_found_by_number_across_a_jump() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    run(world, 300)
    market = world.markets["BTC"]
    before = market.trade_number
    market.trade_number += 10_000
    after = of(run(world, 300), TradeDone)

    assert market.trades(before + 1, 3) == after[:3]
    assert market.trades(after[5].number, 1) == [after[5]]


def test_quotes_tell_the_best_levels() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    market = world.markets["BTC"]
    for _ in range(500):
        for quote in of(world.act(), QuoteMoved):
            assert ((quote.bid, quote.bid_qty), (quote.ask, quote.ask_qty)) == (market.bids(1)[0], market.asks(1)[0])
            assert quote.seq == market.seq


def test_candles_are_what_the_trades_make_them() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    world.start(Want(kind=CandleMoved, instrument="BTC", interval_s=1), BEGIN_NS)
    happenings = run(world, 2000, 4 * NS_PER_MS)
    trades, candles = of(happenings, TradeDone), [c for c in of(happenings, CandleMoved) if c.is_closed]
    whole = candles[1:]  # the first one also holds trades from before the run

    assert len(whole) >= 6
    for candle in whole:
        inside = [t for t in trades if candle.open_ns <= t.ts_ns < candle.open_ns + NS_PER_S]
        prices = [t.price for t in inside]
        assert candle.trades == len(inside)
        assert candle.volume == sum(t.qty for t in inside)
        assert candle.taker_buy_volume == sum(t.qty for t in inside if t.is_buy)
        assert candle.turnover == sum(t.qty * t.price for t in inside)
        if inside:
            assert (candle.open, candle.high, candle.low, candle.close) == (
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
            )
    assert all(b.open_ns - a.open_ns == NS_PER_S for a, b in pairwise(candles))
    assert world.markets["BTC"].candles(1, whole[0].open_ns, whole[-1].open_ns + 1, 100) == whole


def test_marks_come_each_second() -> None:
    marks = of(run(World(listings(2), "1", BEGIN_NS), 2000), Marked)

    assert 9 <= len(marks) <= 11
    assert all(m.mark > 0 and m.next_funding_ns > m.ts_ns for m in marks)


def test_a_halted_instrument_is_still_and_a_resumed_one_moves_on() -> None:
    world = World(listings(2), "1", BEGIN_NS)
    world.set_status("BTC", InstrumentStatus.HALTED)
    assert not of(run(world, 300), TradeDone)
    world.set_status("BTC", InstrumentStatus.TRADING)
    assert of(run(world, 300), TradeDone)


def test_skew_moves_the_venues_clock_alone() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    world.skew_ns = 3600 * NS_PER_S

    assert all(t.ts_ns >= BEGIN_NS + 3600 * NS_PER_S for t in of(run(world, 100), TradeDone))


def test_frozen_copies_stand_still() -> None:
    world = World(listings(1), "1", BEGIN_NS)
    frozen = world.frozen_copy().markets["BTC"]
    seq, bids = frozen.seq, frozen.bids(10)
    run(world, 500)

    assert (frozen.seq, frozen.bids(10)) == (seq, bids)
    assert world.markets["BTC"].seq > seq


def test_texts_are_exact() -> None:
    market = World(listings(12), "1", BEGIN_NS).markets

    assert market["BTC"].price_text(642501) == "64250.10"
    assert market["SHIB"].price_text(7) == "0.00000007"
    assert market["BCH"].price_text(3) == "0.15"
    assert market["DOGE"].qty_text(40) == "40"
    assert market["BTC"].mark_text(-5) == "-0.00000005"
    assert market["BTC"].turnover_text(642501 * 3) == "192.7503"
    assert [fixed_text(v, 3) for v in (0, 5, -1005)] == ["0.000", "0.005", "-1.005"]


def test_there_are_as_many_coins_as_asked_for() -> None:
    names = [coin.base for coin in coins(300)]

    assert len(set(names)) == 300
    assert names[:2] == ["BTC", "ETH"]
