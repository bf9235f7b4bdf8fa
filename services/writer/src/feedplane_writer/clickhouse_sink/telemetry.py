"""Metrics of the ClickHouse sink, kept as plain counts and read at scrape time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from feedplane_ops.metrics import Labels, Metrics

from .cursor import Settled
from .sender import Observer
from .worker import Records

if TYPE_CHECKING:
    from .main import Served

_ROW_BOUNDS: Final = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000)


class Telemetry(Records):
    """All instruments; labels are exchange, feed, table, shard and code, never symbols."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.written = metrics.counter(
            "written_records_total", "Records settled: stored or superseded.", ("sink", "exchange", "feed")
        )
        self.quarantined_records = metrics.counter(
            "quarantined_records_total", "Records that no store will take.", ("sink", "exchange", "feed", "reason")
        )
        self.stored = metrics.counter("stored_rows_total", "Rows stored.", ("sink", "exchange", "table"))
        self.retries = metrics.counter(
            "retries_total", "Inserts that failed and were repeated.", ("sink", "shard", "code")
        )
        self.inserts = metrics.counter("inserts_total", "Inserts acknowledged.", ("sink", "shard", "table"))
        self.sent = metrics.counter("insert_bytes_total", "Bytes of acknowledged inserts.", ("sink", "shard", "table"))
        self.unreadable = metrics.counter(
            "unreadable_bytes_total", "Journal bytes that were skipped.", ("exchange", "reason")
        )
        self.latency = metrics.latency("insert_seconds", "Time of an insert.", ("sink", "table"))
        self.batch_rows = metrics.histogram("batch_rows", "Rows of an insert.", _ROW_BOUNDS, ("sink", "table"))

    def watch(self, journals: Mapping[Any, Served], lag_s: Callable[[], Mapping[Labels, float]]) -> None:
        """Export what is read off the journals at scrape time."""

        def pending() -> dict[Labels, float]:
            found: dict[Labels, float] = {}
            for served in list(journals.values()):
                for feed, n in served.cursor.account.pending().items():
                    key = ("clickhouse", served.exchange, feed)
                    found[key] = found.get(key, 0) + n
            return found

        self._metrics.observe_gauge(
            "pending_records", "Records in the journal that are not settled.", ("sink", "exchange", "feed"), pending
        )

        def backlog() -> dict[Labels, float]:
            found: dict[Labels, float] = {}
            for served in list(journals.values()):
                found[(served.exchange,)] = found.get((served.exchange,), 0) + served.backlog_bytes
            return found

        self._metrics.observe_gauge("backlog_bytes", "Journal bytes that are not settled.", ("exchange",), backlog)
        self._metrics.observe_gauge(
            "lag_seconds", "Age of the newest written record while others are pending.", ("exchange",), lag_s
        )

    def of_shard(self, shard: int) -> Observer:
        """What the sender of a shard reports to."""
        return _ShardObserver(self, str(shard))

    def settled(self, exchange: str, made: Settled) -> None:
        for feed, n in made.written.items():
            self.written.add(("clickhouse", exchange, feed), n)
        for table, n in made.stored.items():
            self.stored.add(("clickhouse", exchange, table), n)

    def quarantined(self, exchange: str, feed: str, reason: str, records: int) -> None:
        self.quarantined_records.add(("clickhouse", exchange, feed, reason), records)


class _ShardObserver(Observer):
    def __init__(self, telemetry: Telemetry, shard: str) -> None:
        self._telemetry = telemetry
        self._shard = shard

    def inserted(self, table: str, rows: int, size_bytes: int, took_ns: int) -> None:
        self._telemetry.inserts.add(("clickhouse", self._shard, table))
        self._telemetry.sent.add(("clickhouse", self._shard, table), size_bytes)
        self._telemetry.latency.at("clickhouse", table).record(took_ns)
        self._telemetry.batch_rows.record(rows, "clickhouse", table)

    def retried(self, reason: str) -> None:
        self._telemetry.retries.add(("clickhouse", self._shard, reason))
