import asyncio
import gzip
import threading
import time
from collections.abc import Iterator

import pytest
from feedplane_ops.metrics import Metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    metrics = Metrics("collector", "c-0")
    yield metrics
    metrics.close()


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[(f"feedplane_collector_{name}", frozenset(labels.items()))]


def test_counts_and_levels_are_read_when_scraped(metrics: Metrics) -> None:
    frames = metrics.counter("frames_total", "Frames received.", ["exchange", "feed"])
    depth = metrics.gauge("queue_rows", "Rows waiting.", ["feed"])
    age = {(): 1.5}
    metrics.observe_gauge("oldest_seconds", "Age of the oldest.", [], lambda: age)

    frames.add(("kraken", "trades"), 2)
    depth.put(("trades",), 7)
    assert value(metrics, "frames_total", exchange="kraken", feed="trades") == 2

    frames.add(("kraken", "trades"))
    depth.put(("trades",), 3)
    age[()] = 2.5
    assert value(metrics, "frames_total", exchange="kraken", feed="trades") == 3
    assert value(metrics, "queue_rows", feed="trades") == 3
    assert value(metrics, "oldest_seconds") == 2.5


@pytest.mark.parametrize(
    "name", ["frames_total", "received_bytes_total", "busy_seconds_total", "dropped_rows_total", "hits_ratio_total"]
)
def test_counter_names_are_exported_as_declared(metrics: Metrics, name: str) -> None:
    metrics.counter(name, "x").add(())

    assert f"\nfeedplane_collector_{name} 1.0\n" in metrics.render().decode()


@pytest.mark.parametrize("name", ["backlog_bytes", "age_seconds", "fill_ratio", "queue_rows", "books"])
def test_gauge_names_are_exported_as_declared(metrics: Metrics, name: str) -> None:
    metrics.gauge(name, "x").put((), 0.5)

    assert f"\nfeedplane_collector_{name} 0.5\n" in metrics.render().decode()


def test_latencies_are_prometheus_histograms_in_seconds(metrics: Metrics) -> None:
    decode = metrics.latency("decode_seconds", "Time to decode.", ["exchange"], bounds_ns=[1_000, 1_000_000])
    for ns in (500, 2_000, 3_000_000):
        decode.at("kraken").record(ns)

    for le, expected in (("1e-06", 1), ("0.001", 2), ("+Inf", 3)):
        assert value(metrics, "decode_seconds_bucket", exchange="kraken", le=le) == expected
    assert value(metrics, "decode_seconds_count", exchange="kraken") == 3
    assert value(metrics, "decode_seconds_sum", exchange="kraken") == pytest.approx(0.0030025)
    assert "seconds_seconds" not in metrics.render().decode()


def test_cold_histograms_have_the_bounds_given(metrics: Metrics) -> None:
    batch = metrics.histogram("batch_rows", "Rows of a batch.", [10, 1_000], ["table"])
    batch.record(500, "trades")

    assert value(metrics, "batch_rows_bucket", table="trades", le="10") == 0
    assert value(metrics, "batch_rows_bucket", table="trades", le="1000") == 1
    with pytest.raises(ValueError, match="zip"):
        batch.record(5)


def test_one_broken_reader_does_not_hide_the_others(metrics: Metrics) -> None:
    metrics.observe_gauge("broken_rows", "x", [], lambda: {(): 1 / 0})
    metrics.gauge("books", "x").put((), 4)

    assert value(metrics, "books") == 4


def test_a_scrape_says_who_speaks_and_what_it_uses(metrics: Metrics) -> None:
    text = metrics.render().decode()

    assert 'target_info{service_instance_id="c-0",service_name="feedplane-collector"' in text
    assert "process_resident_memory_bytes" in text
    assert "otel_scope" not in text


@pytest.mark.parametrize("name", ["frames", "Frames_total", "feedplane_frames_total", "frames-x_total", "_total"])
def test_bad_counter_names_are_refused(metrics: Metrics, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        metrics.counter(name, "x")


def test_kinds_do_not_borrow_names(metrics: Metrics) -> None:
    metrics.gauge("books", "x")
    with pytest.raises(ValueError, match="declared twice"):
        metrics.gauge("books", "x")
    with pytest.raises(ValueError, match="_total"):
        metrics.gauge("books_total", "x")
    with pytest.raises(ValueError, match="_seconds"):
        metrics.latency("decode_ns", "x")


def test_reading_while_another_thread_adds_series(metrics: Metrics) -> None:
    frames = metrics.counter("frames_total", "x", ["feed"])
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            for n in range(900):
                frames.add((f"feed{n}",))
            frames.clear()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(15):
            assert metrics.render()
    finally:
        done.set()
        thread.join()


class OtlpReceiver:
    """Takes OTLP over HTTP on loopback and keeps what came."""

    def __init__(self) -> None:
        self.bodies: list[ExportMetricsServiceRequest] = []
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        body = gzip.decompress(body) if "content-encoding: gzip" in head else body
        self.heads.append(head)
        self.bodies.append(ExportMetricsServiceRequest.FromString(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def newest(self) -> dict[str, Metric]:
        scopes = self.bodies[-1].resource_metrics[0].scope_metrics
        return {metric.name: metric for scope in scopes for metric in scope.metrics}


async def test_otlp_gets_the_same_numbers() -> None:
    receiver = OtlpReceiver()
    listener = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    metrics = Metrics(
        "writer", otlp_endpoint=f"http://127.0.0.1:{port}", otlp_headers={"x-tenant": "a"}, otlp_interval_s=0.05
    )
    written = metrics.counter("written_bytes_total", "x", ["table"])
    async with asyncio.timeout(10):
        while len(receiver.bodies) < 2:  # it pushes by itself
            await asyncio.sleep(0.01)
    written.add(("trades",), 5)  # and what comes last is not lost
    metrics.latency("insert_seconds", "x", bounds_ns=[1_000]).at().record(2_000_000_000)
    await asyncio.to_thread(metrics.close)
    listener.close()

    got = receiver.newest()
    assert receiver.heads[-1].startswith("post /v1/metrics ")
    assert "x-tenant: a" in receiver.heads[-1]
    counter = got["feedplane_writer_written_bytes_total"]
    assert (counter.unit, counter.sum.is_monotonic, counter.sum.data_points[0].as_int) == ("By", True, 5)
    (point,) = got["feedplane_writer_insert_seconds"].histogram.data_points
    assert (point.count, list(point.bucket_counts), point.sum, point.max) == (1, [0, 1], 2.0, 2.0)


def test_an_otlp_endpoint_that_is_down_neither_raises_nor_holds_up_the_end() -> None:
    metrics = Metrics("writer", otlp_endpoint="http://127.0.0.1:9", otlp_interval_s=3_600)
    metrics.counter("rows_total", "x").add(())
    started = time.monotonic()
    metrics.close()

    assert time.monotonic() - started < 5
