"""One injectable clock: wall time for stamps, strictly increasing inside a process, and monotonic time for timers."""

from __future__ import annotations

import time
from collections.abc import Callable


class ReceiveClock:
    """Wall-clock nanoseconds that never repeat and never go back while the process lives.

    Two frames get two stamps, so receive time orders them; when the system clock is set back, stamps creep on until it catches up.
    """

    __slots__ = ("_last_ns", "_wall_ns")

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._last_ns = 0

    def __call__(self) -> int:
        now_ns = self._wall_ns()
        last_ns = self._last_ns
        self._last_ns = now_ns if now_ns > last_ns else last_ns + 1
        return self._last_ns
