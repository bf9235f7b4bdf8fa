"""The collector's sockets against simulated venues: cuts, rotations, silence, half-open connections. Judged by the venue's ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from feedplane_core.names import NS_PER_MS
from feedplane_testing.collector import assert_books_balance, finish, plane, until

VENUES = ("binance_futures", "binance_spot", "coinbase")
LIBRARIES = ("websockets", "picows")
PAIRS = (
    ("binance_futures", "websockets"),
    ("binance_futures", "picows"),
    ("binance_spot", "websockets"),
    ("coinbase", "websockets"),
    ("coinbase", "picows"),
)
"""Both libraries where books come by REST and where they come by socket."""


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("exchange", VENUES)
async def test_what_is_sent_is_kept_once_and_the_books_balance(tmp_path: Path, exchange: str, library: str) -> None:
    async with plane(
        tmp_path, exchange, library=library, feeds=["trades", "l1", "ob_diffs", "ob_top5", "advanced"]
    ) as (
        sim,
        collector,
    ):
        await collector.synced()
        await asyncio.sleep(1.0)
        assert_books_balance(await collector.status())
        assert await collector.metric("imbalance_events") == 0
        assert await collector.metric("journalled_events_total", feed="trades") > 0
        verdict = await finish(sim, collector)
    types = {row["type"] for row in collector.rows()}

    assert verdict.is_clean, verdict.text()
    assert verdict.kept > 100
    assert not [line for line in verdict.covered if line.feed != "ob_diffs"]
    assert not verdict.holes_told_before(sim.stopped_ns)
    assert {"trade", "depth_diff", "book_top", "advanced_metric", "instrument", "status"} <= types


@pytest.mark.parametrize(("exchange", "library"), PAIRS)
async def test_after_a_cut_it_reconnects_and_every_hole_is_declared(
    tmp_path: Path, exchange: str, library: str
) -> None:
    async with plane(tmp_path, exchange, library=library) as (sim, collector):
        await collector.synced()
        before = (await collector.status())["sockets"]
        await sim.fault("cut")
        await collector.when(lambda s: s["sockets"]["disconnects"] >= before["planned"])
        await collector.when(lambda s: s["sockets"]["connected"] == before["planned"])
        await collector.synced()
        await asyncio.sleep(0.7)
        frames = (await collector.status())["sockets"]["frames"]
        await asyncio.sleep(0.3)
        assert (await collector.status())["sockets"]["frames"] > frames
        verdict = await finish(sim, collector)
    said = Counter((row["status"], row["feed"]) for row in collector.rows("status"))

    assert verdict.is_clean, verdict.text()
    # What numbers cannot prove whole is a hole: quotes here, and a book that only its socket's order holds together.
    unproved = "ob_diffs" if exchange == "coinbase" else "l1"
    assert unproved in {hole.feed for hole in verdict.holes_told_before(sim.stopped_ns) if hole.reason == "disconnect"}
    assert said["disconnected", "ob_diffs"] >= 2  # one for each instrument: readers of hot values must know
    assert said["fresh", "ob_diffs"] >= 2


@pytest.mark.parametrize(("exchange", "library"), PAIRS)
async def test_rotations_leave_no_hole_and_no_repeat(tmp_path: Path, exchange: str, library: str) -> None:
    """The venue cuts at two seconds; the collector is told to be faster. What overlapping sockets bring twice is kept once."""
    ages = {"rotate_before_ns": 900 * NS_PER_MS, "overlap_ns": 600 * NS_PER_MS}
    async with plane(tmp_path, exchange, "--lifetime", "2s", library=library, **ages) as (sim, collector):
        await collector.synced()
        status = await collector.when(lambda s: s["sockets"]["rotations"] >= 6, within_s=20)
        duplicates = sum(a["duplicates"] for a in status["feeds"].values())
        assert status["sockets"]["disconnects"] == 0
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert not verdict.holes_told_before(sim.stopped_ns), verdict.text()
    assert not [line for line in verdict.covered if line.feed != "ob_diffs"]
    assert len([line for line in verdict.covered if line.feed == "ob_diffs"]) <= 4  # before the first snapshot
    assert exchange == "coinbase" or duplicates > 0  # two sockets did carry the same


@pytest.mark.slow
@pytest.mark.parametrize("exchange", VENUES)
async def test_twenty_rotations_leave_no_hole_and_no_repeat(tmp_path: Path, exchange: str) -> None:
    ages = {"rotate_before_ns": 900 * NS_PER_MS, "overlap_ns": 600 * NS_PER_MS}
    async with plane(tmp_path, exchange, "--lifetime", "2s", rate=400, **ages) as (sim, collector):
        await collector.synced()
        status = await collector.when(lambda s: s["sockets"]["rotations"] >= 20, within_s=60)
        assert status["sockets"]["disconnects"] == 0
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert not verdict.holes_told_before(sim.stopped_ns), verdict.text()


async def test_when_all_falls_silent_the_socket_is_replaced(tmp_path: Path) -> None:
    """TCP is alive and pings are answered: a pong proves nothing."""
    async with plane(tmp_path, "binance_futures", feeds=["mark_price", "trades"]) as (sim, collector):
        await collector.when(lambda s: s["feeds"].get("mark_price", {}).get("journalled", 0) > 2)
        fault = await sim.fault("stall")
        await collector.when(lambda s: s["feeds"]["mark_price"]["state"] in ("stale", "disconnected"), within_s=10)
        await collector.when(lambda s: s["sockets"]["connects"] > 1, within_s=10)
        await sim.lift(fault)
        await collector.when(lambda s: s["feeds"]["mark_price"]["state"] == "live", within_s=10)
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert verdict.holes_of("stale")
    assert {row["status"] for row in collector.rows("status")} >= {"stale", "fresh"}


async def test_when_one_channel_falls_silent_it_alone_is_subscribed_anew(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures", feeds=["mark_price", "trades", "ob_diffs"]) as (sim, collector):
        await collector.synced()
        await collector.when(lambda s: s["feeds"].get("mark_price", {}).get("journalled", 0) > 2)
        before = await sim.counts()
        fault = await sim.fault("stall:feed=mark_price,symbol=BTCUSDT")
        await collector.line("channel is silent", within_s=10)
        await sim.lift(fault)
        await collector.when(lambda s: s["feeds"]["mark_price"]["state"] == "live", within_s=10)
        assert await collector.metric("resubscribes_total") == 1
        assert (await sim.counts())["sockets"] == before["sockets"]
        verdict = await finish(sim, collector)
    said = {(row["instrument"], row["feed"], row["status"]) for row in collector.rows("status")}

    assert verdict.is_clean, verdict.text()
    assert [line["channel"] for line in collector.said("channel is silent")] == ["btcusdt@markPrice@1s"]
    assert ("BTCUSDT", "mark_price", "stale") in said
    assert ("BTCUSDT", "mark_price", "fresh") in said
    assert not [row for row in said if row[2] == "stale" and row[:2] != ("BTCUSDT", "mark_price")]
    assert {(h.instrument, h.feed) for h in verdict.holes if h.reason == "stale"} == {("BTCUSDT", "mark_price")}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_half_open_socket_is_found_out_although_no_channel_has_a_deadline(tmp_path: Path, library: str) -> None:
    """Trades may be silent for ever, so only a ping that nobody answers tells."""
    async with plane(tmp_path, "binance_futures", library=library, feeds=["trades"]) as (sim, collector):
        await collector.when(lambda s: s["feeds"].get("trades", {}).get("journalled", 0) > 20)
        await sim.fault("half_open")
        await collector.line("ping not answered", within_s=12)
        await collector.when(lambda s: s["sockets"]["connects"] == 2 and s["feeds"]["trades"]["state"] == "live")
        await asyncio.sleep(0.5)
        verdict = await finish(sim, collector)

    assert verdict.is_clean, verdict.text()
    assert [line for line in verdict.covered if line.fault == "half_open"] or verdict.holes_of("disconnect", "sequence")


async def test_a_socket_that_is_refused_is_tried_again_with_growing_patience(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_spot") as (sim, collector):
        await collector.synced()
        fault = await sim.fault("refuse:code=503")
        await sim.fault("cut")

        async def refused() -> bool:
            return len(collector.said("connect failed")) >= 3

        await until(refused, 15)
        await sim.lift(fault)
        await collector.when(lambda s: s["sockets"]["connected"] == 1, within_s=15)
        await collector.synced()
        await asyncio.sleep(0.5)
        verdict = await finish(sim, collector)
    failed = collector.said("connect failed")

    assert verdict.is_clean, verdict.text()
    assert {line["error"] for line in failed if "Refused" not in line["error"]} == {"http 503"}
    assert all(line["retry_in_s"] <= 0.5 * 2**n for n, line in enumerate(failed, start=1))


async def test_a_venue_that_takes_sockets_and_drops_them_meets_no_storm(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_spot") as (sim, collector):
        await collector.synced()
        before = (await sim.counts())["sockets"]
        await sim.fault("cut:age=1ms,for=4s")
        await asyncio.sleep(4.0)
        opened = (await sim.counts())["sockets"] - before
        await collector.when(lambda s: s["sockets"]["connected"] == 1, within_s=25)
        verdict = await finish(sim, collector)

    assert 2 <= opened <= 15
    assert verdict.is_clean, verdict.text()


async def test_it_stops_within_two_seconds_with_every_socket_open(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures", rate=500, instruments=4) as (_, collector):
        await collector.synced(4)
        took_s = await collector.stop()
        status = collector.final_status()

    assert took_s < 2.0
    assert_books_balance(status)
    assert all(account["buffered"] == 0 == account["held"] for account in status["feeds"].values())
    assert {row["status"] for row in collector.rows("status")} >= {"synced", "stopped"}
