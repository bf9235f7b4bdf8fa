"""Named health checks: liveness (restart me) apart from readiness (I do my work), each with its reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

Check = Callable[[], str | None]
"""Returns None when all is well, else the reason in a few words. It must not block."""

_NS_PER_S: Final = 1_000_000_000


class Health:
    """Registry of checks. A process without checks is live and ready.

    Liveness must only say what a restart would cure: never the state of a venue or a store.
    """

    def __init__(self) -> None:
        self._liveness: dict[str, Check] = {}
        self._readiness: dict[str, Check] = {}
        self._arrival: dict[str, Check] = {}
        self._notes: dict[str, Check] = {}
        self._has_arrived = False

    def add_liveness(self, name: str, check: Check) -> None:
        """Register or replace a check that, failing, asks for a restart."""
        self._liveness[name] = check

    def add_readiness(self, name: str, check: Check) -> None:
        """Register or replace a check that, failing, says that the work is not being done."""
        self._readiness[name] = check

    def add_arrival(self, name: str, check: Check) -> None:
        """Register or replace a check that holds readiness back until all of its kind have passed at one moment; from
        then on it only tells. For what the outside world can take away again (a venue, a store): a rollout must wait
        for it, and must not fail by it later.
        """
        self._arrival[name] = check

    def add_note(self, name: str, check: Check) -> None:
        """Register or replace a check that is told beside readiness and never decides it."""
        self._notes[name] = check

    def remove(self, name: str) -> None:
        """Forget the checks of this name, if any: the thing that they watched is gone on purpose."""
        for checks in (self._liveness, self._readiness, self._arrival, self._notes):
            checks.pop(name, None)

    def live_reasons(self) -> list[str]:
        """What is wrong with the process itself; empty when it is live."""
        return _reasons(self._liveness)

    def ready_reasons(self) -> list[str]:
        """What keeps the process from its work, liveness included; empty when it is ready."""
        reasons = _reasons(self._liveness) + _reasons(self._readiness)
        return reasons + self._missing()

    def has_arrived(self) -> bool:
        """Whether arrivals hold readiness back no more. Asking counts like a probe."""
        return not self._missing()

    def _missing(self) -> list[str]:
        """Arrivals that are still waited for; once there are none, there are none any more."""
        missing = [] if self._has_arrived else _reasons(self._arrival)
        self._has_arrived = not missing
        return missing

    def notes(self) -> list[str]:
        """What is not as it should be and yet no reason to be unready."""
        return (_reasons(self._arrival) if self._has_arrived else []) + _reasons(self._notes)


def _reasons(checks: dict[str, Check]) -> list[str]:
    reasons = []
    for name, check in checks.items():
        try:
            reason = check()
        except Exception as e:  # a broken check is a failed check: the probe must get an answer
            reason = f"check raised {type(e).__name__}"
        if reason is not None:
            reasons.append(f"{name}: {reason}")
    return reasons


class Heartbeat:
    """Goes stale when nobody beats it for `max_age_ns`. Start counts as a beat."""

    def __init__(self, max_age_ns: int, clock: Callable[[], int] = monotonic_ns) -> None:
        self._max_age_ns = max_age_ns
        self._clock = clock
        self._beat_ns = clock()
        self.worst_gap_ns = 0

    def beat(self) -> int:
        """The watched thing is alive now. Returns the time since the last beat."""
        now_ns = self._clock()
        gap_ns = now_ns - self._beat_ns
        self.worst_gap_ns = max(self.worst_gap_ns, gap_ns)
        self._beat_ns = now_ns
        return gap_ns

    def age_ns(self) -> int:
        """Time since the last beat."""
        return self._clock() - self._beat_ns

    def check(self) -> str | None:
        """A `Check`: the age when it is too old. Callable from any thread, so a blocked loop cannot hide it."""
        age_ns = self.age_ns()
        if age_ns <= self._max_age_ns:
            return None
        return f"no heartbeat for {age_ns / _NS_PER_S:.1f} s (limit {self._max_age_ns / _NS_PER_S:.1f} s)"


async def beat_event_loop(
    heartbeat: Heartbeat, every_s: float = 0.5, on_lag: Callable[[int], None] | None = None
) -> None:
    """Beat for as long as the event loop turns; run it as a task beside the work. Ends by cancellation.

    `on_lag` is told how many ns later than due each beat came: how long the loop was held up.
    """
    every_ns = int(every_s * _NS_PER_S)
    heartbeat.beat()
    while True:
        await asyncio.sleep(every_s)
        gap_ns = heartbeat.beat()
        if on_lag is not None:
            on_lag(max(0, gap_ns - every_ns))
