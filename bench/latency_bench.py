"""Wire to Redis and wire to queryable at 2,000 messages a second: from the moment a simulated venue issues a trade to the moment a reader sees it.

Redis is read by a blocked XREAD, so its figure holds nothing but the way; ClickHouse is asked again and again, so its figure holds the pause between two questions.
"""

from __future__ import annotations

import threading
import time
from time import time_ns

import redis
from feedplane_ops.latency import LatencyHistogram
from feedplane_testing.plane import Plane
from planes import SYMBOLS, plane_at
from results import Row

_RATE = 2_000
_REDIS_P99_MS, _QUERY_P99_MS = 50.0, 1_500.0
_WARM_UP_S = 5

Seen = dict[tuple[str, str], int]
"""(instrument, trade id) -> when a reader saw it."""


def run(*, quick: bool) -> list[Row]:
    seconds = 10 if quick else 60
    in_redis: Seen = {}
    in_history: Seen = {}
    with plane_at(_RATE) as (plane, venues):
        time.sleep(_WARM_UP_S)
        began_ns = time_ns()
        stop = threading.Event()
        readers = [
            threading.Thread(target=read_redis, args=(plane.redis_port(), in_redis, stop)),
            threading.Thread(target=read_history, args=(plane, in_history, stop)),
        ]
        for reader in readers:
            reader.start()
        time.sleep(seconds)
        ended_ns = time_ns()
        time.sleep(2.0)
        stop.set()
        for reader in readers:
            reader.join()
        venues.stop()
        issued = {
            (line["instrument"], line["identity"]): line["issued_ns"]
            for line in venues.ledger()
            if line["type"] == "trade" and began_ns <= line["issued_ns"] < ended_ns
        }
    return [
        *_rows("wire -> Redis", issued, in_redis, _REDIS_P99_MS),
        *_rows("wire -> queryable", issued, in_history, _QUERY_P99_MS),
    ]


def read_redis(port: int, seen: Seen, stop: threading.Event) -> None:
    client = redis.Redis(port=port, decode_responses=True)
    last = {f"stream:trades:binance_futures:{symbol}": "$" for symbol in SYMBOLS}
    while not stop.is_set():
        answer = client.xread(last, block=200)
        now_ns = time_ns()
        for key, entries in answer or ():
            last[key] = entries[-1][0]
            symbol = key.rpartition(":")[2]
            for _, fields in entries:
                seen.setdefault((symbol, fields["trade_id"]), now_ns)


def read_history(plane: Plane, seen: Seen, stop: threading.Event) -> None:
    newest = 0
    while not stop.is_set():
        rows = plane.query(
            f"SELECT instrument, trade_id, toUnixTimestamp64Nano(ts_recv) AS at FROM trades WHERE ts_recv > fromUnixTimestamp64Nano({newest})"
        )
        now_ns = time_ns()
        for row in rows:
            seen.setdefault((row["instrument"], row["trade_id"]), now_ns)
            newest = max(newest, row["at"] - 3_000_000_000)  # batches land out of order: look back far enough
        time.sleep(0.02)


def _rows(what: str, issued: dict[tuple[str, str], int], seen: Seen, promise_ms: float) -> list[Row]:
    latencies = LatencyHistogram()
    for key, at_ns in issued.items():
        if key in seen:
            latencies.record(seen[key] - at_ns)
    missing = len(issued) - latencies.count
    note = f"{latencies.count:,} trades of {len(issued):,}" + (f", {missing} not seen" if missing else "")
    return [
        Row(
            bench="latency",
            what=f"{what} {name}",
            value=latencies.percentile_ns(fraction) / 1e6,
            unit="ms",
            baseline=promise_ms if name == "p99" else None,
            note=note + ("; baseline: the promise" if name == "p99" else ""),
        )
        for name, fraction in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    ]
