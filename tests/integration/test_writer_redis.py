"""The Redis writer against real servers: what a reader finds, also while servers die, move slots, run full and change their password.

Everything is real: journals on disk, the writer as it runs in its process, `redis-server` standalone and as a cluster of six.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from feedplane_core.events import (
    AdvancedMetric,
    BookTop,
    Event,
    FundingRate,
    Gap,
    Kline,
    MarkPrice,
    OpenInterest,
    Status,
    TopOfBook,
    Trade,
)
from feedplane_core.names import NS_PER_S, Aggressor, Feed, KeyStyle, MarketType, Mode, hot_key, trades_key
from feedplane_journal.columns import Columns
from feedplane_journal.cursors import read_cursor
from feedplane_journal.segments import JournalWriter, SegmentMeta
from feedplane_ops.health import Health
from feedplane_ops.metrics import Metrics
from feedplane_ops.signals import StopSignal
from feedplane_testing.journals import AMPLE, UnsyncedFiles
from feedplane_testing.redis import RedisCluster, RedisServer, call, node_id, wait_until
from feedplane_writer.config import RedisConfig, WriterConfig
from feedplane_writer.redis_sink.main import RedisWriter
from feedplane_writer.redis_sink.slots import slot_of
from feedplane_writer.redis_sink.tail import Candidate
from feedplane_writer.runtime import Runtime

EXCHANGE = "binance_futures"


class Venue:
    """A collector's journal: events go in as groups, stamped by a clock that never repeats."""

    def __init__(self, path: Path, mode: Mode = Mode.LIVE, exchange: str = EXCHANGE) -> None:
        self.path = path
        self.exchange = exchange
        self.last_ns = 0
        meta = SegmentMeta(exchange=exchange, mode=mode, feedset="majors", shard=0)
        self.writer = JournalWriter(path, meta=meta, budget=AMPLE, clock_ns=time.time_ns, files=UnsyncedFiles())
        self.writer.open()

    def head(self, instrument: str) -> dict[str, Any]:
        self.last_ns = max(time.time_ns(), self.last_ns + 1)
        return {
            "exchange": self.exchange,
            "market_type": MarketType.PERP_LINEAR,
            "instrument": instrument,
            "ts_event_ns": None,
            "ts_recv_ns": self.last_ns,
        }

    def quote(self, seq: int, instrument: str = "ETHUSDT") -> TopOfBook:
        return TopOfBook(
            **self.head(instrument),
            bid_price=f"{seq}.5",
            bid_qty="1.10",
            ask_price=f"{seq + 1}.5",
            ask_qty="2",
            seq=seq,
        )

    def trade(self, number: int, instrument: str = "ETHUSDT") -> Trade:
        return Trade(
            **self.head(instrument), trade_id=str(number), price=f"{number}.25", qty="0.10", aggressor=Aggressor.SELL
        )

    def status(self, status: str, feed: Feed | None, instrument: str = "ETHUSDT") -> Status:
        return Status(**self.head(instrument), status_feed=feed, status=status)

    def say(self, *events: Event, last: tuple[str, str] | None = None) -> None:
        """One group commit."""
        columns = Columns(self.exchange)
        for event in events:
            columns.append(event, *(last or ()))
        taken = columns.take()
        assert taken.refused == []
        self.writer.append(taken.batches)
        self.writer.commit()


