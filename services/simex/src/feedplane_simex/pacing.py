"""How many messages are due: a steady rate, with bursts where they are asked for."""

from __future__ import annotations

from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_S

from .faults import duration_ns

_ACTS_PER_MESSAGE = 4  # at most: where only a part of what happens is subscribed, more must happen


class Burst:
    """`FACTOR[:LENGTH/EVERY]`: for LENGTH out of EVERY the rate is FACTOR times as high. `10:1s/10s`."""

    def __init__(self, text: str) -> None:
        factor, _, spans = text.partition(":")
        length, _, every = (spans or "1s/10s").partition("/")
        try:
            self.factor = int(factor)
        except ValueError:
            raise UsageError("--burst", f"{factor!r} is no whole number", "write 10 or 10:1s/10s") from None
        self.length_ns, self.every_ns = duration_ns(length, "--burst"), duration_ns(every or "10s", "--burst")
        if not 0 < self.length_ns <= self.every_ns or self.factor < 1:
            raise UsageError("--burst", f"{text!r}: the length must lie within the period")

    def factor_at(self, elapsed_ns: int) -> int:
        return self.factor if elapsed_ns % self.every_ns < self.length_ns else 1


class Pacer:
    """Credit of one venue, in messages x NS_PER_S, so that nothing is rounded away."""

    def __init__(self, rate: int, burst: Burst | None, now_ns: int) -> None:
        self.rate = rate
        self.flood = 1
        self._burst = burst
        self._began_ns = self._then_ns = now_ns
        self._credit = 0

    def advance(self, now_ns: int) -> None:
        """Earn what the time since the last call is worth; at most a quarter of a second's worth is kept after a pause."""
        factor = self.flood * (self._burst.factor_at(now_ns - self._began_ns) if self._burst else 1)
        earned = min(max(0, now_ns - self._then_ns), NS_PER_S // 4) * self.rate * factor
        self._then_ns = now_ns
        self._credit = min(self._credit + earned, max(self.rate * factor * NS_PER_S // 4, NS_PER_S))

    def spend(self, messages: int) -> None:
        """Messages issued; what timers issue beyond the rate is held against it for a second, not for ever."""
        self._credit = max(self._credit - messages * NS_PER_S, -self.rate * NS_PER_S)

    @property
    def due(self) -> int:
        """Messages that may be issued now."""
        return max(0, self._credit // NS_PER_S)

    def acts_allowed(self, has_listeners: bool) -> int:
        """Acts of the world that may be tried to reach `due` messages."""
        return self.due * (_ACTS_PER_MESSAGE if has_listeners else 1)
