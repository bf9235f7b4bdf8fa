"""Instruments that come and go while the collector runs: by the venue's listing, by the config file. The others' sockets and books are not touched."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.names import NS_PER_S
from feedplane_testing.collector import Collector, Sim, finish, plane

VENUES = ["binance_futures", "binance_spot", "coinbase"]
NAMES = {"coinbase": ("BTC-USD", "ETH-USD", "SOL-USD")}
"""Instruments of simulated venues, in the order in which they are listed."""


def names_of(exchange: str) -> tuple[str, str, str]:
    return NAMES.get(exchange, ("BTCUSDT", "ETHUSDT", "SOLUSDT"))


async def has_trades(collector: Collector, instrument: str, within_s: float = 10.0) -> None:
    """Wait until trades of the instrument are in the journal."""
    async with asyncio.timeout(within_s):
        while not [row for row in collector.rows("trade") if row["instrument"] == instrument]:
            await asyncio.sleep(0.1)


def assert_others_untouched(status: dict[str, Any], sim: Sim, verdict: Any, *changed: str) -> None:
    assert status["sockets"]["disconnects"] == 0
    assert status["sockets"]["rotations"] == 0
    assert not [hole for hole in verdict.holes_told_before(sim.stopped_ns) if hole.instrument not in changed]


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_new_listing_is_followed_and_an_ended_one_is_let_go(tmp_path: Path, exchange: str) -> None:
    first, second, third = names_of(exchange)
    async with plane(tmp_path, exchange, refresh_ns=NS_PER_S) as (sim, collector):
        await collector.synced()
        await sim.fault(f"list:symbol={third}")
        await collector.synced(3)
        await has_trades(collector, third)
        await sim.fault(f"delist:symbol={first}")
        if exchange != "binance_spot":  # which shows what it has delisted as interrupted, for ever
            await collector.when(lambda s: s["instruments"] == 2)
            await collector.synced()
        await asyncio.sleep(0.5)
        status = await collector.status()
        verdict = await finish(sim, collector)
    said = [(row["instrument"], row["status"]) for row in collector.rows("status")]

    assert verdict.is_clean, verdict.text()
    assert ((first, "unsubscribed") in said) == (exchange != "binance_spot")
    assert (second, "unsubscribed") not in said
    assert {row["instrument"] for row in collector.rows("instrument")} == {first, second, third}
    assert_others_untouched(status, sim, verdict, first, third)


@pytest.mark.parametrize("exchange", VENUES)
async def test_symbols_follow_the_config_file_also_after_a_reconnect(tmp_path: Path, exchange: str) -> None:
    """What a live socket was told later must hold on the socket that replaces it."""
    first, second, third = names_of(exchange)
    selection = {"mode": "include", "include": [first, second]}
    async with plane(tmp_path, exchange, instruments=3, symbols=_symbols(selection)) as (sim, collector):
        await collector.synced(2)
        edited_ns = time.time_ns()
        collector.edit_symbols(include=[second, third])
        await collector.when(lambda s: s["instruments"] == 2 and s["books"]["synced"] == 2)
        await has_trades(collector, third)
        status = await collector.status()
        assert status["sockets"]["disconnects"] == 0
        sockets = status["sockets"]["planned"]
        await asyncio.sleep(0.3)
        ignored = {feed: account["ignored"] for feed, account in (await collector.status())["feeds"].items()}
        await asyncio.sleep(0.5)
        after = (await collector.status())["feeds"]
        assert after["trades"]["ignored"] == ignored["trades"]  # the venue no longer sends what was removed
        await sim.fault("cut")
        await collector.when(lambda s: s["sockets"]["disconnects"] >= sockets)
        await collector.synced(2)
        await collector.when(lambda _: _cuts(collector))
        cut = max(_cuts(collector))
        await collector.when(lambda _: all(_trades_since(collector, name, cut) for name in (second, third)))
        # What is on its way of the removed one, and what the venue sends until it has read the unsubscription, is no obligation any more.
        verdict = await finish(
            sim,
            collector,
            ignore=lambda line: (
                line["instrument"] == first and line.get("issued_ns", line.get("ts_recv_ns", 0)) > edited_ns - NS_PER_S
            ),
        )

    assert verdict.is_clean, verdict.text()
    assert not _trades_since(collector, first, cut)


def _cuts(collector: Collector) -> list[int]:
    return [row["ts_recv_ns"] for row in collector.rows("status") if row["status"] == "disconnected"]


def _symbols(selection: dict[str, Any]) -> dict[str, Any]:
    return {"exclude": [], "quotes": [], "max_symbols": 100, "refresh_ns": 600 * NS_PER_S} | selection


def _trades_since(collector: Collector, instrument: str, since_ns: int) -> list[dict[str, Any]]:
    return [row for row in collector.rows("trade") if row["instrument"] == instrument and row["ts_recv_ns"] > since_ns]


async def test_added_symbols_join_a_socket_that_has_room(tmp_path: Path) -> None:
    selection = _symbols({"mode": "include", "include": ["BTCUSDT"]})
    async with plane(tmp_path, "binance_futures", instruments=3, symbols=selection) as (sim, collector):
        await collector.synced(1)
        before = await collector.status()
        collector.edit_symbols(include=["BTCUSDT", "ETHUSDT", "SOLUSDT"])
        await collector.synced(3)
        after = await collector.status()
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert after["sockets"]["planned"] == before["sockets"]["planned"]
    assert_others_untouched(after, sim, verdict, "ETHUSDT", "SOLUSDT")


async def test_a_symbol_that_the_venue_does_not_list_is_named_and_the_others_are_followed(tmp_path: Path) -> None:
    selection = _symbols({"mode": "include", "include": ["BTCUSDT", "ETHUSDTT"]})
    async with plane(tmp_path, "binance_futures", symbols=selection) as (sim, collector):
        status = await collector.synced(1)
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert "ETHUSDTT is not listed (did you mean ETHUSDT?)" in status["problems"][0]


async def test_a_config_file_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures") as (sim, collector):
        await collector.synced()
        collector.config_path.write_text("{")
        await collector.line("settings not usable, keeping the last ones", within_s=5)
        status = await collector.status()
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert status["instruments"] == 2


@pytest.mark.slow
async def test_a_halted_instrument_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures", feeds=["mark_price", "trades"], refresh_ns=NS_PER_S) as (
        sim,
        collector,
    ):
        await collector.when(lambda s: s["feeds"].get("mark_price", {}).get("journalled", 0) > 2)
        halt = await sim.fault("halt:symbol=BTCUSDT")
        stall = await sim.fault("stall:symbol=BTCUSDT")
        await asyncio.sleep(7.0)
        assert not collector.said("channel is silent")
        await sim.lift(stall)
        await sim.lift(halt)
        await asyncio.sleep(1.5)
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
