"""Waiting before a retry, and when not to try at all. Pure: clocks and randomness are arguments."""

from __future__ import annotations

import enum
from collections.abc import Callable
from random import random
from typing import Final

_MAX_DOUBLINGS: Final = 40
"""More would only build large integers: 2**40 times any base is past every cap."""


class Backoff:
    """Capped exponential delays with full jitter: uniform in [0, min(cap, base * 2**attempt)].

    Full jitter, not "equal" jitter: after an outage it spreads the herd of reconnects best.
    """

    def __init__(self, base_ns: int, cap_ns: int, rng: Callable[[], float] = random) -> None:
        if not 0 < base_ns <= cap_ns:
            raise ValueError(f"base_ns: {base_ns} is not between 1 and cap_ns {cap_ns}")
        self.base_ns = base_ns
        self.cap_ns = cap_ns
        self.attempts = 0
        self._rng = rng

    def next_delay_ns(self, at_least_ns: int = 0) -> int:
        """Count one failure and tell how long to wait; `at_least_ns` carries the server's Retry-After, cap or not."""
        ceiling = min(self.cap_ns, self.base_ns << min(self.attempts, _MAX_DOUBLINGS))
        self.attempts += 1
        return max(at_least_ns, int(self._rng() * ceiling))

    def reset(self) -> None:
        """Start again from the base, after a success that lasted."""
        self.attempts = 0


class Circuit(enum.Enum):
    """State of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Stops calls after `failures` in a row; after `open_ns` lets one through, whose outcome decides."""

    def __init__(self, failures: int, open_ns: int) -> None:
        if failures < 1 or open_ns < 1:
            raise ValueError(f"failures: {failures} and open_ns: {open_ns} must be positive")
        self._limit = failures
        self._open_ns = open_ns
        self._failed = 0
        self._retry_at_ns = 0
        self.state = Circuit.CLOSED

    def allows(self, now_ns: int) -> bool:
        """Whether a call may be made now. In the half-open state only one caller is told yes per `open_ns`.

        A probe that never reports back does not keep the circuit shut for ever: its turn expires.
        """
        if self.state is Circuit.CLOSED:
            return True
        if now_ns < self._retry_at_ns:
            return False
        self.state = Circuit.HALF_OPEN
        self._retry_at_ns = now_ns + self._open_ns
        return True

    def on_success(self) -> None:
        """A call went well: close."""
        self.state = Circuit.CLOSED
        self._failed = 0

    def on_failure(self, now_ns: int) -> None:
        """A call failed: open when it was the probe, or the last that was allowed in a row."""
        self._failed += 1
        if self.state is Circuit.HALF_OPEN or self._failed >= self._limit:
            self.state = Circuit.OPEN
            self._retry_at_ns = now_ns + self._open_ns
