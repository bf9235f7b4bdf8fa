"""Two clocks, both injectable: wall time for stamps, which gives every frame its place, and steady time for timers, which no step of the wall clock moves."""

from __future__ import annotations

import time
from collections.abc import Callable

_SLEW = 2
"""While the wall clock is behind what was stamped already, stamps advance at one half of the real pace."""


class ReceiveClock:
    """Wall-clock nanoseconds that never repeat and never go back while the process lives.

    Two frames get two stamps, so receive time orders them. A step forward is followed at once; after a step back stamps go on at half the pace until the wall
    clock has caught up, so that they still tell intervals.
    """

    __slots__ = ("_last_ns", "_mono_ns", "_slew_from", "_wall_ns")

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, mono_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._last_ns = 0
        self._slew_from: tuple[int, int] | None = None  # (monotonic, stamp) where the wall clock fell behind

    def __call__(self) -> int:
        now_ns = self._wall_ns()
        if now_ns > self._last_ns:
            self._last_ns = now_ns
            self._slew_from = None
            return now_ns
        mono_ns = self._mono_ns()
        if self._slew_from is None:
            self._slew_from = mono_ns, self._last_ns
        began_ns, stamp_ns = self._slew_from
        self._last_ns = max(self._last_ns + 1, stamp_ns + (mono_ns - began_ns) // _SLEW)
        return self._last_ns

    def ahead_ns(self) -> int:
        """How far stamps are ahead of the wall clock: 0 unless it was set back."""
        return max(0, self._last_ns - self._wall_ns())


class SteadyClock:
    """The wall clock as it stood when this one was made, carried on by the monotonic one: for deadlines, retries and budgets."""

    __slots__ = ("_mono_ns", "_offset_ns")

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, mono_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._mono_ns = mono_ns
        self._offset_ns = wall_ns() - mono_ns()

    def __call__(self) -> int:
        return self._mono_ns() + self._offset_ns
