"""Silence is judged per channel, against its own deadline, by what it heard and not by any clock of the venue."""

from __future__ import annotations

from itertools import pairwise

from feedplane_collector.staleness import StalenessWatch, Verdicts
from feedplane_collector.state import channel_key
from feedplane_core.adapter import Channel
from feedplane_core.names import Feed

S = 1_000_000_000
NOBODY: frozenset[str] = frozenset()


def channel(name: str = "BTC", feed: Feed = Feed.L1, stale_after_s: int | None = 10) -> Channel:
    deadline = None if stale_after_s is None else stale_after_s * S
    return Channel(instrument=name, feed=feed, name=f"{name}@{feed}", stale_after_ns=deadline)


class Bench:
    """A watch, what was heard, and the time."""

    def __init__(self, *channels: Channel, at_least_s: int = 1) -> None:
        self.watch = StalenessWatch(channels, at_least_s * S, 0)
        self.seen: dict[str, int] = {}
        self.now_ns = 0
        self._stamps = 1_000

    def hear(self, channel: Channel) -> None:
        self._stamps += 1
        self.seen[channel_key(channel.instrument, channel.feed)] = self._stamps

    def at(self, seconds: float, halted: frozenset[str] = NOBODY) -> Verdicts:
        self.now_ns = int(seconds * S)
        return self.watch.check(self.seen, halted, self.now_ns)


def test_each_channel_has_its_own_deadline() -> None:
    quick, slow, free = channel("A", stale_after_s=5), channel("B", stale_after_s=30), channel("C", stale_after_s=None)
    bench = Bench(quick, slow, free)

    assert bench.at(4).stale == ()
    assert bench.at(6).stale == (quick,)
    assert bench.at(29).stale == (quick,)  # its second deadline
    assert slow in bench.at(31).stale


def test_a_feedset_may_lengthen_deadlines_and_never_shorten_them() -> None:
    assert Bench(channel(stale_after_s=5), at_least_s=20).at(19).stale == ()
    assert Bench(channel(stale_after_s=30), at_least_s=1).at(29).stale == ()


def test_only_what_is_new_counts_as_heard() -> None:
    """The stamp of the last event stays in the table: it is no sign of life."""
    one = channel()
    bench = Bench(one)
    bench.hear(one)
    bench.at(1)

    assert bench.at(10).stale == ()
    assert bench.at(12).stale == (one,)


def test_it_is_all_silent_only_when_no_channel_at_all_speaks() -> None:
    quote, trades = channel("A"), channel("A", Feed.TRADES, None)
    bench = Bench(quote, trades)
    for second in range(1, 12):
        bench.hear(trades)
        verdicts = bench.at(second)

    assert verdicts.stale == (quote,)
    assert not verdicts.all_silent
    assert Bench(quote, trades).at(11).all_silent


def test_one_silent_channel_among_others_is_told_alone() -> None:
    dead, alive = channel("A"), channel("B")
    bench = Bench(dead, alive)
    for second in range(1, 12):
        bench.hear(alive)
        verdicts = bench.at(second)

    assert verdicts.stale == (dead,)
    assert not verdicts.all_silent


def test_a_dead_channel_is_told_again_ever_more_rarely_and_at_most_once_a_minute_in_the_end() -> None:
    one = channel()
    bench = Bench(one)
    told = [second for second in range(1, 1_000) if bench.at(second).stale]
    pauses = [b - a for a, b in pairwise(told)]

    assert told[0] == 11
    assert pauses[:3] == [10, 20, 40]
    assert set(pauses[3:]) == {60}


def test_thin_channels_are_given_time_by_their_own_pace() -> None:
    thin = channel(stale_after_s=5)
    bench = Bench(thin)
    for second in range(4, 40, 4):
        bench.hear(thin)
        bench.at(second)

    assert bench.at(36 + 30).stale == ()
    assert bench.at(36 + 33).stale == (thin,)


def test_a_halted_instrument_is_never_stale_and_waits_anew_when_it_trades_again() -> None:
    one = channel("A")
    bench = Bench(one)

    assert bench.at(60, halted=frozenset({"A"})).stale == ()
    assert bench.at(65).stale == ()
    assert bench.at(71).stale == (one,)


def test_a_channel_recovers_once() -> None:
    one = channel()
    bench = Bench(one)
    bench.at(11)
    bench.hear(one)

    assert bench.watch.stale_channels() == [one]
    assert bench.at(12).recovered == (one,)
    assert bench.at(13).recovered == ()
    assert bench.watch.stale_channels() == []


def test_after_a_cut_waiting_begins_anew_and_the_next_event_is_a_recovery() -> None:
    one, free = channel("A"), channel("A", Feed.TRADES, None)
    bench = Bench(one, free)
    bench.hear(one)
    bench.hear(free)
    bench.at(9)
    bench.watch.cut([one, free], 9 * S)

    assert bench.at(18).stale == ()
    bench.hear(one)
    bench.hear(free)
    assert set(bench.at(18.5).recovered) == {one, free}


def test_channels_come_and_go() -> None:
    one, two = channel("A"), channel("B")
    bench = Bench(one)
    bench.watch.add([two], 50 * S)
    bench.watch.remove([one])

    assert bench.at(59).stale == ()
    assert bench.at(61).stale == (two,)
