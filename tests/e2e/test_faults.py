"""Promises under faults: venues that cut, drop and repeat, processes that are killed; then a quiet phase that judges by the ledger."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from feedplane_testing.oracle import account_faults, hot_state_faults, judge_history
from feedplane_testing.plane import Plane, Simulator

pytestmark = pytest.mark.faults

RUN_S = 60
KILLED = ("binance-futures-0", "writer-clickhouse", "writer-redis", "redis", "clickhouse", "coinbase-0")


@pytest.mark.timeout(300)
def test_storm_of_kills_and_venue_faults(tmp_path: Path, feedset: Path, simulated: list[str]) -> None:
    with (
        Simulator(tmp_path, *simulated, "--rate", "2000", "--seed", "5") as venues,
        Plane(tmp_path, feedset, "--endpoints", str(venues.ready_path)) as plane,
    ):
        plane.wait_ready()
        began = time.monotonic()
        time.sleep(6)
        venues.fault("drop:feed=trades,every=997,for=40s")
        for numbered in ("binance_futures", "binance_spot"):  # coinbase numbers no book change: see docs/operations.md
            venues.fault(f"drop:exchange={numbered},feed=ob_diffs,every=101,for=40s")
        venues.fault("duplicate:every=101,for=40s")
        for name in KILLED:
            pid = plane.kill(name)
            time.sleep(2)
            venues.fault("cut:code=0")
            plane.wait_restarted(name, pid)
            time.sleep(4)
        venues.lift_faults()
        time.sleep(max(0.0, RUN_S - (time.monotonic() - began)))
        fresh_after_faults = plane.query("SELECT max(ts_recv) > now64(9) - INTERVAL 5 SECOND AS fresh FROM trades")
        venues.stop()
        time.sleep(0.5)
        plane.wait_drained(90)
        lines = venues.ledger()
        verdict = judge_history(plane, lines)
        hot = hot_state_faults(plane, lines)
        account = plane.stop()

    assert fresh_after_faults == [{"fresh": 1}]
    assert verdict.is_clean, verdict.text()
    assert len(lines) > 1_000 * RUN_S
    assert verdict.kept > 0.6 * sum(1 for line in lines if line["type"] not in ("top_of_book", "kline")), verdict.text()
    assert hot == []
    assert account_faults(account) == []
    assert sum(row["duplicates"] for row in account["accounts"]) > 0
