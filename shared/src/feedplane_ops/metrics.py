"""Metrics of a process: plain Python numbers while it works, OpenTelemetry when somebody looks.

Hot paths never call OpenTelemetry. They add to a `Tally`, a `Level` or a `LatencyHistogram`; observable instruments
read those at scrape time. The same collection feeds Prometheus text and, where an endpoint is set, OTLP.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import time_ns
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from feedplane_ops.counts import Labels, Level, Tally
from feedplane_ops.latency import DEFAULT_BOUNDS_NS, LatencyFamily, LatencyHistogram
from feedplane_ops.version import __version__

__all__ = ["Labels", "LatencyFamily", "LatencyHistogram", "Level", "Metrics", "Recorder", "Tally"]

logger = logging.getLogger(__name__)

_NS_PER_S: Final = 1_000_000_000
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_UNITS: Final = {"seconds": "s", "bytes": "By"}
_SHUTDOWN_MS: Final = 2_000
_OTLP_TIMEOUT_S: Final = 2.0

Read = Callable[[], Mapping[Any, float]]
"""Gives the value of each tuple of label values. `Any` because a Mapping of 2-tuples is none of tuples to mypy."""


class Recorder:
    """A histogram for work that is rare enough to pay OpenTelemetry's 2 us per value: batch sizes, inserts."""

    def __init__(self, instrument: Histogram, labels: Sequence[str]) -> None:
        self._instrument = instrument
        self._labels = tuple(labels)

    def record(self, value: float, *labels: str) -> None:
        """Count one value under the label values, in the order of their declaration."""
        self._instrument.record(value, dict(zip(self._labels, labels, strict=True)))


