"""REST under pressure: refusals, failures, slow and stale snapshots. Books wait; nothing is shown that is not right."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from feedplane_testing.collector import Collector, Sim, finish, plane

FEEDS = ["trades", "ob_diffs", "ob_top5"]


async def resync(sim: Sim, collector: Collector, *, rejected: str) -> float:
    """Break BTCUSDT's book while REST is as the fault says; returns the seconds until it is right again."""
    await collector.synced()
    await asyncio.sleep(0.3)
    await sim.fault(rejected)
    began = time.monotonic()
    await sim.fault("seq_jump:n=5000,symbol=BTCUSDT")
    await collector.when(lambda s: s["books"]["synced"] == 1)
    await collector.synced(within_s=20)
    took = time.monotonic() - began
    await asyncio.sleep(0.4)
    return took


def published_while_broken(collector: Collector) -> list[int]:
    """Samples of BTCUSDT between its `resync` and the `synced` that follows."""
    spans: list[tuple[int, int]] = []
    since = 0
    for row in collector.rows("status"):
        if row["instrument"] == "BTCUSDT" and row["feed"] == "ob_diffs":
            if row["status"] == "resync":
                since = row["ts_recv_ns"]
            elif row["status"] == "synced" and since:
                spans.append((since, row["ts_recv_ns"]))
    assert spans
    tops = [row["ts_recv_ns"] for row in collector.rows("book_top") if row["instrument"] == "BTCUSDT"]
    return [ns for ns in tops for first, last in spans if first < ns < last]


@pytest.mark.parametrize("code", [429, 418])
async def test_a_refusal_is_obeyed_for_as_long_as_it_asks(tmp_path: Path, code: int) -> None:
    async with plane(tmp_path, "binance_spot", feeds=FEEDS) as (sim, collector):
        took_s = await resync(sim, collector, rejected=f"status:code={code},retry_after=2,count=1")
        requests = await collector.metric("rest_answers_total")
        refused = await collector.metric("rest_answers_total", status=str(code))
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert refused == 1  # asked once more only after the time was over: one that came too early would be counted too
    assert 2.0 <= took_s < 5.0
    assert requests <= 6
    assert collector.said("rate limited by venue")[0]["retry_after_s"] == 2
    assert not published_while_broken(collector)


async def test_a_failing_snapshot_is_asked_for_again(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures", feeds=FEEDS) as (sim, collector):
        await resync(sim, collector, rejected="rest_fail:code=503,count=3")
        failures = await collector.metric("rest_answers_total", status="503")
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert failures == 3
    assert not published_while_broken(collector)


@pytest.mark.parametrize("exchange", ["binance_futures", "binance_spot"])
async def test_a_slow_snapshot_is_waited_for_and_diffs_are_held(tmp_path: Path, exchange: str) -> None:
    async with plane(tmp_path, exchange, feeds=FEEDS) as (sim, collector):
        took_s = await resync(sim, collector, rejected="rest_slow:delay=1500ms,count=1")
        verdict = await finish(sim, collector)
    hole = next(h for h in verdict.holes_told_before(sim.stopped_ns) if h.feed == "ob_diffs")

    assert verdict.is_clean, verdict.text()
    assert took_s >= 1.5
    assert hole.state == "closed"
    assert not published_while_broken(collector)


@pytest.mark.parametrize("exchange", ["binance_futures", "binance_spot"])
async def test_a_snapshot_older_than_the_held_diffs_is_not_taken(tmp_path: Path, exchange: str) -> None:
    async with plane(tmp_path, exchange, feeds=FEEDS) as (sim, collector):
        await resync(sim, collector, rejected="stale_snapshot:count=3")
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert not published_while_broken(collector)


async def test_at_the_start_a_venue_that_refuses_is_waited_for(tmp_path: Path) -> None:
    argv = ("--fault", "status:code=429,retry_after=1,count=1")
    async with plane(tmp_path, "binance_spot", *argv, feeds=FEEDS) as (sim, collector):
        began = time.monotonic()
        status = await collector.status()
        assert status["instruments"] == 0
        await collector.synced()
        took_s = time.monotonic() - began
        await asyncio.sleep(0.3)
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert took_s >= 0.8


async def test_a_call_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_spot", feeds=FEEDS) as (sim, collector):
        await collector.synced()
        await sim.fault("rest_slow:delay=12s")
        requests = (await sim.counts())["requests"]
        await sim.fault("seq_jump:n=5000,symbol=BTCUSDT")
        await collector.when(lambda s: s["books"]["synced"] == 1)
        async with asyncio.timeout(5):
            while (await sim.counts())["requests"] == requests:
                await asyncio.sleep(0.05)
        assert await collector.stop() < 2.0
