"""Rollouts by real processes: two pods of one shard side by side, the old one ended; nothing missing, nothing twice, nothing stale."""

from __future__ import annotations

import os
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
from feedplane_testing.writers import wait_until

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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a read-only root for others")
def test_a_pod_writes_its_spool_and_its_temporary_folder_and_nothing_else(tmp_path: Path, stores: PodStores) -> None:
    """Without capabilities on a read-only root; the tables it makes by itself, and what it stores is marked as simulated."""
    entry = {"exchange": "binance_futures", "feeds": ["trades", "l1"], "symbols": {"include": ["BTCUSDT"]}}
    arguments = ["--exchange", "binance_futures", "--symbols", "binance_futures:BTCUSDT", "--rate", "100"]
    with Simulator(tmp_path, *arguments) as venue:
        pod = PodGroup(
            tmp_path / "pod",
            stores.render("pod", entry),
            endpoints=venue.endpoints()["binance_futures"],
            is_confined=True,
        )
        try:
            pod.ready()
            wait_until(lambda: bool(hot(stores)), "hot state", 60)
            wait_until(lambda: bool(stores.query("SELECT 1 FROM trades LIMIT 1")), "history", 60)
            states = set(hot(stores).values())
            pod.terminate()
        finally:
            pod.kill()

    assert states == {"sim"}
    assert pod.writers["clickhouse"].termination()["drained"] is True
    assert pod.writers["redis"].termination()["drained"] is True
    assert not [
        line for service in pod.services for line in service.log() if line.get("level") in ("error", "critical")
    ]


def hot(stores: PodStores) -> dict[str, str]:
    """`state` by key."""
    client: Any = redis.Redis(port=stores.redis_port(), decode_responses=True)
    found = {key: client.hget(key, "state") for key in client.scan_iter("last:*")}
    client.close()
    return found
