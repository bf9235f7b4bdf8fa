"""Garbage collection at moments of our choosing: a full pass in the middle of a burst costs tens of milliseconds."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

_NS_PER_S: Final = 1_000_000_000
_BACKSTOP: Final = 500_000
"""Container objects made before the interpreter collects by itself, should nobody call the pacer."""


class GcPacer:
    """Runs the collector between batches: young objects when enough were made, everything once in a while.

    The interpreter's own collector is not switched off but put far away, so that forgetting to call `between_batches`
    costs pauses, never memory without bound.
    """

    def __init__(
        self,
        clock: Callable[[], int] = monotonic_ns,
        *,
        young_objects: int = 20_000,
        full_every_ns: int = 60 * _NS_PER_S,
    ) -> None:
        self._clock = clock
        self._young_objects = young_objects
        self._full_every_ns = full_every_ns
        self._next_full_ns = 0
        self._thresholds = gc.get_threshold()
        self.passes = 0
        self.pause_ns_total = 0
        self.pause_ns_max = 0

    def freeze(self) -> None:
        """Call once after start-up: what is alive now (modules, code, settings) is never looked at again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_BACKSTOP, 20, 1_000)
        self._next_full_ns = self._clock() + self._full_every_ns

    def between_batches(self) -> int:
        """Collect if it is time, and return the pause in ns (0 when nothing was due). Costs 0.1 us when not."""
        now_ns = self._clock()
        if now_ns >= self._next_full_ns:
            self._next_full_ns = now_ns + self._full_every_ns
            return self._collect(2, now_ns)
        if gc.get_count()[0] >= self._young_objects:
            return self._collect(1, now_ns)
        return 0

    def thaw(self) -> None:
        """Give the collector back as it was found; for tests and for the end of a service."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _collect(self, generation: int, started_ns: int) -> int:
        gc.collect(generation)
        pause_ns = self._clock() - started_ns
        self.passes += 1
        self.pause_ns_total += pause_ns
        self.pause_ns_max = max(self.pause_ns_max, pause_ns)
        return pause_ns
