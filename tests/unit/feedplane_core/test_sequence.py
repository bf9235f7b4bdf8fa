"""`FeedTracker`: whatever is lost, repeated or swapped on the way, each event is kept once or lies in a hole that is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from feedplane_core.adapter import TradeIds
from feedplane_core.events import Event, Gap, Kline, Liquidation, MarkPrice, TopOfBook, Trade
from feedplane_core.identity import identity_of
from feedplane_core.names import NS_PER_S, Aggressor, Feed, Liquidated, MarketType
from feedplane_core.sequence import REMEMBERED_KEYS, FeedTracker
from hypothesis import example, given
from hypothesis import strategies as st

T0_NS = 1_790_000_000 * NS_PER_S
MS = 1_000_000
HEAD: dict[str, Any] = {"exchange": "x", "market_type": MarketType.SPOT, "instrument": "A"}


def tracker(feed: Feed = Feed.TRADES, **options: Any) -> FeedTracker:
    ids = {"trade_ids": TradeIds.CONSECUTIVE} if feed is Feed.TRADES else {}
    return FeedTracker("x", MarketType.SPOT, "A", feed, **(ids | options))


def times(number: int, recv_after_ms: int = 5) -> dict[str, Any]:
    return HEAD | {"ts_event_ns": T0_NS + number * MS, "ts_recv_ns": T0_NS + (number + recv_after_ms) * MS}


def trade(number: int, *, at: int | None = None, trade_id: str | None = None) -> Trade:
    text = str(number) if trade_id is None else trade_id
    return Trade(**times(number if at is None else at), trade_id=text, price="1", qty="2", aggressor=Aggressor.BUY)


def quote(seq: int | None, *, at: int | None, bid: str = "1") -> TopOfBook:
    head = times(at) if at is not None else HEAD | {"ts_event_ns": None, "ts_recv_ns": T0_NS + (seq or 0)}
    return TopOfBook(**head, bid_price=bid, bid_qty="1", ask_price="2", ask_qty="1", seq=seq)


def mark(second: float) -> MarkPrice:
    return MarkPrice(**times(int(second * 1_000)), mark_price="1", index_price="1")


def kline(opens_s: int, *, interval_s: int = 60, closed: bool = True, at_s: int | None = None) -> Kline:
    numbers = {"open": "1", "high": "1", "low": "1", "close": "1", "volume": "1", "trades": None}
    head = times((opens_s + interval_s if at_s is None else at_s) * 1_000)
    return Kline(**head, **numbers, open_ns=T0_NS + opens_s * NS_PER_S, interval_s=interval_s, is_closed=closed)  # type: ignore[arg-type]


class Run:
    """What a tracker made of a stream."""

    def __init__(self, of: FeedTracker) -> None:
        self.tracker = of
        self.kept: list[Event] = []
        self.gaps: dict[str, Gap] = {}

    def feed(self, *events: Event) -> None:
        for event in events:
            judged = self.tracker.on_event(event)
            self.note(judged.gaps)
            if judged.is_new:
                self.kept.append(event)

    def note(self, gaps: Any) -> None:
        self.gaps.update({gap.gap_id: gap for gap in gaps})

    @property
    def counts(self) -> Counter[str]:
        return Counter(identity_of(event) for event in self.kept)

    def told(self, number: int, at_ns: int) -> bool:
        return any(
            (g.from_seq is not None and g.to_seq is not None and g.from_seq <= number <= g.to_seq)
            or (g.from_seq is None and g.from_ns <= at_ns and (g.to_ns is None or at_ns <= g.to_ns))
            for g in self.gaps.values()
        )

    @property
    def states(self) -> list[str]:
        return [gap.state for gap in self.gaps.values()]


deliveries = st.lists(
    st.tuples(
        st.integers(0, 6),  # how far a message may be behind its place
        st.integers(0, 3),  # copies: 0 lost
        st.booleans(),  # the socket is cut after it
    ),
    min_size=1,
    max_size=120,
)


@given(deliveries, st.integers(1, 1_000_000))
@example([(3, 1, False), (0, 1, False), (0, 1, False), (0, 1, False)], 1)
def test_of_a_numbered_stream_every_id_is_kept_once_or_in_a_hole(plan: list[tuple[int, int, bool]], start: int) -> None:
    arrivals: list[tuple[int, int, bool]] = []
    for place, (delay, copies, cut) in enumerate(plan):
        arrivals += [(place + delay + copy, start + place, cut) for copy in range(copies)]
    run = Run(tracker(since_ns=T0_NS))
    received: set[int] = set()
    for place, number, cut in sorted(arrivals):
        run.feed(trade(number, at=number - start))
        received.add(number)
        if cut:
            run.note(run.tracker.interrupt("disconnect", T0_NS + place * MS))
    if not received:
        return

    counts = run.counts
    assert max(counts.values()) == 1
    assert {int(text) for text in counts} == received
    for number in range(min(received), max(received) + 1):
        assert number in received or run.told(number, T0_NS + (number - start) * MS), number
    for gap in run.gaps.values():
        assert gap.to_ns is None or gap.from_ns <= gap.to_ns
        assert gap.from_seq is None or gap.to_seq is None or gap.from_seq <= gap.to_seq


@given(deliveries)
def test_of_an_unnumbered_stream_what_comes_is_kept_once(plan: list[tuple[int, int, bool]]) -> None:
    arrivals = sorted(
        (place + delay + copy, place) for place, (delay, copies, _) in enumerate(plan) for copy in range(copies)
    )
    for make, feed in ((lambda n: quote(n, at=n), Feed.L1), (mark, Feed.MARK_PRICE)):
        run = Run(tracker(feed))
        run.feed(*(make(number) for _, number in arrivals))
        assert run.counts == Counter(dict.fromkeys((identity_of(make(number)) for _, number in arrivals), 1))


def test_a_hole_in_the_ids_is_told_at_once_and_repaired_when_the_late_ones_come() -> None:
    run = Run(tracker())
    run.feed(trade(1), trade(5))
    (gap,) = run.gaps.values()
    assert (gap.from_seq, gap.to_seq, gap.state, gap.reason) == (2, 4, "closed", "sequence")

    run.feed(trade(3), trade(2))
    assert run.states == ["closed"]
    run.feed(trade(4))

    assert run.states == ["repaired"]
    assert len(run.kept) == 5


def test_after_a_cut_the_next_id_proves_that_nothing_was_missed() -> None:
    run = Run(tracker())
    run.feed(trade(1), trade(2))
    run.note(run.tracker.interrupt("disconnect", T0_NS))
    assert run.states == ["open"]
    run.feed(trade(3))

    assert run.states == ["repaired"]


def test_after_a_cut_a_jump_in_the_ids_is_the_hole() -> None:
    run = Run(tracker())
    run.feed(trade(1))
    run.note(run.tracker.interrupt("disconnect", T0_NS))
    run.feed(trade(9))

    assert [(g.from_seq, g.to_seq, g.reason) for g in run.gaps.values() if g.from_seq] == [(2, 8, "disconnect")]
    assert "open" not in run.states


def test_a_cut_before_the_first_event_is_a_hole_since_the_feed_is_followed() -> None:
    run = Run(tracker(since_ns=T0_NS))
    run.note(run.tracker.interrupt("disconnect", T0_NS + 9 * MS))
    run.feed(trade(20))
    (gap,) = run.gaps.values()

    assert (gap.from_ns, gap.state) == (T0_NS, "closed")
    assert gap.to_ns == T0_NS + 25 * MS


def test_a_successor_goes_on_from_the_last_id_and_takes_no_repeat_for_new() -> None:
    run = Run(tracker())
    run.note(run.tracker.resume(T0_NS, 100, "restart"))
    run.feed(trade(99, at=-1), trade(100, at=0), trade(101, at=1), trade(105, at=5))

    assert [int(identity_of(event)) for event in run.kept] == [101, 105]
    assert sorted(run.states) == ["closed", "repaired"]


def test_ids_that_begin_again_are_a_new_count() -> None:
    run = Run(tracker())
    run.feed(trade(1_000_000, at=1), trade(1_000_001, at=2), trade(1, at=10), trade(2, at=11), trade(1, at=10))

    assert len(run.kept) == 4
    assert [g.reason for g in run.gaps.values()] == ["sequence_reset"]
    assert all(g.from_seq is None for g in run.gaps.values())


def test_quotes_of_a_venue_that_counts_anew_are_not_taken_for_old_ones() -> None:
    run = Run(tracker(Feed.L1))
    run.feed(quote(1_000_000, at=1), quote(1_000_001, at=2), *(quote(n, at=10 + n) for n in range(5)))
    run.feed(*(quote(n, at=10 + n) for n in range(5)))

    assert len(run.kept) == 7


def test_a_venue_clock_that_is_set_back_silences_nothing() -> None:
    run = Run(tracker(Feed.MARK_PRICE, every_ns=NS_PER_S))
    run.feed(*(mark(3_600 + n) for n in range(3)), *(mark(n) for n in range(5)), *(mark(n) for n in range(5)))

    assert len(run.kept) == 8
    run.feed(mark(8))
    assert [g.reason for g in run.gaps.values()] == ["cadence"]  # beats are watched again


def test_a_resend_of_what_was_had_is_dropped() -> None:
    run = Run(tracker(Feed.L1))
    quotes = [quote(n, at=n) for n in range(2_000)]
    run.feed(*quotes, *quotes[-REMEMBERED_KEYS:])

    assert len(run.kept) == 2_000


def test_quotes_without_numbers_are_told_apart_by_what_they_say() -> None:
    """A millisecond holds more than one."""
    run = Run(tracker(Feed.L1))
    run.feed(quote(None, at=1, bid="1"), quote(None, at=1, bid="1.5"), quote(None, at=1, bid="1"))

    assert len(run.kept) == 2


def test_a_missed_beat_is_a_hole_and_jitter_is_none() -> None:
    run = Run(tracker(Feed.MARK_PRICE, every_ns=NS_PER_S))
    run.feed(mark(0), mark(1.5), mark(2), mark(4))

    assert [(g.reason, g.from_ns, g.to_ns) for g in run.gaps.values()] == [
        ("cadence", T0_NS + 2 * NS_PER_S, T0_NS + 4 * NS_PER_S + 5 * MS)
    ]


def test_a_silent_feed_that_is_carried_again_ends_its_hole() -> None:
    run = Run(tracker(Feed.LIQUIDATIONS))
    run.note(run.tracker.interrupt("disconnect", T0_NS))
    run.note(run.tracker.settle(T0_NS + 5))
    (gap,) = run.gaps.values()

    assert (gap.state, gap.to_ns) == ("closed", T0_NS + 5)
    assert run.tracker.settle(T0_NS + 9) == []


def test_a_feed_with_ids_waits_for_the_next_one_instead() -> None:
    run = Run(tracker())
    run.feed(trade(1))
    run.note(run.tracker.interrupt("disconnect", T0_NS))

    assert run.tracker.settle(T0_NS + 5) == []
    assert [g.state for g in run.tracker.end(T0_NS + 9)] == ["closed"]


@pytest.mark.parametrize(("skips_empty", "told"), [(False, True), (True, False)])
def test_a_missing_candle_is_a_hole_unless_the_venue_skips_empty_ones(skips_empty: bool, told: bool) -> None:
    run = Run(tracker(Feed.KLINES, skips_empty=skips_empty))
    run.feed(kline(0), kline(60), kline(180))

    assert bool(run.gaps) is told
    assert len(run.kept) == 3


def test_candles_of_several_intervals_do_not_hide_each_other() -> None:
    run = Run(tracker(Feed.KLINES))
    run.feed(kline(0, interval_s=300, closed=False, at_s=61), kline(60, closed=False, at_s=62))
    run.feed(kline(0, interval_s=300, closed=False, at_s=63), kline(60, closed=False, at_s=64))
    run.feed(kline(60), kline(0, interval_s=300), kline(60), kline(0, interval_s=300))

    assert len(run.kept) == 6


def test_a_candle_that_is_closed_stays_closed() -> None:
    run = Run(tracker(Feed.KLINES))
    run.feed(
        kline(0, closed=False, at_s=30), kline(0), kline(0, closed=False, at_s=31), kline(0, closed=False, at_s=29)
    )

    assert [event.is_closed for event in run.kept if isinstance(event, Kline)] == [False, True]


def test_a_successor_does_not_keep_again_the_candles_that_a_poll_repeats() -> None:
    first = Run(tracker(Feed.KLINES))
    first.feed(kline(0), kline(60))
    at_ns, closes_ns = first.tracker.position
    assert at_ns is not None
    second = Run(tracker(Feed.KLINES))
    second.note(second.tracker.resume(at_ns, closes_ns, "restart"))
    second.feed(kline(0), kline(60), kline(120))

    assert [event.open_ns for event in second.kept if isinstance(event, Kline)] == [T0_NS + 120 * NS_PER_S]


def test_opaque_ids_and_ids_of_orders_are_remembered() -> None:
    run = Run(tracker(trade_ids=TradeIds.OPAQUE))
    run.feed(trade(1, trade_id="b"), trade(2, trade_id="a"), trade(1, trade_id="b"))
    liquidations = Run(tracker(Feed.LIQUIDATIONS))
    once = Liquidation(**times(1), liquidated=Liquidated.LONG, price="1", qty="1")
    liquidations.feed(once, once, Liquidation(**times(1), liquidated=Liquidated.LONG, price="1", qty="1", ordinal=1))

    assert len(run.kept) == 2
    assert len(liquidations.kept) == 2


def test_a_venue_that_counted_anew_while_we_were_down_is_not_taken_for_an_echo() -> None:
    resumed = tracker()
    resumed.resume(T0_NS + 100 * MS, 500, "restart")

    repeated = resumed.on_event(trade(499, at=90))
    anew = resumed.on_event(trade(3, at=200))

    assert not repeated.is_new
    assert anew.is_new
    assert "sequence_reset" in [gap.reason for gap in anew.gaps]
