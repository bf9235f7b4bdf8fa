import random

import pytest
from feedplane_ops.backoff import Backoff, Circuit, CircuitBreaker
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000


def test_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(100 * MS, 1_000 * MS, rng=lambda: 1.0)

    assert [backoff.next_delay_ns() // MS for _ in range(6)] == [100, 200, 400, 800, 1_000, 1_000]
    backoff.reset()
    assert backoff.next_delay_ns() == 100 * MS


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_delay_is_spread_over_the_whole_range_and_never_past_the_cap(seed: int, attempts: int) -> None:
    backoff = Backoff(1_000, 50_000, rng=random.Random(seed).random)
    delays = [backoff.next_delay_ns() for _ in range(attempts)]

    assert all(0 <= delay <= min(50_000, 1_000 << n) for n, delay in enumerate(delays))


def test_jitter_is_full() -> None:
    rng = random.Random(1)
    delays = [Backoff(1_000, 1_000, rng=rng.random).next_delay_ns() for _ in range(400)]

    assert min(delays) < 100
    assert max(delays) > 900


def test_retry_after_outranks_the_cap() -> None:
    assert Backoff(1, 10).next_delay_ns(at_least_ns=5_000) == 5_000


def test_bad_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="base_ns"):
        Backoff(10, 5)
    with pytest.raises(ValueError, match="failures"):
        CircuitBreaker(0, 5)


def test_circuit_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(failures=3, open_ns=100)
    for _ in range(2):
        breaker.on_failure(0)
    breaker.on_success()
    for _ in range(2):
        breaker.on_failure(0)
    assert breaker.allows(0)

    breaker.on_failure(10)
    assert breaker.state is Circuit.OPEN
    assert not breaker.allows(109)


def test_half_open_lets_one_through_and_its_outcome_decides() -> None:
    breaker = CircuitBreaker(failures=1, open_ns=100)
    breaker.on_failure(0)

    assert breaker.allows(100)
    assert breaker.state is Circuit.HALF_OPEN
    assert not breaker.allows(101)
    breaker.on_failure(120)
    assert not breaker.allows(219)
    assert breaker.allows(220)
    breaker.on_success()
    assert breaker.allows(221)
    assert breaker.allows(221)


def test_a_probe_that_never_reports_does_not_shut_the_circuit_for_ever() -> None:
    breaker = CircuitBreaker(failures=1, open_ns=100)
    breaker.on_failure(0)

    assert breaker.allows(100)
    assert not breaker.allows(199)
    assert breaker.allows(200)
