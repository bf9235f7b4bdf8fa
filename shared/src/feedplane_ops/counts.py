"""Counts and levels that hot paths update as plain Python numbers; the exporter reads them at scrape time."""

from __future__ import annotations

from typing import Final

Labels = tuple[str, ...]

MAX_SERIES: Final = 1_000
"""Label sets one instrument may hold. Labels come from small sets, so reaching this is a bug, contained here."""

OVERFLOW: Final = "overflow"
"""Value of every label of the series that takes what comes after the first MAX_SERIES label sets."""


class Tally(dict[Labels, int]):
    """Monotonic counts by label values, in the order in which the labels were declared.

    One `add` costs about 0.1 us. Reading it from another thread is safe through `copy()`, which the interpreter
    runs as one step.
    """

    __slots__ = ()

    def add(self, labels: Labels, n: int = 1) -> None:
        """Count `n` more (never negative) under `labels`."""
        try:
            self[labels] += n
        except KeyError:
            key = bounded(labels, len(self))
            self[key] = self.get(key, 0) + n

    def total(self) -> int:
        """Sum over all label sets."""
        return sum(self.copy().values())


class Level(dict[Labels, float]):
    """Values that go up and down, by label values: depth of a queue, bytes on disk, 0 or 1 of a state."""

    __slots__ = ()

    def put(self, labels: Labels, value: float) -> None:
        """Replace the value under `labels`."""
        if labels not in self:
            labels = bounded(labels, len(self))
        self[labels] = value


def bounded(labels: Labels, held: int) -> Labels:
    """`labels`, or the overflow series of the same arity once an instrument holds `MAX_SERIES` label sets."""
    return labels if held < MAX_SERIES else (OVERFLOW,) * len(labels)
