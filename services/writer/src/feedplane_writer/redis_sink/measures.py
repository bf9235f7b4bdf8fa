"""What the Redis writer tells of itself."""

from __future__ import annotations

from collections.abc import Iterable
from time import time_ns
from typing import Final

from feedplane_core.names import NS_PER_S
from feedplane_ops.metrics import Metrics

from .status import lag_ns
from .store import Store
from .tail import JournalTail

_PIPELINE_BOUNDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Measures:
    """Declares the instruments. Gauges show what `note` was told last: they may be read from another thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.committed_ns = 0
        """When Redis took something last; 0 before."""
        self.freshness = metrics.latency(
            "redis_freshness_seconds", "From receipt of a message to Redis having it.", ["feed"]
        )
        self._pipeline = metrics.latency("redis_pipeline_seconds", "From making a pipeline to its last answer.").at()
        self._sizes = metrics.histogram("redis_pipeline_commands", "Commands in a pipeline.", _PIPELINE_BOUNDS)
        self._backlog_rows = metrics.gauge("backlog_rows", "Rows not yet read from the journal.", ["exchange"])
        self._backlog_bytes = metrics.gauge("backlog_bytes", "Bytes not yet read from the journal.", ["exchange"])
        self._lag = metrics.gauge(
            "lag_seconds", "Age of the newest record that Redis has, 0 when nothing is pending.", ["exchange"]
        )
        self._waiting = metrics.gauge("redis_waiting_rows", "Rows read that Redis does not have yet.", ["exchange"])
        self._silent = metrics.gauge(
            "redis_journal_silent", "1 while a journal does not grow and its values are stale.", ["exchange"]
        )
        self._superseded = metrics.gauge(
            "redis_superseded_rows",
            "Rows since the start in whose place a newer one was written.",
            ["exchange", "feed"],
        )
        self._keys = metrics.gauge("redis_keys", "Keys that this writer serves.")
        self._down = metrics.gauge("redis_down_seconds", "How long the worst server has not taken our writes.")

    def observe(self, store: Store) -> None:
        """Export what the store counts."""
        counts, counter = store.counts, self._metrics.observe_counter
        counter("redis_commands_total", "Commands answered.", [], lambda: {(): counts.commands})
        counter("redis_pipelines_total", "Pipelines answered.", [], lambda: {(): counts.pipelines})
        counter(
            "redis_unknown_commands_total",
            "Commands sent again because their outcome is unknown.",
            [],
            lambda: {(): counts.unknown},
        )
        counter("redis_connects_total", "Connections made.", [], lambda: {(): counts.connects})
        counter("redis_redirects_total", "Commands that a cluster sent elsewhere.", [], lambda: {(): counts.redirects})
        counter(
            "redis_refreshed_keys_total",
            "Keys sent again because their server may have lost them.",
            [],
            lambda: {(): counts.refreshed_keys},
        )
        counter(
            "redis_errors_total",
            "Commands refused, by the code of the answer.",
            ["reason"],
            lambda: {(code,): n for code, n in counts.errors.copy().items()},
        )

    def on_pipeline(self, commands: int, took_ns: int) -> None:
        """One pipeline is answered."""
        self.committed_ns = time_ns()
        self._sizes.record(commands)
        self._pipeline.record(took_ns)

    def on_stored(self, feed: str, recv_ns: int) -> None:
        """One row is in Redis."""
        self.freshness.at(feed).record(time_ns() - recv_ns)

    def note(self, tails: Iterable[JournalTail], keys: int, down_s: float) -> None:
        """Refresh the gauges; two shards of one exchange are added up."""
        self._keys.put((), keys)
        self._down.put((), down_s)
        sums: dict[str, list[float]] = {}
        for tail in tails:
            rows, size = tail.backlog()
            lag_s = lag_ns(tail, time_ns()) / NS_PER_S
            total = sums.setdefault(tail.exchange, [0.0] * 5)
            total[:] = [
                total[0] + rows,
                total[1] + size,
                max(total[2], lag_s),
                total[3] + tail.books.open_rows,
                max(total[4], tail.is_silent),
            ]
            for feed, n in tail.books.superseded.copy().items():
                self._superseded.put((tail.exchange, feed), n)
        for exchange, (rows_, size_, lag, waiting, silent) in sums.items():
            self._backlog_rows.put((exchange,), rows_)
            self._backlog_bytes.put((exchange,), size_)
            self._lag.put((exchange,), lag)
            self._waiting.put((exchange,), waiting)
            self._silent.put((exchange,), silent)
