"""A pod that is lost with its journal, and one that comes instead at once: what neither saw is declared."""

from __future__ import annotations

import shutil
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from feedplane_testing.oracle import judge_history
from feedplane_testing.plane import Simulator
from feedplane_testing.pods import PodGroup, PodStores
from feedplane_testing.writers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

FEEDS = ["trades", "l1", "ob_diffs", "mark_price", "funding"]
DECLARED = "SELECT 1 FROM gaps WHERE detected_by = 'writer' AND reason = 'restart' LIMIT 1"


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[PodStores]:
    made = PodStores(tmp_path)
    yield made
    made.stop()


def test_a_pod_lost_with_its_journal_leaves_a_declared_hole(tmp_path: Path, stores: PodStores) -> None:
    entry = {"exchange": "binance_futures", "feeds": FEEDS, "symbols": {"include": ["BTCUSDT", "ETHUSDT"]}}
    symbols = "binance_futures:BTCUSDT,binance_futures:ETHUSDT"
    arguments = ["--exchange", "binance_futures", "--symbols", symbols, "--rate", "300", "--seed", "5"]
    pods: list[PodGroup] = []
    with Simulator(tmp_path, *arguments) as venue:

        def start(name: str) -> PodGroup:
            pod = PodGroup(tmp_path / name, stores.render(name, entry), endpoints=venue.endpoints()["binance_futures"])
            pods.append(pod)
            pod.ready()
            return pod

        try:
            lost = start("pod-lost")
            wait_until(lambda: is_stored(stores), "stored, and signs of life", 90)
            time.sleep(3)
            lost.kill()
            shutil.rmtree(lost.pod.collector.journal.directory)
            before = stores.query(DECLARED)
            successor = start("pod-next")
            wait_until(lambda: bool(stores.query(DECLARED)), "hole declared", 90)
            time.sleep(1)
            venue.stop()
            time.sleep(1)
            lines = venue.ledger()
            successor.terminate()
        finally:
            for pod in pods:
                pod.kill()
    verdict = judge_history(stores, lines)
    covering = [hole for hole in verdict.holes_of("restart") if hole.state == "closed"]

    print(verdict.text())
    assert before == []
    assert verdict.is_clean, verdict.text()
    assert verdict.covered
    assert {(hole.instrument, hole.feed) for hole in covering} == {
        (name, feed) for name in ("BTCUSDT", "ETHUSDT") for feed in FEEDS
    }


def is_stored(stores: PodStores) -> bool:
    """Whether the tables are there, and have trades and what a collector says of itself."""
    try:
        return bool(
            stores.query("SELECT 1 FROM trades LIMIT 1")
            and stores.query("SELECT 1 FROM status WHERE status = 'alive' LIMIT 1")
        )
    except urllib.error.HTTPError:
        return False
