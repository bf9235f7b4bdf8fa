"""Latency histogram for hot paths: integer nanoseconds in log-spaced buckets, O(1) to record, mergeable."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from feedplane_ops.counts import Labels, bounded

SUB_BITS: Final = 4
"""16 buckets per power of two: a bucket is at most 1/16 of its value wide."""

MAX_BITS: Final = 42
"""Values from 2**42 ns (73 minutes) share the last bucket."""

NS_PER_S: Final = 1_000_000_000

DEFAULT_BOUNDS_NS: Final[tuple[int, ...]] = (
    *(step * 10**power for power in range(4, 10) for step in (1, 2, 5)),
    *(10 * NS_PER_S, 30 * NS_PER_S, 60 * NS_PER_S),
)
"""Bounds of the exported histogram: 1-2-5 steps from 10 us to 5 s, then 10, 30 and 60 s."""

_SUB: Final = 1 << SUB_BITS
_SUB_LENGTH: Final = SUB_BITS + 1
_TOP: Final = (1 << MAX_BITS) - 1
_BUCKETS: Final = ((MAX_BITS - SUB_BITS) << SUB_BITS) + _SUB


def _upper(index: int) -> int:
    """Largest value that falls in bucket `index`."""
    if index < _SUB:
        return index
    shift = (index >> SUB_BITS) - 1
    return ((index - (shift << SUB_BITS) + 1) << shift) - 1


class LatencyHistogram:
    """Counts of durations; percentiles are within 1/16 of the true value and never below it."""

    __slots__ = ("_buckets", "count", "max_ns", "sum_ns")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0

    def record(self, ns: int, times: int = 1) -> None:
        """Count one duration (or `times` equal ones). A negative one, as from a clock set back, counts as 0."""
        if ns >= _SUB:
            capped = ns if ns < _TOP else _TOP  # min() and a helper function would double the cost
            shift = capped.bit_length() - _SUB_LENGTH
            index = (shift << SUB_BITS) + (capped >> shift)
        else:
            index = ns = max(ns, 0)
        self._buckets[index] += times
        self.count += times
        self.sum_ns += ns * times
        if ns > self.max_ns:  # noqa: PLR1730
            self.max_ns = ns

    def percentile_ns(self, fraction: float) -> int:
        """Upper end of the bucket that holds the given fraction (0.99) of all durations; 0 when nothing was recorded."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction: {fraction} is not between 0 and 1")
        wanted = max(1, ceil(fraction * self.count - 1e-9))  # 0.99 * 100 is 99.00000000000001
        seen = 0
        for index, n in enumerate(self._buckets):
            seen += n
            if seen >= wanted:
                return min(_upper(index), self.max_ns) if index < _BUCKETS - 1 else self.max_ns
        return 0

    def min_ns(self) -> int:
        """Lower end of the first bucket that holds anything; 0 when nothing was recorded."""
        for index, n in enumerate(self._buckets):
            if n:
                return _upper(index - 1) + 1 if index else 0
        return 0

    def merge(self, other: LatencyHistogram) -> None:
        """Add all that `other` has counted."""
        self._buckets = [a + b for a, b in zip(self._buckets, other._buckets, strict=True)]
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def counts_within(self, bounds_ns: Sequence[int]) -> list[int]:
        """Counts per export bucket: one for each ascending bound, then one for the rest.

        A fine bucket that straddles a bound goes to the next one, so a value up to 1/16 below a bound may be shown
        above it, and no value is ever shown as faster than it was.
        """
        counts = [0] * (len(bounds_ns) + 1)
        target = 0
        for index, n in enumerate(list(self._buckets)):
            if not n:
                continue
            upper = _upper(index) if index < _BUCKETS - 1 else self.max_ns
            while target < len(bounds_ns) and upper > bounds_ns[target]:
                target += 1
            counts[target] += n
        return counts


class LatencyFamily(dict[Labels, LatencyHistogram]):
    """Latency histograms of one instrument, by label values."""

    __slots__ = ()

    def at(self, *labels: str) -> LatencyHistogram:
        """The histogram of these label values, made on first use; hot paths hold on to it."""
        found = self.get(labels)
        if found is None:
            found = self.setdefault(bounded(labels, len(self)), LatencyHistogram())
        return found
