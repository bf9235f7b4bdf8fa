"""Budgets that venues set on requests. Pure: each call names the time, answers are waits in nanoseconds."""

from __future__ import annotations


class TokenBucket:
    """At most `burst` at once and one token per `interval_ns` on average; integers only, so nothing drifts."""

    def __init__(self, burst: int, interval_ns: int) -> None:
        if burst < 1 or interval_ns < 1:
            raise ValueError(f"burst: {burst} and interval_ns: {interval_ns} must be positive")
        self._burst = burst
        self._interval_ns = interval_ns
        self._full_at_ns = 0  # when the bucket would be full again; the one number that is the whole state

    def reserve(self, now_ns: int, tokens: int = 1) -> int:
        """Take `tokens` and return how long to wait before using them; later callers queue behind.

        Raises:
            ValueError: `tokens` is more than the bucket ever holds.
        """
        if not 1 <= tokens <= self._burst:
            raise ValueError(f"tokens: {tokens} is not between 1 and {self._burst}")
        self._full_at_ns = max(self._full_at_ns, now_ns) + tokens * self._interval_ns
        return max(0, self._full_at_ns - self._burst * self._interval_ns - now_ns)

    def penalise(self, retry_after_ns: int, now_ns: int) -> None:
        """The server said no: nothing more for `retry_after_ns`."""
        self._full_at_ns = max(self._full_at_ns, now_ns + retry_after_ns + (self._burst - 1) * self._interval_ns)


class WeightBudget:
    """Request weights per fixed window, as venues count them: `limit` in each `window_ns` of wall-clock time.

    Pass wall-clock time: the windows are the venue's, aligned to the minute of its clock. `skew_ns` keeps requests
    away from the first moments of a window, where a clock that runs ahead would still hit the last one.
    """

    def __init__(self, limit: int, window_ns: int, skew_ns: int = 0) -> None:
        if limit < 1 or window_ns < 1 or not 0 <= skew_ns < window_ns:
            raise ValueError(f"limit: {limit}, window_ns: {window_ns}, skew_ns: {skew_ns} are not a budget")
        self.limit = limit
        self._window_ns = window_ns
        self._skew_ns = skew_ns
        self._window = 0  # number of the newest window that holds reservations
        self._used = 0  # weight reserved or observed in it
        self._blocked_until_ns = 0

    def reserve(self, weight: int, now_ns: int) -> int:
        """Take `weight` from the first window that has room and return the wait until it opens.

        Raises:
            ValueError: `weight` is more than a whole window, so waiting would never help.
        """
        if not 1 <= weight <= self.limit:
            raise ValueError(f"weight: {weight} is not between 1 and {self.limit}")
        self._advance(max(now_ns, self._blocked_until_ns))
        if self._used + weight > self.limit:
            self._window += 1
            self._used = 0
        self._used += weight
        return max(0, self._opens_ns() - now_ns, self._blocked_until_ns - now_ns)

    def observe_used(self, used: int, now_ns: int) -> None:
        """Learn what the venue counts for the present window (`x-mbx-used-weight-1m`): others may share the address."""
        self._advance(now_ns)
        if self._window == now_ns // self._window_ns:
            self._used = max(self._used, used)

    def penalise(self, retry_after_ns: int, now_ns: int) -> None:
        """The venue said 429 or 418: no reservation becomes due before `retry_after_ns` has passed."""
        self._blocked_until_ns = max(self._blocked_until_ns, now_ns + retry_after_ns)

    def _advance(self, at_ns: int) -> None:
        window = at_ns // self._window_ns
        if window > self._window:
            self._window, self._used = window, 0

    def _opens_ns(self) -> int:
        return self._window * self._window_ns + self._skew_ns
