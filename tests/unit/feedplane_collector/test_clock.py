"""Stamps order frames whatever the system clock does; timers do not see it at all."""

from __future__ import annotations

from collections.abc import Iterable

from feedplane_collector.clock import ReceiveClock, SteadyClock
from hypothesis import given
from hypothesis import strategies as st

S = 1_000_000_000
HOUR = 3_600 * S


class Hands:
    """A wall clock and a monotonic one, moved by hand."""

    def __init__(self) -> None:
        self.wall_ns = 1_790_000_000 * S
        self.mono_ns = 5 * S

    def pass_time(self, ns: int) -> None:
        self.wall_ns += ns
        self.mono_ns += ns

    def receive_clock(self) -> ReceiveClock:
        return ReceiveClock(lambda: self.wall_ns, lambda: self.mono_ns)

    def steady_clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall_ns, lambda: self.mono_ns)


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.integers(-2 * HOUR, 2 * HOUR)), max_size=50))
def test_stamps_rise_through_every_step_of_the_wall_clock(moves: Iterable[tuple[int, int]]) -> None:
    hands = Hands()
    clock = hands.receive_clock()
    last = clock()
    for passed, stepped in moves:
        hands.pass_time(passed)
        hands.wall_ns += stepped
        now = clock()
        assert now > last
        last = now


def test_a_step_forward_is_followed_at_once() -> None:
    hands = Hands()
    clock = hands.receive_clock()
    clock()
    hands.wall_ns += HOUR

    assert clock() == hands.wall_ns
    assert clock.ahead_ns() == 0


def test_after_a_step_back_stamps_go_on_at_half_the_pace_until_the_wall_clock_has_caught_up() -> None:
    hands = Hands()
    clock = hands.receive_clock()
    stepped_at = clock()
    hands.wall_ns -= 5 * S
    clock()
    hands.pass_time(2 * S)
    after_two = clock()
    ahead = clock.ahead_ns()
    hands.pass_time(9 * S)

    assert after_two == stepped_at + 1 * S
    assert ahead == 4 * S
    assert clock() == hands.wall_ns
    assert clock.ahead_ns() == 0


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.integers(-2 * HOUR, 2 * HOUR)), max_size=20))
def test_timers_measure_what_has_passed_and_nothing_else(moves: list[tuple[int, int]]) -> None:
    hands = Hands()
    timer = hands.steady_clock()
    began = timer()
    for passed, stepped in moves:
        hands.pass_time(passed)
        hands.wall_ns += stepped

    assert timer() - began == sum(passed for passed, _ in moves)
