"""Rollouts by real processes: two pods of one shard side by side, the old one ended; nothing missing, nothing twice, nothing stale."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from feedplane_testing.judge import Issued
from feedplane_testing.oracle import hot_state_faults, judge_history
from feedplane_testing.plane import Simulator
from feedplane_testing.pods import PodGroup, PodStores

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

FUTURES = "trades l1 ob_diffs ob_top5 ob_top20 liquidations klines mark_price funding open_interest advanced".split()
FEEDS = {"binance_futures": FUTURES, "okx": FUTURES, "coinbase": "trades l1 ob_diffs ob_top5 ob_top20 klines".split()}
SYMBOLS = {
    "binance_futures": ["BTCUSDT", "ETHUSDT"],
    "okx": ["BTC-USDT-SWAP", "ETH-USDT-SWAP"],
    "coinbase": ["BTC-USD", "ETH-USD"],
}
ROLLOUTS = {"binance_futures": 20, "okx": 3, "coinbase": 3}
OVERLAP_S = 1.5


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[PodStores]:
    made = PodStores(tmp_path)
    yield made
    made.stop()


class Watch(threading.Thread):
    """Reads the hot state all the time: what went back, and what was said to be stale."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._client = redis.Redis(port=port, decode_responses=True)
        self._over = threading.Event()
        self.faults: list[str] = []
        self.looks = 0
        self.is_judging = False

    def run(self) -> None:
        newest: dict[str, int] = {}
        while not self._over.wait(0.02):
            keys = sorted(self._client.scan_iter("last:*", count=1_000))
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.hmget(key, "ts_recv_ns", "state")
            for key, (at, state) in zip(keys, pipeline.execute(), strict=True):
                if at is None:
                    continue
                if int(at) < newest.get(key, 0):
                    self.faults.append(f"{key} went back from {newest[key]} to {at}")
                newest[key] = int(at)
                if self.is_judging and state != "sim":
                    self.faults.append(f"{key} is {state} at {time.time_ns()}, value of {at}")
            self.looks += 1

    def stop(self) -> None:
        self._over.set()
        self.join(5)
        self._client.close()


@pytest.mark.parametrize("exchange", FEEDS)
def test_rollouts_lose_nothing_repeat_nothing_and_turn_nothing_stale(
    tmp_path: Path, stores: PodStores, exchange: str
) -> None:
    entry = {"exchange": exchange, "feeds": FEEDS[exchange], "symbols": {"include": SYMBOLS[exchange]}}
    symbols = ",".join(f"{exchange}:{name}" for name in SYMBOLS[exchange])
    watch = Watch(stores.redis_port())
    with Simulator(tmp_path, "--exchange", exchange, "--symbols", symbols, "--rate", "1000", "--seed", "7") as venue:
        endpoints = venue.endpoints()[exchange]
        pods: list[PodGroup] = []

        def start(number: int) -> PodGroup:
            pod = PodGroup(tmp_path / f"pod-{number}", stores.render(f"pod-{number}", entry), endpoints=endpoints)
            pods.append(pod)
            pod.ready()
            return pod

        try:
            running = start(0)
            time.sleep(3)
            watch.start()
            watch.is_judging = True
            stops: list[tuple[int, int]] = []
            for number in range(1, ROLLOUTS[exchange] + 1):
                successor = start(number)
                time.sleep(OVERLAP_S)
                began_ns = time.time_ns()
                took_s = running.terminate()["collector"]
                stops.append((began_ns, began_ns + int(took_s * 1e9)))
                running = successor
            time.sleep(1)
            watch.is_judging = False
            ends_ns = time.time_ns()
            venue.stop()
            time.sleep(1.0)
            lines = venue.ledger()
            hot = hot_state_faults(stores, lines)
            running.terminate()
            watch.stop()
        finally:
            for pod in pods:
                pod.kill()
    verdict = judge_history(stores, lines)
    verdict = verdict._replace(lost=[line for line in verdict.lost if not was_hung_up(line, stops)])
    # A cadence that was not kept is the venue's own: what it did send in that time is not lost.
    told = [hole for hole in verdict.holes if hole.told_ns < ends_ns]
    holes = [hole for hole in told if hole.state != "repaired" and hole.reason != "cadence"]

    print(f"{exchange}: rollouts={len(pods) - 1} issued={len(lines)} looks={watch.looks} {verdict.text()}")
    assert verdict.is_clean, verdict.text()
    assert holes == []
    assert watch.looks > 50
    assert watch.faults == []
    assert hot == []
    assert max(ended_ns - began_ns for began_ns, ended_ns in stops) < 5e9
    assert repeats(stores) == []


def was_hung_up(line: Issued, stops: list[tuple[int, int]]) -> bool:
    """An answer to a poll of a pod that was ending and did not wait for it; the other one polls the same."""
    return line.feed == "open_interest" and any(began - 1e9 < line.at_ns < ended for began, ended in stops)


def repeats(stores: PodStores) -> list[dict[str, Any]]:
    """Identities that the query layer shows twice, in every table whose rows have one."""
    by = {
        "trades": "trade_id",
        "klines_agg": "interval, open_time",
        "mark_price": "ts_event, mark_px IS NULL",
        "funding": "ts_event",
        "open_interest": "ts_event",
        "l1_200ms": "bucket",
        "gaps": "gap_id",
    }
    return [
        row | {"table": table}
        for table, key in by.items()
        for row in stores.query(
            f"SELECT instrument, count() AS n FROM {table}_dedup GROUP BY exchange, market_type, instrument, {key} HAVING n > 1 LIMIT 3"
        )
    ]
