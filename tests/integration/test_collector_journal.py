"""The way to the disk: kills, restarts, a full disk, a small budget. What was accepted stays, what is missing is declared, nothing is told twice."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from feedplane_journal.rows import row_dicts
from feedplane_journal.segments import CursorStore, JournalReader, Position
from feedplane_testing.collector import Collector, Process, Sim, assert_books_balance, finish, plane, verdict_of

LIBRARIES = ("websockets", "picows")


async def again(sim: Sim, directory: Path, **options: Any) -> Collector:
    """Another process on the same journal; it must be up within three seconds."""
    began = time.monotonic()
    follower = Collector(sim, directory, **options)
    await follower.start()
    assert time.monotonic() - began < 3.0
    return follower


@pytest.mark.parametrize("exchange", ["binance_futures", "binance_spot", "coinbase"])
async def test_after_a_kill_the_hole_is_a_row_and_nothing_is_told_twice(tmp_path: Path, exchange: str) -> None:
    moments = random.Random(exchange)
    feeds = ["trades", "l1", "ob_diffs", "klines"]
    async with plane(tmp_path, exchange, feeds=feeds, rate=400) as (sim, first):
        collector = first
        await collector.synced()
        for _ in range(3):
            await asyncio.sleep(0.4 + moments.random())
            await collector.kill()
            collector = await again(sim, tmp_path, feeds=feeds)
            await collector.synced()
        await asyncio.sleep(0.7)
        try:
            verdict = await finish(sim, collector)
        finally:
            await collector.end()
    restarts = verdict.holes_of("restart")

    assert verdict.is_clean, verdict.text()
    assert {hole.feed for hole in restarts} >= {"trades", "ob_diffs"}
    assert all(hole.to_ns is not None for hole in restarts if hole.feed in ("trades", "ob_diffs"))
    assert max((hole.to_ns or 0) - hole.from_ns for hole in restarts if hole.feed == "trades") < 5_000_000_000


async def test_a_stop_and_a_start_declare_what_was_between(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures") as (sim, first):
        await first.synced()
        await asyncio.sleep(0.5)
        assert await first.stop() < 2.0
        stopped = first.final_status()["feeds"]["trades"]["journalled"]
        second = await again(sim, tmp_path)
        try:
            await second.synced()
            account = (await second.status())["feeds"]["trades"]
            await asyncio.sleep(0.3)
            verdict = await finish(sim, second)
        finally:
            await second.end()

    assert verdict.is_clean, verdict.text()
    assert account["journalled"] >= stopped  # the account goes on where the journal ends
    assert [hole for hole in verdict.holes_of("restart") if hole.feed == "trades" and hole.from_seq is not None]


async def test_a_second_collector_on_the_same_journal_refuses_to_start(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures") as (sim, first):
        await first.synced()
        second = Collector(sim, tmp_path)
        try:
            await Process.start(second)
            assert await second.wait() == 1
        finally:
            await second.end()
        verdict = await finish(sim, first)

    assert verdict.is_clean, verdict.text()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_on_a_full_disk_it_sheds_declares_and_recovers_by_itself(tmp_path: Path, library: str) -> None:
    async with plane(tmp_path, "binance_futures", library=library) as (sim, collector):
        await collector.synced()
        await asyncio.sleep(0.5)
        _, hard = resource.prlimit(collector.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (1, hard))
        status = await collector.when(lambda s: s["journal"]["disk_full"])
        assert status["journal"]["pressure"] == "full"
        await asyncio.sleep(1.0)
        assert_books_balance(await collector.status())
        resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await collector.when(lambda s: not s["journal"]["disk_full"] and s["journal"]["pressure"] == "none")
        await asyncio.sleep(0.7)
        status = await collector.status()
        verdict = await finish(sim, collector)
    shed = [hole for hole in verdict.holes if hole.reason == "shed"]

    assert verdict.is_clean, verdict.text()
    assert {hole.feed for hole in shed} >= {"trades", "l1", "ob_diffs"}
    assert status["feeds"]["trades"]["shed"] > 0
    assert status["sockets"]["disconnects"] == 0


async def test_killed_on_a_full_disk_it_declares_what_was_shed(tmp_path: Path) -> None:
    """Positions must not run ahead of the gap rows of what was shed."""
    async with plane(tmp_path, "binance_futures") as (sim, first):
        await first.synced()
        await asyncio.sleep(0.5)
        _, hard = resource.prlimit(first.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (1, hard))
        await first.when(lambda s: s["journal"]["disk_full"])
        await asyncio.sleep(0.5)
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await first.when(lambda s: not s["journal"]["disk_full"])
        await asyncio.sleep(0.05)
        await first.kill()
        second = await again(sim, tmp_path)
        try:
            await second.synced()
            await asyncio.sleep(0.3)
            verdict = await finish(sim, second)
        finally:
            await second.end()

    assert verdict.is_clean, verdict.text()


async def test_it_stops_in_time_although_the_disk_is_full(tmp_path: Path) -> None:
    async with plane(tmp_path, "binance_futures") as (sim, collector):
        await collector.synced()
        await asyncio.sleep(0.3)
        _, hard = resource.prlimit(collector.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (1, hard))
        await collector.when(lambda s: s["journal"]["disk_full"])
        assert await collector.stop() < 2.0
        await sim.stop()
        verdict = verdict_of(sim, collector)

    assert not verdict.duplicated
    assert not verdict.invented
    assert collector.said("journal full, shedding")


async def test_within_a_small_budget_diffs_go_first_and_trades_stay(tmp_path: Path) -> None:
    """Nobody reads, so the journal fills: book diffs are shed, then quotes, and the oldest unread rows go last; all of it declared."""
    async with plane(tmp_path, "binance_futures", rate=1500, instruments=3, max_bytes=1 << 20) as (sim, collector):
        await collector.synced(3)
        status = await collector.when(lambda s: s["feeds"]["ob_diffs"]["shed"] > 0, within_s=30)
        assert status["feeds"]["trades"]["shed"] == 0
        await asyncio.sleep(2.0)
        assert_books_balance(await collector.status())
        total = sum(path.stat().st_size for path in collector.journal.glob("*.fpj"))
        assert total <= 1.1 * (1 << 20)
        sink = Sink(collector.journal)
        sink.read()
        await collector.when(lambda s: s["journal"]["pressure"] == "none", within_s=10)
        await collector.synced(3)
        await asyncio.sleep(0.5)
        await sim.stop()
        await asyncio.sleep(0.2)
        assert await collector.stop() < 2.0
        assert_books_balance(collector.final_status())
        sink.read()
        verdict = verdict_of(sim, collector, rows=sink.rows)
    shed = [hole for hole in verdict.holes if hole.reason == "shed"]

    assert verdict.is_clean, verdict.text()
    assert {hole.feed for hole in shed} >= {"ob_diffs"}


class Sink:
    """What a writer does: read on from where it was, and say so."""

    def __init__(self, journal: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        self._journal = journal
        self._cursor: Position | None = None

    def read(self) -> None:
        reader, store = JournalReader(self._journal), CursorStore(self._journal, "redis")
        while reads := reader.read(self._cursor):
            for read in reads:
                self.rows += row_dicts(read.record_type, read.batch)
            self._cursor = reads[-1].end
        reader.close()
        store.load()
        assert self._cursor is not None
        store.save(self._cursor)
        store.close()