@asynccontextmanager
async def writing(
    endpoints: Sequence[str], *journals: Path, mode: str = "Standalone", drain_s: float = 2.0, **options: Any
) -> AsyncIterator[RedisWriter]:
    """The writer as `main.run` runs it."""
    config = RedisConfig(mode=mode, endpoints=tuple(endpoints), **options)  # type: ignore[arg-type]
    stop = StopSignal()
    runtime = Runtime(
        config=WriterConfig(redis=config),
        stop=stop,
        metrics=Metrics("writer"),
        health=Health(),
        set_status=lambda answer: None,
        journal_paths=journals,
        journal_root=None,
    )
    writer = RedisWriter(config, runtime)
    await writer.start()
    serving = asyncio.create_task(writer.serve())
    try:
        yield writer
        stop.request("test")
        await asyncio.wait_for(serving, 10)
        await writer.drain(int(drain_s * NS_PER_S))
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await writer.close()
        runtime.metrics.close()


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """As `wait_until`, while the writer goes on."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if value := condition():
                return value
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "condition not met in time"
        await asyncio.sleep(0.01)


def account(writer: RedisWriter) -> dict[str, dict[str, int]]:
    for tail in writer.tails.values():
        tail.settle()
        return tail.account.rows()
    return {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return Venue(tmp_path / "journal")


L1 = hot_key("l1", EXCHANGE, "ETHUSDT")


# What a reader finds


@pytest.mark.parametrize("style", KeyStyle)
async def test_every_kind_of_value_is_readable_under_its_key(
    server: RedisServer, venue: Venue, style: KeyStyle
) -> None:
    head = venue.head("ETHUSDT")
    levels = [[f"{100 - i}.10", f"{i + 1}.000"] for i in range(20)]
    asks = [[f"{101 + i}", "0.000000000000000001"] for i in range(3)]
    metrics: dict[str, Any] = dict.fromkeys(
        ("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20"), "-0.50"
    )
    venue.say(venue.quote(7), last=("99.10", "3"))
    venue.say(
        venue.trade(1),
        BookTop(**head, depth=5, bids=levels[:5], asks=asks, seq=9),
        BookTop(**head, depth=20, bids=levels, asks=asks, seq=9),
        MarkPrice(**head, mark_price="100.010", index_price=None),
        MarkPrice(**head | {"ts_event_ns": 5}, mark_price=None, index_price="100.02"),
        FundingRate(**head, rate="-0.00010", interval_s=28_800, next_funding_ns=1_800_000_000 * NS_PER_S),
        OpenInterest(**head, open_interest="12345678901234567890.5"),
        AdvancedMetric(**head, **metrics, trade_imb_1s="0", seq=9),
    )
    client: Any = server.client()

    async with writing([server.endpoint], venue.path, key_style=style) as writer:
        await until(lambda: len(client.keys()) == 8)
        await until(lambda: account(writer)["trades"]["pending"] == 0)

    def read(kind: str) -> dict[str, str]:
        found = dict(client.hgetall(hot_key(kind, EXCHANGE, "ETHUSDT", style)))
        assert len(found.pop("owner")) == 13
        return found

    base = {"ts_event_ns": "", "ts_recv_ns": str(head["ts_recv_ns"]), "state": "synced"}
    l1 = read("l1")
    assert l1.pop("ts_recv_ns").isdigit()
    assert l1 == {
        "bid_px": "7.5", "bid_sz": "1.1", "ask_px": "8.5", "ask_sz": "2", "last_px": "99.1", "last_sz": "3",
        "ts_event_ns": "", "seq": "7", "state": "synced",
    }  # fmt: skip
    top5 = read("top5")
    assert len(top5) == 24
    assert (top5["b1_px"], top5["b5_sz"], top5["a3_px"], top5["a3_sz"]) == ("100.1", "5", "103", "0.000000000000000001")
    assert (top5["a4_px"], top5["a5_sz"], top5["seq"]) == ("0", "0", "9")
    top20 = read("top20")
    assert (len(top20), top20["b20_px"], top20["a20_px"]) == (84, "81.1", "0")
    assert read("mark") == base | {"ts_event_ns": "5", "seq": "", "mark_px": "100.01", "index_px": "100.02"}
    assert read("funding") == base | {"seq": "", "funding_rate": "-0.0001", "next_funding_ts_ns": "1800000000000000000"}
    assert read("oi") == base | {"seq": "", "open_interest": "12345678901234567890.5"}
    assert read("adv") == base | {"seq": "9", **dict.fromkeys(metrics, "-0.5"), "trade_imb_1s": "0"}
    ((id_, trade),) = client.xrange(trades_key(EXCHANGE, "ETHUSDT", style))
    assert id_.split("-")[0] == str(int(trade["ts_recv_ns"]) // 1_000_000)
    assert {k: trade[k] for k in ("px", "qty", "side", "trade_id", "ts_event_ns", "seq", "state")} == {
        "px": "1.25", "qty": "0.1", "side": "sell", "trade_id": "1", "ts_event_ns": "", "seq": "", "state": "synced",
    }  # fmt: skip
    assert all(client.ttl(key) > 86_000 for key in client.scan_iter())


async def test_values_are_conflated_and_every_row_is_accounted(server: RedisServer, venue: Venue) -> None:
    for group in range(20):
        venue.say(*(venue.quote(group * 100 + i, f"SYM{i % 5}") for i in range(100)))
    venue.say(*(venue.trade(i) for i in range(50)))
    head = venue.head("ETHUSDT")
    candle: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close", "volume"), "1")
    venue.say(Kline(**head, open_ns=0, interval_s=60, trades=None, is_closed=True, **candle))
    client: Any = server.client()

    async with writing([server.endpoint], venue.path) as writer:
        await until(lambda: all(row["pending"] == 0 for row in account(writer).values()) and account(writer))
        rows = account(writer)
        (tail,) = writer.tails.values()

        assert {feed: row["written"] for feed, row in rows.items()} == {"l1": 2_000, "trades": 50, "klines": 1}
        assert tail.account.stored()["trades"] == 50
        assert tail.account.stored()["l1"] + tail.books.superseded["l1"] == 2_000
        assert tail.account.stored()["l1"] < 200
        assert {client.hget(hot_key("l1", EXCHANGE, f"SYM{i}"), "seq") for i in range(5)} == {
            str(1_995 + i) for i in range(5)
        }


async def test_stream_keeps_the_newest_thousand_in_order(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()

    async with writing([server.endpoint], venue.path, max_rows=100):
        for group in range(30):
            venue.say(*(venue.trade(group * 100 + i) for i in range(100)))
            await asyncio.sleep(0.005)
        await until(lambda: client.xrevrange(trades_key(EXCHANGE, "ETHUSDT"), count=1)[0][1]["trade_id"] == "2999")

    ids = [int(entry["trade_id"]) for _, entry in client.xrange(trades_key(EXCHANGE, "ETHUSDT"))]
    assert ids == list(range(3_000 - len(ids), 3_000))
    assert 1_000 <= len(ids) <= 1_200


async def test_trades_that_share_a_receive_time_are_all_kept(server: RedisServer, venue: Venue) -> None:
    head = venue.head("ETHUSDT")
    trades = [Trade(**head, trade_id=str(i), price="1", qty="1", aggressor=Aggressor.BUY) for i in range(5)]
    client: Any = server.client()

    async with writing([server.endpoint], venue.path):
        venue.say(*trades[:3])
        await until(lambda: client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 3)
        venue.say(*trades[3:])
        await until(lambda: client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 5)


async def test_fresh_values_arrive_within_fifty_milliseconds(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()

    async with writing([server.endpoint], venue.path) as writer:
        venue.say(venue.quote(1))
        await until(lambda: client.exists(L1))  # modules loaded, connection made
        writer.measures.freshness.clear()
        for group in range(100):  # 2,000 messages a second in groups of 15 ms
            venue.say(*(venue.quote(group * 30 + i, f"SYM{i}") for i in range(30)))
            await asyncio.sleep(0.015)
        await until(lambda: client.hget(hot_key("l1", EXCHANGE, "SYM29"), "seq") == str(99 * 30 + 29))

        histogram = writer.measures.freshness.at("l1")
        assert histogram.count > 2_000
        assert histogram.percentile_ns(0.95) < 50_000_000  # p99 on a machine that does nothing else: bench/


# How far it can be trusted


@pytest.mark.parametrize("mode", [Mode.SIM, Mode.REPLAY])
async def test_simulated_and_replayed_values_never_pass_for_live(
    server: RedisServer, tmp_path: Path, mode: Mode
) -> None:
    venue = Venue(tmp_path / "journal", mode)
    client: Any = server.client()

    async with writing([server.endpoint], venue.path):
        venue.say(venue.quote(1), venue.trade(1))
        await until(lambda: client.hget(L1, "state") == mode.value)
        venue.say(venue.status("stale", Feed.L1))
        await until(lambda: client.hget(L1, "state") == f"{mode}-stale")
        venue.say(venue.status("fresh", Feed.L1))
        await until(lambda: client.hget(L1, "state") == mode.value)

    assert client.xrange(trades_key(EXCHANGE, "ETHUSDT"))[0][1]["state"] == mode.value


async def test_statuses_and_open_holes_mark_the_values_of_their_feed(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()
    adv = hot_key("adv", EXCHANGE, "ETHUSDT")
    metrics: dict[str, Any] = dict.fromkeys(
        ("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20", "trade_imb_1s"), "1"
    )

    def states() -> tuple[str, str]:
        return client.hget(L1, "state"), client.hget(adv, "state")

    def gap(feed: Feed, state: str) -> Gap:
        head = venue.head("ETHUSDT")
        return Gap(
            **head, gap_id="g", gap_feed=feed, from_ns=head["ts_recv_ns"], to_ns=None, reason="disconnect", state=state
        )

    async with writing([server.endpoint], venue.path):
        venue.say(venue.quote(1), AdvancedMetric(**venue.head("ETHUSDT"), **metrics, seq=1))
        await until(lambda: states() == ("synced", "synced"))
        venue.say(venue.status("resync", Feed.OB_DIFFS))
        await until(lambda: states() == ("synced", "resync"))
        venue.say(venue.status("synced", Feed.OB_DIFFS))
        await until(lambda: states() == ("synced", "synced"))
        venue.say(gap(Feed.L1, "open"))
        await until(lambda: states() == ("stale", "synced"))
        venue.say(venue.quote(2))  # news of the feed
        await until(lambda: states() == ("synced", "synced") and client.hget(L1, "seq") == "2")
        venue.say(venue.status("stale", Feed.OB_DIFFS))
        await until(lambda: states() == ("synced", "stale"))
        venue.say(AdvancedMetric(**venue.head("ETHUSDT"), **metrics, seq=2))  # sampled from a book that hears nothing
        await until(lambda: client.hget(adv, "seq") == "2")
        assert states() == ("synced", "stale")
        venue.say(venue.status("stopped", None))
        await until(lambda: states() == ("stale", "stale"))


async def test_a_silent_journal_makes_its_values_stale_and_data_brings_them_back(
    server: RedisServer, venue: Venue
) -> None:
    client: Any = server.client()
    funding = hot_key("funding", EXCHANGE, "ETHUSDT")

    def states() -> tuple[str, str]:
        return client.hget(L1, "state"), client.hget(funding, "state")

    def rate() -> FundingRate:
        return FundingRate(**venue.head("ETHUSDT"), rate="0.01", interval_s=None, next_funding_ns=None)

    async with writing([server.endpoint], venue.path, stale_after_ns=NS_PER_S) as writer:
        venue.say(venue.quote(1), rate())
        await until(lambda: states() == ("synced", "synced"))
        await until(lambda: states() == ("stale", "stale"))
        venue.say(venue.quote(2))
        await until(lambda: states() == ("synced", "synced"))  # the same collector: its slow feeds are fine as well

        await until(lambda: states() == ("stale", "stale"))
        venue.writer.close()
        venue = Venue(venue.path)
        venue.say(venue.quote(3))
        await until(lambda: client.hget(L1, "seq") == "3")
        await asyncio.sleep(0.1)
        assert states() == ("synced", "stale")  # another collector: each feed has to speak for itself
        venue.say(rate())
        await until(lambda: states() == ("synced", "synced"))
        assert not next(iter(writer.tails.values())).is_silent


async def test_what_a_dead_collector_left_is_marked_by_a_writer_that_starts_after_it(
    server: RedisServer, venue: Venue
) -> None:
    client: Any = server.client()
    venue.say(venue.quote(1))
    async with writing([server.endpoint], venue.path):
        await until(lambda: client.hget(L1, "state") == "synced")

    async with writing([server.endpoint], venue.path, stale_after_ns=NS_PER_S):
        await until(lambda: client.hget(L1, "state") == "stale")


# Starting again


async def test_a_backlog_is_passed_over_to_the_newest_value_and_accounts_go_on(
    server: RedisServer, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedplane_writer.redis_sink.tail.BACKLOG_BYTES", 100_000)
    client: Any = server.client()
    venue.say(*(venue.quote(i) for i in range(100)))
    async with writing([server.endpoint], venue.path):
        await until(lambda: client.hget(L1, "seq") == "99")
    for group in range(100):
        venue.say(*(venue.quote(100 + group * 100 + i) for i in range(100)), venue.trade(group))
    commands_before = client.info("commandstats")["cmdstat_evalsha"]["calls"]

    async with writing([server.endpoint], venue.path) as writer:
        await until(lambda: client.hget(L1, "seq") == "10099")
        await until(lambda: all(account(writer)[feed]["pending"] == 0 for feed in ("l1", "trades")))
        assert account(writer)["l1"]["written"] == 10_100
        assert account(writer)["trades"]["written"] == 100
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - commands_before < 20
    assert client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 100


async def test_accounts_survive_a_crash_at_any_moment(server: RedisServer, venue: Venue) -> None:
    def no_write(candidate: Candidate) -> None:
        return

    client: Any = server.client()
    issued = 0
    for _ in range(3):
        async with writing([server.endpoint], venue.path, drain_s=0) as writer:
            for _ in range(80):
                venue.say(*(venue.quote(issued + i) for i in range(10)))
                issued += 10
                await asyncio.sleep(0.015)
            for tail in writer.tails.values():  # as after SIGKILL: what was saved a moment ago is all there is
                tail.write = no_write  # type: ignore[method-assign]

    cursor = read_cursor(venue.path / "cursors" / "redis.json")
    assert cursor is not None
    assert 0 < cursor.extra["written"]["l1"] < issued
    async with writing([server.endpoint], venue.path) as writer:
        await until(lambda: account(writer).get("l1", {}).get("journalled", 0) >= issued)
        await until(lambda: account(writer)["l1"]["pending"] == 0)
        assert account(writer)["l1"] == {
            "journalled": issued,
            "written": issued,
            "quarantined": 0,
            "lost": 0,
            "pending": 0,
        }
        assert client.hget(L1, "seq") == str(issued - 1)


# Never backwards


async def test_a_writer_with_older_data_never_moves_a_key_backwards(server: RedisServer, tmp_path: Path) -> None:
    old, new = Venue(tmp_path / "old"), Venue(tmp_path / "new")
    old.say(old.quote(1), old.trade(1))
    new.say(new.quote(2), new.trade(2))
    client: Any = server.client()
    async with writing([server.endpoint], new.path):
        await until(lambda: client.hget(L1, "seq") == "2")

    async with writing([server.endpoint], old.path) as writer:
        await until(lambda: account(writer) and all(row["pending"] == 0 for row in account(writer).values()))
        assert client.hget(L1, "seq") == "2"
        assert [t["trade_id"] for _, t in client.xrange(trades_key(EXCHANGE, "ETHUSDT"))] == ["2"]
        old.say(old.quote(3))  # the old pod lives on and is ahead now
        await until(lambda: client.hget(L1, "seq") == "3")


async def test_a_stalled_server_gets_the_newest_value_and_every_trade_once(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()
    stream = trades_key(EXCHANGE, "ETHUSDT")
    async with writing([server.endpoint], venue.path) as writer:
        venue.say(venue.quote(0), venue.trade(0))
        await until(lambda: client.xlen(stream) == 1)
        server.pause()
        for number in range(1, 40):  # some of these are in flight when the writer loses patience
            venue.say(venue.quote(number), venue.trade(number))
            await asyncio.sleep(0.05)
        assert writer.store.counts.unknown > 0
        server.resume()
        seen: list[int] = []
        while not seen or seen[-1] != 39:
            seen.append(int(client.hget(L1, "seq")))
            await asyncio.sleep(0.001)

        assert seen == sorted(seen)
        await until(lambda: client.xlen(stream) == 40)
        await until(lambda: account(writer)["trades"]["pending"] == 0)
        assert [int(t["trade_id"]) for _, t in client.xrange(stream)] == list(range(40))


@pytest.mark.parametrize("last", [(), (2,)], ids=["word alone", "value and word"])
async def test_a_writer_that_leaves_marks_nothing_that_another_keeps_fresh(
    server: RedisServer, tmp_path: Path, last: tuple[int, ...]
) -> None:
    """Two pods of a rollout: both have heard of the one value there was, which of them received it later is chance."""
    client: Any = server.client()
    for order in ("older", "newer"):
        old, new = Venue(tmp_path / order / "old"), Venue(tmp_path / order / "new")
        first, second = (old, new) if order == "older" else (new, old)
        first.last_ns = time.time_ns()
        second.last_ns = first.last_ns + 1_000_000
        old.say(old.quote(1))
        async with writing([server.endpoint], old.path):
            await until(lambda: client.hget(L1, "seq") == "1")
            await asyncio.sleep(0.01)
            new.say(new.quote(1))
            async with writing([server.endpoint], new.path) as successor:
                await until(lambda: account(successor).get("l1", {}).get("pending") == 0)
                new.say(new.status("resync", Feed.L1))
                await until(lambda: client.hget(L1, "state") == "resync")  # its own trouble it does tell
                new.say(new.status("synced", Feed.L1))
                await until(lambda: client.hget(L1, "state") == "synced")
                old.last_ns = new.last_ns + 1_000
                old.say(*(old.quote(seq) for seq in last), old.status("stopped", None))
                await until(lambda: client.hget(L1, "seq") == ("2" if last else "1"))
                await asyncio.sleep(0.8)
                assert client.hget(L1, "state") == "synced"
                new.last_ns = old.last_ns
                new.say(new.status("stopped", None))
                await until(lambda: client.hget(L1, "state") == "stale")
        old.writer.close()
        new.writer.close()
        client.delete(L1)


async def test_a_successor_that_has_nothing_yet_has_no_say(server: RedisServer, tmp_path: Path) -> None:
    client: Any = server.client()
    old, new = Venue(tmp_path / "old"), Venue(tmp_path / "new")
    async with writing([server.endpoint], old.path):
        old.say(old.quote(1))
        await until(lambda: client.hget(L1, "seq") == "1")
        async with writing([server.endpoint], new.path) as successor:
            new.last_ns = old.last_ns + 1_000
            new.say(new.status("resync", Feed.L1))
            await until(lambda: account(successor).get("status", {}).get("pending") == 0)
            await asyncio.sleep(0.2)
            assert client.hget(L1, "state") == "synced"
    old.writer.close()
    new.writer.close()


async def test_a_clock_that_ran_ahead_does_not_freeze_keys(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()
    ahead_ns = time.time_ns() + 3_600 * NS_PER_S
    client.hset(L1, mapping={"ts_recv_ns": str(ahead_ns), "seq": "9", "state": "synced"})
    client.xadd(trades_key(EXCHANGE, "ETHUSDT"), {"px": "1"}, id=f"{ahead_ns // 1_000_000}-0")

    async with writing([server.endpoint], venue.path):
        venue.say(venue.quote(1), venue.trade(1))
        await until(lambda: client.hget(L1, "seq") == "1")
        venue.say(venue.trade(2))
        await until(lambda: [t.get("trade_id") for _, t in client.xrange(trades_key(EXCHANGE, "ETHUSDT"))] == ["2"])


# Servers in trouble


async def test_scripts_are_loaded_again_after_a_flush(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()
    async with writing([server.endpoint], venue.path) as writer:
        venue.say(venue.quote(1))
        await until(lambda: client.hget(L1, "seq") == "1")
        client.script_flush()
        venue.say(venue.quote(2))
        await until(lambda: client.hget(L1, "seq") == "2")
        assert writer.store.counts.errors["NOSCRIPT"] >= 1
        assert writer.store.counts.connects == 1


async def test_a_key_of_the_wrong_type_is_replaced_once(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()
    stream = trades_key(EXCHANGE, "ETHUSDT")
    client.set(L1, "not a hash")
    client.rpush(stream, "not a stream")
    async with writing([server.endpoint], venue.path) as writer:
        venue.say(venue.quote(1), *(venue.trade(i) for i in range(5)))
        await until(lambda: client.type(L1) == "hash" and client.type(stream) == "stream")
        await until(lambda: client.xlen(stream) == 5)
        client.set(L1, "again")  # somebody fights for the key: it is not deleted a second time
        venue.say(venue.quote(2))
        await until(lambda: account(writer)["l1"]["written"] == 2)

        assert client.get(L1) == "again"
        assert writer.store.counts.errors["WRONGTYPE"] >= 3


async def test_a_full_server_is_waited_out_and_then_gets_the_newest(server: RedisServer, venue: Venue) -> None:
    client: Any = server.client()
    stream = trades_key(EXCHANGE, "ETHUSDT")
    async with writing([server.endpoint], venue.path) as writer:
        venue.say(venue.quote(1))
        await until(lambda: client.hget(L1, "seq") == "1")
        client.config_set("maxmemory", "1")
        for number in range(2, 30):
            venue.say(venue.quote(number), venue.trade(number))
            await asyncio.sleep(0.02)
        assert client.hget(L1, "seq") == "1"
        assert 0 < writer.store.counts.errors["OOM"] < 300  # backs off
        assert writer.store.trouble(time.monotonic_ns())
        client.config_set("maxmemory", "0")
        await until(lambda: client.hget(L1, "seq") == "29" and client.xlen(stream) == 28)
        await until(lambda: writer.store.trouble(time.monotonic_ns()) is None)
        await until(lambda: account(writer)["l1"]["pending"] == 0)  # the answers are on their way


async def test_a_rotated_password_is_read_again(tmp_path: Path, venue: Venue) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    with RedisServer(tmp_path / "redis", "--requirepass", "first") as server:
        async with writing([server.endpoint], venue.path, password_file=secret) as writer:
            venue.say(venue.quote(1))
            admin: Any = server.client(password="first")
            await until(lambda: admin.hget(L1, "seq") == "1")
            admin.config_set("requirepass", "second")
            admin.client_kill_filter(_type="normal", skipme=True)
            venue.say(venue.quote(2))
            await until(lambda: "WRONGPASS" in (writer.store.trouble(time.monotonic_ns()) or (0, ""))[1])
            secret.write_text("second\n")
            await until(lambda: admin.hget(L1, "seq") == "2")


async def test_a_server_that_comes_back_empty_gets_every_key_again(server: RedisServer, venue: Venue) -> None:
    funding = hot_key("funding", EXCHANGE, "ETHUSDT")
    async with writing([server.endpoint], venue.path) as writer:
        rate = FundingRate(**venue.head("ETHUSDT"), rate="0.01", interval_s=None, next_funding_ns=None)
        venue.say(rate, *(venue.quote(i, f"SYM{i}") for i in range(300)))
        await until(lambda: server.client().dbsize() == 301)
        server.pause()
        venue.say(venue.quote(1_000, "SYM0"), venue.trade(1), venue.trade(2))
        await asyncio.sleep(0.1)  # sent, and never answered
        server.kill()
        await asyncio.sleep(0.2)
        server.start()
        client: Any = server.client()
        await until(lambda: client.dbsize() == 302, 5)
        await until(lambda: [t["trade_id"] for _, t in client.xrange(trades_key(EXCHANGE, "ETHUSDT"))] == ["1", "2"])
        assert client.hget(funding, "funding_rate") == "0.01"
        assert client.hget(hot_key("l1", EXCHANGE, "SYM0"), "seq") == "1000"
        await until(lambda: account(writer)["l1"]["pending"] == 0)  # the answers are on their way


async def test_an_outage_holds_no_more_than_the_keys_and_a_thousand_trades(server: RedisServer, venue: Venue) -> None:
    async with writing([server.endpoint], venue.path) as writer:
        venue.say(venue.quote(0))
        await until(lambda: account(writer).get("l1", {}).get("pending") == 0)
        server.kill()
        for group in range(40):
            venue.say(
                *(venue.quote(group * 100 + i) for i in range(100)), *(venue.trade(group * 100 + i) for i in range(100))
            )
        (tail,) = writer.tails.values()
        await until(lambda: account(writer).get("trades", {}).get("journalled") == 4_000)
        assert tail.books.open_rows <= 1_002  # one quote due, one perhaps in flight
        server.start()
        client: Any = server.client()
        await until(lambda: client.hget(L1, "seq") == "3999")
        await until(lambda: client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 1_000)
        assert tail.books.superseded["trades"] == 3_000


async def test_a_cluster_that_the_settings_call_one_server_is_said_to_be_wrong(
    clean: RedisCluster, venue: Venue
) -> None:
    async with writing(clean.endpoints[:1], venue.path, drain_s=0) as writer:
        venue.say(*(venue.quote(i, f"SYM{i}") for i in range(30)))
        trouble = await until(lambda: writer.store.trouble(time.monotonic_ns()))
        assert trouble[1] == "MOVED"
        await asyncio.sleep(0.5)
        assert writer.store.counts.commands < 1_000  # backs off


# A cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def clean(cluster: RedisCluster) -> RedisCluster:
    """The cluster, whole again and empty."""
    for server in cluster.servers:
        server.resume()
        if not server.is_running:
            server.start()
    wait_until(cluster.is_ready, what="cluster whole")
    for server in cluster.servers:
        if call(server, "ROLE")[0] == "master":
            call(server, "FLUSHALL")
    return cluster


SYMBOLS = [f"SYM{i}" for i in range(30)]


def quote_seqs(client: Any) -> list[int]:
    return [int(client.hget(hot_key("l1", EXCHANGE, symbol), "seq") or -1) for symbol in SYMBOLS]


@pytest.mark.parametrize("style", KeyStyle)
async def test_a_cluster_gets_every_key_from_any_endpoint(clean: RedisCluster, venue: Venue, style: KeyStyle) -> None:
    client: Any = clean.client()
    async with writing(clean.endpoints[4:5], venue.path, mode="Cluster", key_style=style) as writer:
        venue.say(*(venue.quote(i, symbol) for i, symbol in enumerate(SYMBOLS)), *(venue.trade(1, s) for s in SYMBOLS))
        await until(lambda: all(client.xlen(trades_key(EXCHANGE, s, style)) == 1 for s in SYMBOLS))
        await until(lambda: all(client.hget(hot_key("l1", EXCHANGE, s, style), "seq") for s in SYMBOLS))
        assert writer.store.counts.errors == {}
        assert len(writer.store.nodes) == 3


async def test_slots_that_move_are_followed_and_nothing_is_lost(clean: RedisCluster, venue: Venue) -> None:
    client: Any = clean.client()
    symbol = SYMBOLS[0]
    keys = [hot_key("l1", EXCHANGE, symbol, KeyStyle.TAGGED), trades_key(EXCHANGE, symbol, KeyStyle.TAGGED)]
    slot = slot_of(keys[0].encode())
    source = clean.primary_of(slot)
    target = next(s for s in clean.servers if call(s, "ROLE")[0] == "master" and s is not source)
    number = 0

    async def write(groups: int) -> None:
        nonlocal number
        for _ in range(groups):
            venue.say(venue.quote(number, symbol), venue.trade(number, symbol))
            number += 1
            await asyncio.sleep(0.01)

    async with writing(clean.endpoints[:1], venue.path, mode="Cluster", key_style=KeyStyle.TAGGED) as writer:
        await write(10)
        call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
        call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
        await write(5)
        for key in keys:
            call(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 2_000)
            await write(5)  # half of the slot here, half there: ASK
        await until(lambda: call(target, "HGET", keys[0], "seq", asking=True) == str(number - 1))
        await until(
            lambda: call(target, "XREVRANGE", keys[1], "+", "-", "COUNT", 1, asking=True)[0][1][7] == str(number - 1)
        )
        assert writer.store.counts.errors["ASK"] > 0
        call(target, "CLUSTER", "SETSLOT", slot, "NODE", node_id(target))
        call(source, "CLUSTER", "SETSLOT", slot, "NODE", node_id(target))
        await write(10)  # MOVED, or told by the slot map
        await until(lambda: client.hget(keys[0], "seq") == str(number - 1))
        await until(lambda: account(writer)["trades"]["pending"] == 0)

    assert [int(t["trade_id"]) for _, t in client.xrange(keys[1])] == list(range(number))
    assert set(writer.store.counts.errors) <= {"ASK", "MOVED"}


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_failover_never_moves_a_key_backwards_and_ends_with_the_newest(
    clean: RedisCluster, venue: Venue, fault: str
) -> None:
    victim = clean.primary_of(slot_of(hot_key("l1", EXCHANGE, SYMBOLS[0]).encode()))
    watch_keys = [hot_key("l1", EXCHANGE, symbol) for symbol in SYMBOLS]
    others = [server for server in clean.servers if server is not victim]
    async with writing(clean.endpoints, venue.path, mode="Cluster") as writer:
        number = 0

        async def write(seconds: float) -> None:
            nonlocal number
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                venue.say(*(venue.quote(number, symbol) for symbol in SYMBOLS))
                number += 1
                await asyncio.sleep(0.01)

        await write(0.3)
        victim.pause()
        if fault == "kill":
            await write(0.1)  # pipelines that are sent and not answered
            victim.kill()
        started = time.monotonic()
        slot = slot_of(watch_keys[0].encode())
        while clean.primary_of(slot, others) is victim:
            await write(0.05)
            assert time.monotonic() - started < 10
        seen: dict[str, list[int]] = {key: [] for key in watch_keys}
        client: Any = clean.client() if fault == "kill" else None
        if fault == "pause":
            await write(0.3)
            victim.resume()  # the stale primary is back, with what was buffered for it
            client = clean.client()
        for _ in range(10):
            await write(0.03)
            for key in watch_keys:
                seen[key].append(int(client.hget(key, "seq") or -1))
        assert time.monotonic() - started < 8
        await until(lambda: quote_seqs(client) == [number - 1] * len(SYMBOLS), 5)

        assert all(history == sorted(history) for history in seen.values())
        await until(lambda: account(writer)["l1"]["pending"] == 0)
        assert writer.store.counts.unknown > 0


# The process


async def test_a_user_with_the_documented_rights_is_enough(tmp_path: Path, venue: Venue) -> None:
    secret = tmp_path / "password"
    secret.write_text("pw")
    rights = "+evalsha +script|load +hget +hmget +hset +pexpire +xadd +xrevrange +del +client|setname"
    with RedisServer(tmp_path / "redis") as server:
        client: Any = server.client()
        client.execute_command(
            "ACL", "SETUSER", "feedplane", "on", ">pw", "~last:*", "~stream:trades:*", *rights.split()
        )
        client.set(L1, "replaced")
        async with writing([server.endpoint], venue.path, user="feedplane", password_file=secret) as writer:
            venue.say(venue.quote(1), venue.trade(1))
            await until(lambda: client.type(L1) == "hash" and client.hget(L1, "seq") == "1")
            await until(lambda: client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 1)
            venue.say(venue.status("stale", Feed.L1))
            await until(lambda: client.hget(L1, "state") == "stale")
            assert set(writer.store.counts.errors) == {"WRONGTYPE"}


def test_the_process_drains_on_sigterm_and_leaves_a_balanced_account(
    server: RedisServer, venue: Venue, tmp_path: Path
) -> None:
    config, last = tmp_path / "writer.json", tmp_path / "last.json"
    config.write_text(json.dumps({"redis": {"endpoints": [server.endpoint]}}))
    argv = [
        sys.executable,
        "-m",
        "feedplane_writer",
        "--sink",
        "redis",
        "--config",
        str(config),
        "--journal",
        str(venue.path),
    ]
    environment = os.environ | {"FEEDPLANE_STATUS_FILE": str(last)}
    venue.say(*(venue.trade(i) for i in range(100)))
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            client: Any = server.client()
            wait_until(lambda: client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 100)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                assert json.load(answer)["ok"] is True
            venue.say(*(venue.trade(100 + i) for i in range(100)))
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()

    (row,) = json.loads(last.read_text())["accounts"]
    assert row == {
        "exchange": EXCHANGE, "feed": "trades", "journalled": 200, "written": 200, "stored": 200,
        "quarantined": 0, "lost": 0, "pending": 0, "superseded": 0,
    }  # fmt: skip
    assert client.xlen(trades_key(EXCHANGE, "ETHUSDT")) == 200
