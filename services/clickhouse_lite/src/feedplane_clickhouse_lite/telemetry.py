"""Counts of what the front did, as Prometheus metrics."""

from __future__ import annotations

from feedplane_ops.metrics import Metrics

from feedplane_clickhouse_lite.engine import Stats
from feedplane_clickhouse_lite.executor import Executor
from feedplane_clickhouse_lite.statement import Kind


class Telemetry:
    """All instruments of the process. Labels: `kind` (select, insert, other) and the engine's error `code`."""

    def __init__(self, executor: Executor) -> None:
        self._metrics = Metrics("clickhouse_lite")
        self._queries = self._metrics.counter("queries_total", "Statements that reached the engine", ("kind",))
        self._errors = self._metrics.counter(
            "errors_total", "Requests refused or failed, by ClickHouse code", ("code",)
        )
        self._written = self._metrics.counter("written_rows_total", "Rows inserted, views included")
        self._results = self._metrics.counter("result_rows_total", "Rows sent to clients")
        self._received = self._metrics.counter("received_bytes_total", "Bytes of request bodies, as they came")
        self._sent = self._metrics.counter("sent_bytes_total", "Bytes of results, as they went")
        self._latency = self._metrics.latency(
            "query_seconds", "From a complete request to the end of its work", ("kind",)
        )
        self._metrics.observe_gauge("running", "Requests at work or waiting", (), lambda: {(): executor.running})
        self._metrics.observe_gauge(
            "queued", "Requests that wait for a place", ("lane",),
            lambda: {(lane.name,): lane.queued for lane in executor.lanes.values()},
        )  # fmt: skip
        self._metrics.observe_gauge("sessions", "Open sessions", (), lambda: {(): executor.sessions})

    def on_body(self, size: int) -> None:
        """A request body has arrived."""
        self._received.add((), size)

    def on_done(self, kind: Kind, stats: Stats, sent_bytes: int, elapsed_ns: int) -> None:
        """A statement went well."""
        self._queries.add((kind.value,))
        self._written.add((), stats.written_rows)
        self._results.add((), stats.result_rows)
        self._sent.add((), sent_bytes)
        self._latency.at(kind.value).record(elapsed_ns)

    def on_error(self, code: int) -> None:
        """A request was refused or failed."""
        self._errors.add((str(code),))

    def render(self) -> bytes:
        """Prometheus text."""
        return self._metrics.render()

    def close(self) -> None:
        """Let go of the exporter."""
        self._metrics.close()
