"""What a pod asks of a collector: symbols in a file of their own that change under it, and a readiness that a rollout can rest on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.names import NS_PER_S
from feedplane_feedset.config import SymbolSelection, symbols_hash
from feedplane_testing.collector import Collector, Process, Sim, finish, http, mount, plane

HOT_VENUES = ["binance_spot", "bitfinex", "bybit", "coinbase", "kraken", "kucoin", "okx"]


def include(*names: str) -> dict[str, Any]:
    return {"mode": "include", "include": list(names), "max_symbols": 100, "refresh_ns": 600 * NS_PER_S}


def hash_of(selection: dict[str, Any]) -> str:
    return symbols_hash(SymbolSelection.model_validate(selection))


async def three_listed(sim: Sim) -> tuple[str, list[str]]:
    """A market, and three names in it."""
    by_market: dict[str, list[str]] = {}
    for state in (await sim.truth()).values():
        by_market.setdefault(state["market_type"], []).append(state["instrument"])
    return next((market, names[:3]) for market, names in by_market.items() if len(names) >= 3)


@pytest.mark.parametrize("exchange", HOT_VENUES)
async def test_an_added_symbol_flows_within_five_seconds_and_no_other_subscription_is_touched(
    tmp_path: Path, exchange: str
) -> None:
    """By the venue's own log of what its clients did."""
    sim = Sim(exchange, tmp_path, instruments=3)
    await sim.start()
    try:
        market, (first, second, third) = await three_listed(sim)
        follower = Collector(sim, tmp_path, symbols_apart=True, symbols=include(first, second), markets=[market])
        await follower.start()
        try:
            await follower.ready()
            changed_ns = time.time_ns()
            follower.edit_symbols(include=[first, second, third])
            status = await follower.when(lambda s: s["symbols"]["hash"] == hash_of(include(first, second, third)))
            first_event_ns = await _first_event_ns(follower, third)
            done = [line for line in await sim.clients() if line["at_ns"] > changed_ns]
            assert status["symbols"]["followed"] == sorted([first, second, third])
            verdict = await finish(sim, follower)
        finally:
            await follower.end()
    finally:
        await sim.end()

    assert verdict.is_clean, verdict.text()
    assert first_event_ns - changed_ns < 5 * NS_PER_S
    assert {line["what"] for line in done} <= {"open", "subscribe"}, done
    subscribed = {line["topic"] for line in done if line["what"] == "subscribe"}
    assert subscribed
    assert not [topic for topic in subscribed if any(name in topic for name in _spellings(first, second))], subscribed
    assert not [hole for hole in verdict.holes_told_before(sim.stopped_ns) if hole.instrument != third]


def _spellings(*names: str) -> set[str]:
    return {spelt for name in names for spelt in (name, name.lower())}


async def _first_event_ns(collector: Collector, instrument: str) -> int:
    """Receive time of its first trade or book message, as soon as it can be read from the journal."""
    async with asyncio.timeout(10):
        while True:
            rows = [row for row in collector.rows("trade", "depth") if row["instrument"] == instrument]
            if rows:
                return int(min(row["ts_recv_ns"] for row in rows))
            await asyncio.sleep(0.1)


async def test_a_bad_symbols_file_keeps_the_last_good_one_and_says_so_everywhere(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures", symbols_apart=True, symbols=include("BTCUSDT")) as (sim, collector):
        await collector.ready()
        assert collector.symbols_path is not None
        mount(collector.symbols_path, '{"mode": "include", "includes": []}')
        bad = await collector.when(lambda s: s["symbols"]["file_error"])
        code, verdict = await collector.readiness()
        rejected = await collector.metric("settings_rejected")
        collector.edit_symbols(include=["BTCUSDT", "ETHUSDT"])
        good = await collector.when(lambda s: s["instruments"] == 2)
        judged = await finish(sim, collector)

    assert judged.is_clean, judged.text()
    assert "includes" in bad["symbols"]["file_error"]
    assert bad["symbols"]["file_error"] in bad["problems"]
    assert bad["symbols"]["followed"] == ["BTCUSDT"]
    assert (code, rejected) == (200, 1)
    assert any("includes" in note for note in verdict["notes"])
    assert good["symbols"]["file_error"] is None


async def test_a_symbols_file_that_is_bad_at_start_is_wrong_use(tmp_path: Path) -> None:
    sim = Sim("binance_futures", tmp_path)
    await sim.start()
    collector = Collector(sim, tmp_path, symbols_apart=True)
    assert collector.symbols_path is not None
    mount(collector.symbols_path, "{")
    try:
        await Process.start(collector)
        assert await collector.wait() == 2
    finally:
        await collector.end()
        await sim.end()

    assert any("symbols" in str(line) for line in collector.log)


async def test_ready_waits_for_the_last_book_and_stays_over_an_outage_of_the_venue(tmp_path: Path) -> None:
    sim = Sim("binance_futures", tmp_path, instruments=2)
    await sim.start()
    await sim.fault("status:code=503,symbol=ETHUSDT")  # no snapshot for the second book
    collector = Collector(sim, tmp_path)
    try:
        await collector.start()
        await collector.when(
            lambda s: s["books"]["synced"] == 1 and s["channels"]["spoken"] == s["channels"]["planned"]
        )
        code, before = await collector.readiness()
        started, _ = await http("GET", f"{collector.url}/startedz")
        await sim.lift()
        await collector.ready()
        await sim.fault("refuse:code=503")
        await sim.fault("cut")
        await collector.when(lambda s: s["sockets"]["connected"] == 0)
        code_in_outage, outage = await collector.readiness()
        live_in_outage, _ = await http("GET", f"{collector.url}/healthz")
        await sim.lift()
        await collector.synced()
        judged = await finish(sim, collector)
    finally:
        await collector.end()
        await sim.end()

    assert (code, started) == (503, 200)
    assert any("ETHUSDT" in reason for reason in before["reasons"]), before
    assert (code_in_outage, live_in_outage) == (200, 200)
    assert any(note.startswith("sockets") for note in outage["notes"])
    assert judged.is_clean, judged.text()


async def test_silent_feeds_and_refused_symbols_do_not_hold_a_rollout_back(tmp_path: Path) -> None:
    """Liquidations may never come; a symbol that the venue does not list never will."""
    feeds = ["trades", "ob_diffs", "liquidations"]
    async with plane(
        tmp_path, "binance_futures", symbols=include("BTCUSDT", "NOSUCH"), feeds=feeds, symbols_apart=True
    ) as (sim, collector):
        await sim.fault("stall:feed=liquidations")
        await collector.ready()
        _, told = await collector.readiness()
        status = await collector.status()
        await finish(sim, collector)

    assert list(status["symbols"]["refused"]) == ["NOSUCH"]
    assert status["channels"]["spoken"] < status["channels"]["planned"]
    assert any("NOSUCH" in note for note in told["notes"])


async def test_a_shard_without_symbols_is_ready(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures", symbols=include(), symbols_apart=True) as (sim, collector):
        await collector.ready()
        status = await collector.status()
        await finish(sim, collector)

    assert status["symbols"]["followed"] == []
