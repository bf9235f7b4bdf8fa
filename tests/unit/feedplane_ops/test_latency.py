from bisect import bisect_left

import pytest
from feedplane_ops.latency import DEFAULT_BOUNDS_NS, LatencyFamily, LatencyHistogram
from hypothesis import given
from hypothesis import strategies as st

durations = st.lists(st.integers(0, 2**41), min_size=1, max_size=60)


def histogram_of(values: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_percentiles_are_never_below_the_truth_and_at_most_a_sixteenth_above(values: list[int], q: float) -> None:
    truth = sorted(values)[max(0, -(-int(q * 100) * len(values) // 100) - 1)]
    got = histogram_of(values).percentile_ns(q)

    assert truth <= got <= truth + truth / 16


@given(durations)
def test_sum_count_and_extremes(values: list[int]) -> None:
    histogram = histogram_of(values)

    assert histogram.sum_ns == sum(values)
    assert histogram.count == len(values)
    assert histogram.max_ns == max(values)
    assert histogram.min_ns() <= min(values) <= histogram.min_ns() * 17 / 16 + 1


@given(durations)
def test_export_keeps_every_count_and_never_flatters(values: list[int]) -> None:
    counts = histogram_of(values).counts_within(DEFAULT_BOUNDS_NS)
    exact = [0] * (len(DEFAULT_BOUNDS_NS) + 1)
    for value in values:
        exact[bisect_left(DEFAULT_BOUNDS_NS, value)] += 1

    assert sum(counts) == len(values)
    for i in range(len(counts)):
        assert sum(counts[: i + 1]) <= sum(exact[: i + 1])
    below = [value + value // 16 + 1 for value in values]
    for i, bound in enumerate(DEFAULT_BOUNDS_NS):
        assert sum(counts[: i + 1]) >= sum(value <= bound for value in below)


@given(durations, durations)
def test_merge_equals_recording_both(left: list[int], right: list[int]) -> None:
    merged = histogram_of(left)
    merged.merge(histogram_of(right))
    whole = histogram_of(left + right)

    assert merged.counts_within(DEFAULT_BOUNDS_NS) == whole.counts_within(DEFAULT_BOUNDS_NS)
    assert (merged.count, merged.sum_ns, merged.max_ns) == (whole.count, whole.sum_ns, whole.max_ns)


def test_odd_durations() -> None:
    histogram = histogram_of([-5, 2**60])
    histogram.record(7, times=3)

    assert histogram.count == 5
    assert histogram.sum_ns == 2**60 + 21
    assert histogram.percentile_ns(1.0) == 2**60
    assert histogram.counts_within([10, 100]) == [4, 0, 1]
    assert LatencyHistogram().percentile_ns(0.99) == 0
    with pytest.raises(ValueError, match="fraction"):
        histogram.percentile_ns(99)


def test_p99_of_a_known_distribution() -> None:
    values = list(range(1_000, 101_000, 1_000))

    assert 99_000 <= histogram_of(values).percentile_ns(0.99) <= 99_000 * 17 // 16


def test_family_hands_out_one_histogram_per_label_set() -> None:
    family = LatencyFamily()
    family.at("kraken", "trades").record(5)

    assert family.at("kraken", "trades").count == 1
    assert family.at("kraken", "l1").count == 0