class Metrics:
    """Declares instruments, each once, and renders them. One per process.

    Names are given without the common part: `counter("frames_total", ...)` in component `collector` is
    `feedplane_collector_frames_total`. Units stand in names (base units: seconds, bytes, rows) and are passed on to
    OTLP, where exporters know not to append them again. Label sets per instrument are bounded (`counts.MAX_SERIES`).
    """

    def __init__(
        self,
        component: str,
        instance: str = "",
        *,
        otlp_endpoint: str | None = None,
        otlp_headers: Mapping[str, str] | None = None,
        otlp_interval_s: float = 15.0,
    ) -> None:
        self._prefix = f"feedplane_{component}_"
        self._names: set[str] = set()
        self._latencies = _Latencies()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        readers: list[sdk.MetricReader] = [_PrometheusReader(self._latencies, self._registry)]
        if otlp_endpoint is not None:
            readers.append(_otlp_reader(self._latencies, otlp_endpoint, otlp_headers or {}, otlp_interval_s))
        # Resource(...) and not Resource.create(...): the latter loads every installed detector
        resource = Resource(
            {
                "service.name": f"feedplane-{component}",
                "service.instance.id": instance,
                "service.version": __version__,
            }
        )
        self._provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self._meter = self._provider.get_meter(f"feedplane.{component}", __version__)
        self.gauge("build_info", "Always 1; the version is a label.", ["version"]).put((__version__,), 1)

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Tally:
        """A monotonic count whose name ends in `_total`."""
        tally = Tally()
        self.observe_counter(name, description, labels, tally.copy)
        return tally

    def observe_counter(self, name: str, description: str, labels: Sequence[str], read: Read) -> None:
        """A monotonic count that somebody else keeps: `read` is called at scrape time, also from OTLP's thread."""
        full = self._declare(name, "_total")
        observe = _observer(tuple(labels), read)
        self._meter.create_observable_counter(full, [observe], _unit(name), description)

    def gauge(self, name: str, description: str, labels: Sequence[str] = ()) -> Level:
        """A value that goes up and down, set by the service."""
        level = Level()
        self.observe_gauge(name, description, labels, level.copy)
        return level

    def observe_gauge(self, name: str, description: str, labels: Sequence[str], read: Read) -> None:
        """A value worked out at scrape time, such as an age; `read` is called also from OTLP's thread."""
        full = self._declare(name, "")
        observe = _observer(tuple(labels), read)
        self._meter.create_observable_gauge(full, [observe], _unit(name), description)

    def latency(
        self,
        name: str,
        description: str,
        labels: Sequence[str] = (),
        bounds_ns: Sequence[int] = DEFAULT_BOUNDS_NS,
    ) -> LatencyFamily:
        """Latencies of a hot path, recorded in ns and exported in seconds: the name ends in `_seconds`."""
        full = self._declare(name, "_seconds")
        family = LatencyFamily()
        self._latencies.instruments.append(
            _LatencyInstrument(full, description, tuple(labels), tuple(bounds_ns), family)
        )
        return family

    def histogram(self, name: str, description: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> Recorder:
        """A histogram with these upper bounds, for values that are not on a hot path."""
        full = self._declare(name, "")
        instrument = self._meter.create_histogram(
            full, _unit(name), description, explicit_bucket_boundaries_advisory=list(bounds)
        )
        return Recorder(instrument, labels)

    def render(self) -> bytes:
        """All metrics in Prometheus text format 0.0.4."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Push what OTLP has not seen yet, for at most two seconds, and stop its thread."""
        self._provider.shutdown(timeout_millis=_SHUTDOWN_MS)

    def _declare(self, name: str, suffix: str) -> str:
        """The full name.

        Raises:
            ValueError: the name is malformed, lacks its suffix or bears another kind's, or is taken.
        """
        if not _NAME.fullmatch(name) or name.startswith("feedplane"):
            raise ValueError(f"{name}: not a metric name of lower-case words without the common prefix")
        if not name.endswith(suffix) or (suffix != "_total" and name.endswith("_total")):
            raise ValueError(f"{name}: counters end in _total, latencies in _seconds, nothing else in _total")
        if name in self._names:
            raise ValueError(f"{name}: declared twice")
        self._names.add(name)
        return self._prefix + name


def _unit(name: str) -> str:
    """The UCUM unit that the name ends in; none for ratios, rows and the like, so that no exporter appends one."""
    return _UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")


def _observer(labels: Labels, read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> list[Observation]:
        return [Observation(value, dict(zip(labels, key, strict=True))) for key, value in read().items()]

    return observe


@dataclass(frozen=True)
class _LatencyInstrument:
    name: str
    description: str
    labels: Labels
    bounds_ns: tuple[int, ...]
    family: LatencyFamily

    def metric(self, start_ns: int, now_ns: int) -> sdk.Metric:
        bounds = [bound / _NS_PER_S for bound in self.bounds_ns]
        points = [
            self._point(key, histogram, bounds, start_ns, now_ns) for key, histogram in self.family.copy().items()
        ]
        data = sdk.Histogram(points, sdk.AggregationTemporality.CUMULATIVE)
        return sdk.Metric(self.name, self.description, "s", data)

    def _point(
        self, key: Labels, histogram: LatencyHistogram, bounds: list[float], start_ns: int, now_ns: int
    ) -> sdk.HistogramDataPoint:
        counts = histogram.counts_within(self.bounds_ns)
        return sdk.HistogramDataPoint(
            attributes=dict(zip(self.labels, key, strict=True)),
            start_time_unix_nano=start_ns,
            time_unix_nano=now_ns,
            count=sum(counts),  # of this very copy, while another thread may be recording
            sum=histogram.sum_ns / _NS_PER_S,
            bucket_counts=counts,
            explicit_bounds=bounds,
            min=histogram.min_ns() / _NS_PER_S,
            max=histogram.max_ns / _NS_PER_S,
        )


class _Latencies:
    """Puts our own histograms into what the SDK collected: it has no observable histogram.

    There is one resource and one scope, and never none, because `Metrics` itself declares `build_info`.
    """

    def __init__(self) -> None:
        self.instruments: list[_LatencyInstrument] = []
        self._start_ns = time_ns()

    def added_to(self, data: sdk.MetricsData) -> sdk.MetricsData:
        now_ns = time_ns()
        metrics = [instrument.metric(self._start_ns, now_ns) for instrument in self.instruments if instrument.family]
        resource, *_ = data.resource_metrics
        scope, *_ = resource.scope_metrics
        # into the scope that is there, not beside it: the OTLP encoder keeps only one of two equal scopes
        scope = replace(scope, metrics=[*scope.metrics, *metrics])
        return sdk.MetricsData([replace(resource, scope_metrics=[scope])])


class _PrometheusReader(PrometheusMetricReader):
    def __init__(self, latencies: _Latencies, registry: CollectorRegistry) -> None:
        super().__init__(scope_info_enabled=False, registry=registry)
        self._latencies = latencies

    def _receive_metrics(self, metrics_data: sdk.MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._latencies.added_to(metrics_data), timeout_millis, **kwargs)


class _OtlpReader(sdk.PeriodicExportingMetricReader):
    """Pushes from a thread of its own.

    Not from the SDK's: that one starts again in every forked child, which hangs the spawning of processes on uvloop.
    """

    def __init__(self, latencies: _Latencies, exporter: sdk.MetricExporter, interval_s: float) -> None:
        super().__init__(exporter, export_interval_millis=math.inf)
        self._latencies = latencies
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._push_until_end, name="otlp push", daemon=True)
        self._thread.start()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Push once more and stop, within the timeout as far as the exporter keeps its own."""
        self._ended.set()
        self._thread.join(timeout_millis / 1_000)
        super().shutdown(timeout_millis, **kwargs)

    def _push_until_end(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._push()
        self._push()

    def _push(self) -> None:
        try:
            self.collect(timeout_millis=_SHUTDOWN_MS)
        except Exception:  # this thread's boundary: a failed push must not be the last one
            logger.exception("metrics not pushed")

    def _receive_metrics(self, metrics_data: sdk.MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._latencies.added_to(metrics_data), timeout_millis, **kwargs)


def _otlp_reader(
    latencies: _Latencies, endpoint: str, headers: Mapping[str, str], interval_s: float
) -> sdk.MetricReader:
    # 10 MB and 0.1 s that only those pay who set an endpoint
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/v1/metrics"
    exporter = OTLPMetricExporter(endpoint=url, headers=dict(headers), timeout=_OTLP_TIMEOUT_S)
    return _OtlpReader(latencies, exporter, interval_s)
