"""One side of a simulated book: quantities by tick, ticks in order."""

from __future__ import annotations

from bisect import bisect_left, insort

from feedplane_core.dialect import LevelInts, Steps, Ticks


class Side:
    """Levels of one side. `is_bid` decides which end is best."""

    __slots__ = ("is_bid", "qty", "ticks")

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.qty: dict[Ticks, Steps] = {}
        self.ticks: list[Ticks] = []  # ascending

    def __len__(self) -> int:
        return len(self.ticks)

    def set(self, tick: Ticks, qty: Steps) -> None:
        """The absolute quantity of a level; 0 removes it."""
        if qty:
            if tick not in self.qty:
                insort(self.ticks, tick)
            self.qty[tick] = qty
        elif self.qty.pop(tick, 0):
            del self.ticks[bisect_left(self.ticks, tick)]

    def best(self) -> LevelInts:
        """Raises: IndexError on an empty side."""
        tick = self.ticks[-1 if self.is_bid else 0]
        return tick, self.qty[tick]

    def nth(self, place: int) -> Ticks:
        """The tick at `place` from the best (0); the worst where the side is shorter."""
        last = len(self.ticks) - 1
        place = min(place, last)
        return self.ticks[last - place if self.is_bid else place]

    def top(self, depth: int) -> list[LevelInts]:
        """Up to `depth` levels, best first."""
        ticks = self.ticks[: -depth - 1 : -1] if self.is_bid else self.ticks[:depth]
        return [(tick, self.qty[tick]) for tick in ticks]

    def copy(self) -> Side:
        twin = Side(self.is_bid)
        twin.qty, twin.ticks = dict(self.qty), list(self.ticks)
        return twin
