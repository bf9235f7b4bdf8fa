import pytest
from feedplane_ops.ratelimit import TokenBucket, WeightBudget
from hypothesis import given
from hypothesis import strategies as st

S = 1_000_000_000
MINUTE = 60 * S


def test_bucket_gives_its_burst_at_once_then_one_per_interval() -> None:
    bucket = TokenBucket(burst=3, interval_ns=S)

    assert [bucket.reserve(0) for _ in range(5)] == [0, 0, 0, S, 2 * S]
    assert bucket.reserve(100 * S, tokens=3) == 0


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 5 * S), st.integers(1, 5)), max_size=40))
def test_bucket_never_exceeds_its_rate(burst: int, calls: list[tuple[int, int]]) -> None:
    bucket = TokenBucket(burst, S)
    now, uses = 10**18, []
    for step, tokens in calls:
        now += step
        uses += [now + bucket.reserve(now, min(tokens, burst))] * min(tokens, burst)

    uses.sort()
    for i, start in enumerate(uses):
        for j in range(i, len(uses)):
            assert j - i + 1 <= burst + (uses[j] - start) // S


def test_bucket_obeys_a_penalty() -> None:
    bucket = TokenBucket(burst=5, interval_ns=S)
    bucket.penalise(30 * S, now_ns=0)

    assert bucket.reserve(0) == 30 * S
    assert bucket.reserve(0) == 31 * S
    with pytest.raises(ValueError, match="tokens"):
        bucket.reserve(0, 6)


def test_weights_fill_a_window_then_wait_for_the_next() -> None:
    budget = WeightBudget(limit=100, window_ns=MINUTE)
    now = 5 * MINUTE + 20 * S

    assert budget.reserve(60, now) == 0
    assert budget.reserve(40, now) == 0
    assert budget.reserve(1, now) == 40 * S
    assert budget.reserve(100, now) == 100 * S  # the window after: the next has 99 left
    assert budget.reserve(10, 8 * MINUTE) == 0


@given(st.lists(st.tuples(st.integers(0, 40 * S), st.integers(1, 50)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(calls: list[tuple[int, int]]) -> None:
    budget = WeightBudget(limit=50, window_ns=MINUTE, skew_ns=S)
    now, used = 10**18, dict[int, int]()
    for step, weight in calls:
        now += step
        due = now + budget.reserve(weight, now)
        assert due % MINUTE >= S
        used[due // MINUTE] = used.get(due // MINUTE, 0) + weight

    assert all(weight <= 50 for weight in used.values())


def test_the_venues_own_count_is_believed_when_higher() -> None:
    budget = WeightBudget(limit=100, window_ns=MINUTE)
    budget.reserve(10, 0)
    budget.observe_used(95, now_ns=S)
    assert budget.reserve(6, S) == 59 * S

    lower = WeightBudget(limit=100, window_ns=MINUTE)
    lower.reserve(90, 0)
    lower.observe_used(20, now_ns=S)  # ours in flight are not counted there yet
    assert lower.reserve(11, S) == 59 * S


def test_an_old_count_does_not_touch_a_later_window() -> None:
    budget = WeightBudget(limit=100, window_ns=MINUTE)
    budget.reserve(100, 0)
    assert budget.reserve(50, 0) == MINUTE
    budget.observe_used(100, now_ns=S)

    assert budget.reserve(50, S) == 59 * S


def test_a_penalty_moves_every_reservation_behind_it() -> None:
    budget = WeightBudget(limit=100, window_ns=MINUTE)
    budget.penalise(90 * S, now_ns=10 * S)

    assert budget.reserve(1, 10 * S) == 90 * S
    assert budget.reserve(100, 10 * S) == 110 * S
    assert budget.reserve(1, 10 * MINUTE) == 0
    with pytest.raises(ValueError, match="weight"):
        budget.reserve(101, 0)
