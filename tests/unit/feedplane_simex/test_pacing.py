"""A steady rate, bursts, floods, and no storm after a pause."""

from __future__ import annotations

import pytest
from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_MS, NS_PER_S
from feedplane_simex.pacing import Burst, Pacer


def issued(pacer: Pacer, begin_ns: int, end_ns: int, tick_ns: int = 3 * NS_PER_MS) -> int:
    total = 0
    for now_ns in range(begin_ns, end_ns, tick_ns):
        pacer.advance(now_ns)
        total += pacer.due
        pacer.spend(pacer.due)
    return total


@pytest.mark.parametrize("rate", [1, 7, 333, 3000])
def test_nothing_is_rounded_away(rate: int) -> None:
    assert abs(issued(Pacer(rate, None, 0), 0, 60 * NS_PER_S) - 60 * rate) <= 1 + rate // 100


def test_what_timers_issue_counts_against_the_rate() -> None:
    pacer = Pacer(100, None, 0)
    pacer.spend(50)

    assert 49 <= issued(pacer, 0, NS_PER_S) <= 51


def test_a_pause_is_not_made_up_for() -> None:
    pacer = Pacer(1000, None, 0)
    pacer.advance(10 * NS_PER_S)

    assert pacer.due == 250


def test_bursts_and_floods_multiply() -> None:
    pacer = Pacer(100, Burst("5:1s/4s"), 0)
    assert abs(issued(pacer, 0, 8 * NS_PER_S) - (2 * 500 + 6 * 100)) < 20
    pacer = Pacer(100, None, 0)
    pacer.flood = 10
    assert abs(issued(pacer, 0, NS_PER_S) - 1000) < 10


@pytest.mark.parametrize("text", ["many", "5:3s/2s", "0", "5:x/y"])
def test_a_burst_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--burst"):
        Burst(text)
