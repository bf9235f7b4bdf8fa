"""A journal that begins where another was lost: the writer finds the other's last word in the store and declares what lies between."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.events import Status
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.succession import ALIVE, ENDED, HEARTBEAT_NS, MARGIN_NS, WHOLE_SHARD, Speaker
from feedplane_ddl.apply import apply_ddl
from feedplane_journal.columns import Columns
from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.journals import EXCHANGE, T0_NS, open_writer
from feedplane_testing.writers import WriterProcess, wait_until

pytestmark = pytest.mark.timeout(120)

ARRIVED_NS = T0_NS + 1_000 * NS_PER_S
DUE_NS = 3 * HEARTBEAT_NS
FEEDS = (Feed.TRADES, Feed.L1)
GAPS = """SELECT instrument, feed, reason, state, detected_by, toUnixTimestamp64Nano(from_ts), toUnixTimestamp64Nano(assumeNotNull(to_ts)), gap_id
          FROM marketdata.gaps"""
NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Shard:
    """Journals of one shard, their writer, and a store of one or two shards of its own."""

    def __init__(self, folder: Path, stores: int) -> None:
        self.folder = folder
        self.stores = [ClickHouseLite(folder / f"ch-{n}", max_threads=2).start() for n in range(stores)]
        for store in self.stores:
            apply_ddl(store.client(), "marketdata")
        self._made = 0

    def journal(self, name: str, *words: tuple[str, int]) -> Path:
        """A journal whose collector followed `NAMES` and said `words`."""
        path = self.folder / name / EXCHANGE
        columns = Columns(EXCHANGE)
        for instrument in NAMES:
            columns.append_instrument(listed(instrument), words[0][1] - NS_PER_S)
        for status, at_ns in words:
            columns.append(said(name, status, at_ns))
        self.append(path, columns)
        return path

    def append(self, path: Path, columns: Columns) -> None:
        journal = open_writer(path, sinks=["clickhouse"])
        journal.append(columns.take().batches)
        journal.commit()
        journal.close()

    def goes_on(self, path: Path, at_ns: int) -> None:
        columns = Columns(EXCHANGE)
        columns.append(said(path.parent.name, ALIVE, at_ns))
        self.append(path, columns)

    def writer(self, path: Path) -> WriterProcess:
        self._made += 1
        endpoints = [f"127.0.0.1:{store.port}" for store in self.stores]
        return WriterProcess(self.folder / f"writer-{self._made}", path.parent, endpoints)

    def store(self, path: Path) -> None:
        """What a writer stores in a life that ends well."""
        with self.writer(path) as writer:
            writer.settle()
            assert writer.stop() == 0

    def lose(self, name: str, *words: tuple[str, int]) -> None:
        path = self.journal(name, *words)
        self.store(path)
        shutil.rmtree(path.parent)

    def gaps(self) -> list[tuple[Any, ...]]:
        """Every row ever written, also such as supersede another."""
        return sorted(row for number in range(len(self.stores)) for row in self.gaps_at(number))

    def gaps_at(self, number: int) -> list[tuple[Any, ...]]:
        """Of one store."""
        return [tuple(row) for row in self.stores[number].client().query(GAPS).result_rows]

    def close(self) -> None:
        for store in self.stores:
            store.stop()


def listed(name: str) -> Instrument:
    return Instrument(
        exchange=EXCHANGE, market_type=MarketType.PERP_LINEAR, instrument=name, pair=name, base=name[:3], quote="USDT"
    )


def said(journal: str, status: str, at_ns: int) -> Status:
    return Status(
        exchange=EXCHANGE,
        market_type=MarketType.PERP_LINEAR,
        instrument=WHOLE_SHARD,
        ts_event_ns=None,
        ts_recv_ns=at_ns,
        status_feed=None,
        status=status,
        detail=Speaker("majors/binance-futures", 0, 1, journal, FEEDS).detail(),
    )


@pytest.fixture
def shard(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shard]:
    made = Shard(tmp_path, getattr(request, "param", 1))
    yield made
    made.close()


def is_whole(gaps: list[tuple[Any, ...]], last_word_ns: int) -> bool:
    """Whether every feed of every instrument has exactly one hole, from the last word to the first."""
    hole = ("restart", "closed", "writer", last_word_ns - MARGIN_NS, ARRIVED_NS)
    return [row[:7] for row in gaps] == sorted((name, feed, *hole) for name in NAMES for feed in FEEDS)


def test_what_lies_between_two_journals_is_declared_once(shard: Shard) -> None:
    last_ns = ARRIVED_NS - 7 * NS_PER_S
    shard.lose("lost", (ALIVE, ARRIVED_NS - 300 * NS_PER_S), (ALIVE, last_ns))
    path = shard.journal("next", (ALIVE, ARRIVED_NS), (ALIVE, ARRIVED_NS + DUE_NS))
    with shard.writer(path) as writer:
        wait_until(lambda: len(shard.gaps()) == 6, "declared")
        writer.kill()
    shard.store(path)

    assert is_whole(shard.gaps(), last_ns)


def test_a_first_start_declares_nothing(shard: Shard) -> None:
    shard.store(shard.journal("next", (ALIVE, ARRIVED_NS), (ALIVE, ARRIVED_NS + DUE_NS)))

    assert shard.gaps() == []


def test_one_that_is_heard_beside_its_successor_leaves_no_hole(shard: Shard) -> None:
    shard.lose("old", (ALIVE, ARRIVED_NS - 300 * NS_PER_S), (ENDED, ARRIVED_NS + 2 * NS_PER_S))
    shard.store(shard.journal("next", (ALIVE, ARRIVED_NS), (ALIVE, ARRIVED_NS + DUE_NS)))

    assert shard.gaps() == []


def test_a_writer_killed_before_it_was_time_leaves_the_question_to_the_next(shard: Shard) -> None:
    last_ns = ARRIVED_NS - 60 * NS_PER_S
    shard.lose("lost", (ALIVE, ARRIVED_NS - 300 * NS_PER_S), (ALIVE, last_ns))
    path = shard.journal("next", (ALIVE, ARRIVED_NS))
    with shard.writer(path) as writer:
        writer.settle()
        writer.kill()
    assert shard.gaps() == []
    shard.goes_on(path, ARRIVED_NS + DUE_NS)
    with shard.writer(path) as writer:
        wait_until(lambda: len(shard.gaps()) == 6, "declared")

    assert is_whole(shard.gaps(), last_ns)


def test_a_short_life_declares_as_it_ends(shard: Shard) -> None:
    last_ns = ARRIVED_NS - 60 * NS_PER_S
    shard.lose("lost", (ALIVE, ARRIVED_NS - 300 * NS_PER_S), (ALIVE, last_ns))
    shard.store(shard.journal("next", (ALIVE, ARRIVED_NS), (ENDED, ARRIVED_NS + NS_PER_S)))

    assert is_whole(shard.gaps(), last_ns)


@pytest.mark.parametrize("shard", [2], indirect=True)
def test_a_shard_of_the_store_that_is_away_is_waited_for(shard: Shard) -> None:
    last_ns = ARRIVED_NS - 60 * NS_PER_S
    shard.lose("lost", (ALIVE, ARRIVED_NS - 300 * NS_PER_S), (ALIVE, last_ns))
    path = shard.journal("next", (ALIVE, ARRIVED_NS))
    with shard.writer(path) as writer:
        writer.settle()
        shard.stores[1].stop()
        shard.goes_on(path, ARRIVED_NS + DUE_NS)
        time.sleep(1.0)  # the shard that is there has it all; asked alone it might not know of the other journal
        assert shard.gaps_at(0) == []
        shard.stores[1].start()
        wait_until(lambda: len(shard.gaps()) == 6, "declared")

    assert is_whole(shard.gaps(), last_ns)
