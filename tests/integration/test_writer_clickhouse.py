"""The ClickHouse writer as a process, against the real engine: every accepted record once, whatever happens in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from feedplane_core.names import NS_PER_S
from feedplane_ddl.apply import apply_ddl
from feedplane_journal.segments import JournalWriter
from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.journals import (
    Clock,
    batches_of,
    book_snapshot,
    commit_trades,
    depth_diff,
    open_writer,
    top_of_book,
    trade,
)
from feedplane_testing.writers import Harm, HarmingProxy, WriterProcess, wait_until
from feedplane_writer.hooks import Stage

pytestmark = pytest.mark.timeout(120)


class Plant:
    """One store, one journal root, one journal; the writer is the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "journals"
        self.store = ClickHouseLite(folder / "ch", max_threads=2).start()
        apply_ddl(self.store.client(), "marketdata")
        self.journal: JournalWriter = open_writer(self.root / "binance_futures-0", sinks=["clickhouse"])

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.store.port}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        client = self.store.client()
        return [tuple(row) for row in client.query(sql).result_rows]

    def trade_ids(self) -> list[int]:
        """Of the table as it is, duplicates and all."""
        return [int(i) for (i,) in self.rows("SELECT trade_id FROM marketdata.trades ORDER BY toUInt64(trade_id)")]

    def quarantined(self) -> list[str]:
        """Lines of all files of refused rows."""
        folder = self.root / "binance_futures-0" / "quarantine"
        return [line for path in sorted(folder.glob("rows-*.ndjson")) for line in path.read_text().splitlines()]

    def close(self) -> None:
        self.journal.close()
        self.store.stop()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.close()


def writer_of(plant: Plant, *endpoints: str, **settings: Any) -> WriterProcess:
    return WriterProcess(plant.folder / "writer", plant.root, list(endpoints) or [plant.endpoint], **settings)


def unmerged(plant: Plant) -> None:
    """Stop merges, so that nothing but insert tokens keeps a row from being there twice."""
    plant.store.client().command("SYSTEM STOP MERGES")


def test_everything_that_was_journalled_is_stored_and_the_books_say_so(plant: Plant) -> None:
    plant.journal.append(
        batches_of(
            [
                *(trade(i) for i in range(100)),
                *(depth_diff(i) for i in range(10)),
                book_snapshot(11),
                *(top_of_book(i) for i in range(40)),
            ]
        )
    )
    plant.journal.commit()
    with writer_of(plant) as writer:
        status = writer.settle()
        counted = {row["feed"]: (row["journalled"], row["written"], row["pending"]) for row in status["accounts"]}
        metrics = writer.get("/metrics")[1]
        assert writer.stop() == 0

    assert counted == {"trades": (100, 100, 0), "ob_diffs": (11, 11, 0), "l1": (40, 40, 0)}
    assert plant.trade_ids() == list(range(100))
    assert plant.rows("SELECT count() FROM marketdata.ob_diffs") == [(11 * 8,)]
    assert plant.rows("SELECT sum(trades) FROM marketdata.trades_1m") == [(100,)]
    assert plant.rows("SELECT price FROM marketdata.trades WHERE trade_id = '7'")[0][0] * 10 == 600_075
    assert (
        'feedplane_writer_written_records_total{exchange="binance_futures",feed="trades",sink="clickhouse"} 100'
        in metrics
    )


def test_the_server_is_given_rows_in_its_own_order(plant: Plant) -> None:
    names = ("ETHUSDT", "BTCUSDT", "SOLUSDT")
    plant.journal.append(batches_of([depth_diff(i, instrument=names[i % 3]) for i in range(30)]))
    plant.journal.commit()
    events = "SELECT sumIf(value, event = 'MergeTreeDataWriterBlocks'), sumIf(value, event LIKE '%BlocksAlreadySorted') FROM system.events"
    ((written, in_order),) = plant.rows(events)

    with writer_of(plant, apply_schema=False) as writer:
        writer.settle()

    assert plant.rows("SELECT count() FROM marketdata.ob_diffs") == [(30 * 8,)]
    assert plant.rows(events) == [(written + 1, in_order + 1)]


def test_rows_that_come_later_and_journals_that_appear_later_are_stored(plant: Plant) -> None:
    with writer_of(plant) as writer:
        commit_trades(plant.journal, 0, 10)
        writer.settle()
        commit_trades(plant.journal, 10, 10)
        other = open_writer(plant.root / "binance_futures-1")
        commit_trades(other, 20, 10)
        wait_until(lambda: len(writer.status()["journals"]) == 2, "second journal")
        writer.settle()
        other.close()

    assert plant.trade_ids() == list(range(30))


def test_a_commit_whose_reply_is_lost_counts_once(plant: Plant) -> None:
    unmerged(plant)
    commit_trades(plant.journal, 0, 500)
    with HarmingProxy(plant.store.port) as proxy:
        proxy.set(Harm.DROP_REPLY, 3)
        with writer_of(plant, proxy.endpoint) as writer:
            writer.settle()
            metrics = writer.get("/metrics")[1]
        assert proxy.harmed == 3

    assert plant.trade_ids() == list(range(500))
    assert plant.rows("SELECT sum(trades) FROM marketdata.trades_1m") == [(500,)]
    assert "feedplane_writer_retries_total" in metrics


def test_a_connection_that_breaks_inside_the_body_costs_nothing(plant: Plant) -> None:
    unmerged(plant)
    commit_trades(plant.journal, 0, 2_000)
    with HarmingProxy(plant.store.port) as proxy:
        proxy.set(Harm.RESET_BODY, 4)
        with writer_of(plant, proxy.endpoint, compression="none") as writer:
            writer.settle()
        assert proxy.harmed == 4

    assert plant.trade_ids() == list(range(2_000))


@pytest.mark.parametrize("stage", list(Stage))
def test_a_writer_killed_at_any_stage_leaves_every_row_once(plant: Plant, stage: Stage) -> None:
    unmerged(plant)
    commit_trades(plant.journal, 0, 300)
    doomed = writer_of(plant).start(kill_at=stage)
    assert doomed.wait() == -signal.SIGKILL
    commit_trades(plant.journal, 300, 200)  # a restart that cut anew would take these along under another token
    with writer_of(plant) as writer:
        status = writer.settle()

    assert plant.trade_ids() == list(range(500))
    assert plant.rows("SELECT sum(trades) FROM marketdata.trades_1m") == [(500,)]
    (account,) = status["accounts"]
    assert (account["journalled"], account["written"], account["pending"]) == (500, 500, 0)


def test_a_writer_killed_at_random_again_and_again_leaves_every_row_once(plant: Plant) -> None:
    unmerged(plant)
    for number, kill_at in enumerate(
        ("after_commit:2", "during_send:2", "after_before:3", "after_after:2", "after_commit")
    ):
        for first in range(number * 100, number * 100 + 100, 20):
            commit_trades(plant.journal, first, 20)
        doomed = writer_of(plant, max_rows=30).start(kill_at=kill_at)
        assert doomed.wait() == -signal.SIGKILL
    with writer_of(plant, max_rows=30) as writer:
        (account,) = writer.settle()["accounts"]

    assert plant.trade_ids() == list(range(500))
    assert (account["journalled"], account["written"]) == (500, 500)


def test_the_engine_killed_in_the_middle_of_inserts_has_every_row_once(plant: Plant) -> None:
    with writer_of(plant, max_rows=50, max_age_ns=10_000_000) as writer:
        for kill in range(3):
            for first in range(kill * 2_000, kill * 2_000 + 2_000, 20):
                commit_trades(plant.journal, first, 20)
            wait_until(lambda: bool(writer.account("trades").get("written")), "first rows written")
            plant.store.kill()
            wait_until(lambda: bool(writer.status()["waiting"]), "store missed")
            store = writer.status()["store"]
            assert (store["ok"], store["detail"].startswith("store: 127.0.0.1")) == (False, True)
            assert store["failing_for_ns"] >= 0
            assert writer.status()["backlog"]["rows"] > 0
            assert writer.get("/readyz")[0] == 200  # a store that is away is no reason to restart or to hold back a pod
            plant.store.start()
        (account,) = writer.settle()["accounts"]

    assert plant.rows("SELECT count(), uniqExact(trade_id) FROM marketdata.trades_dedup") == [(6_000, 6_000)]
    assert plant.rows("SELECT count() FROM marketdata.trades") == [(6_000,)]
    assert (account["journalled"], account["written"], account["pending"]) == (6_000, 6_000, 0)


def test_a_poison_row_is_taken_out_and_all_others_land(plant: Plant) -> None:
    plant.store.client().command("ALTER TABLE marketdata.trades ADD CONSTRAINT odd CHECK trade_id NOT IN ('7', '123')")
    unmerged(plant)
    commit_trades(plant.journal, 0, 300)
    plant.journal.append(batches_of([depth_diff(1)]))
    plant.journal.commit()
    with writer_of(plant) as writer:
        status = writer.settle()
        metrics = writer.get("/metrics")[1]

    counted = {row["feed"]: (row["journalled"], row["written"], row["quarantined"]) for row in status["accounts"]}
    assert counted == {"trades": (300, 298, 2), "ob_diffs": (1, 1, 0)}
    assert plant.trade_ids() == [i for i in range(300) if i not in (7, 123)]
    lines = plant.quarantined()
    assert len(lines) == 2
    assert '"code": 469' in lines[0]
    assert '"trade_id": "7"' in lines[0]
    assert '"price": "60007.500000000000000000"' in lines[0]
    assert 'feed="trades",reason="469",sink="clickhouse"} 2.0' in metrics


def test_a_poison_row_met_again_after_a_kill_is_kept_and_counted_once(plant: Plant) -> None:
    plant.store.client().command("ALTER TABLE marketdata.trades ADD CONSTRAINT odd CHECK trade_id != '7'")
    unmerged(plant)
    commit_trades(plant.journal, 0, 64)
    doomed = writer_of(plant).start(kill_at="after_commit")
    assert doomed.wait() == -signal.SIGKILL
    with writer_of(plant) as writer:
        (account,) = writer.settle()["accounts"]

    assert plant.trade_ids() == [i for i in range(64) if i != 7]
    assert (account["written"], account["quarantined"]) == (63, 1)
    assert len(plant.quarantined()) == 1


def test_impossible_times_open_no_partitions(plant: Plant) -> None:
    import msgspec

    wrong = [msgspec.structs.replace(trade(i), ts_event_ns=i * 86_400 * NS_PER_S) for i in range(200)]
    plant.journal.append(batches_of([*wrong, trade(500)]))
    plant.journal.commit()
    with writer_of(plant) as writer:
        (account,) = writer.settle()["accounts"]

    assert (account["journalled"], account["written"], account["quarantined"]) == (201, 1, 200)
    assert plant.rows("SELECT count(DISTINCT partition) FROM system.parts WHERE table = 'trades' AND active") == [(1,)]
    assert len(plant.quarantined()) == 200


def test_a_missing_table_is_waited_for_and_told(plant: Plant) -> None:
    plant.store.client().command("RENAME TABLE marketdata.trades TO marketdata.trades_away")
    commit_trades(plant.journal, 0, 10)
    with writer_of(plant) as writer:
        wait_until(lambda: not writer.status()["store"]["ok"], "told")
        store = writer.status()["store"]
        assert (store["code"], store["last_commit_ns"]) == ("schema", 0)
        assert "schema: trades: the table is missing" in store["detail"]
        code, verdict = writer.get("/readyz")  # a rollout must not hang on what a store has to have
        assert code == 200
        assert "the table is missing" in verdict
        assert writer.account("trades")["pending"] == 10
        plant.store.client().command("RENAME TABLE marketdata.trades_away TO marketdata.trades")
        store = writer.settle()["store"]
        assert store["ok"] is True
        assert store["last_commit_ns"] > 0
        assert "notes" not in writer.get("/readyz")[1]

    assert plant.trade_ids() == list(range(10))


def test_a_column_of_another_type_is_waited_for_and_nothing_is_quarantined(plant: Plant) -> None:
    client = plant.store.client()
    client.command("ALTER TABLE marketdata.trades MODIFY COLUMN qty Decimal(9, 0)")
    commit_trades(plant.journal, 0, 10)
    client.command(
        "ALTER TABLE marketdata.trades ADD CONSTRAINT none CHECK trade_id = 'never'"
    )  # a code that blames the rows
    with writer_of(plant) as writer:
        wait_until(lambda: not writer.status()["store"]["ok"], "told")
        assert "column qty is Decimal(9, 0)" in writer.get("/readyz")[1]
        client.command("ALTER TABLE marketdata.trades MODIFY COLUMN qty Decimal(38, 18)")
        client.command("ALTER TABLE marketdata.trades DROP CONSTRAINT none")
        writer.settle()

    assert plant.trade_ids() == list(range(10))
    assert plant.quarantined() == []


def test_one_shard_down_does_not_stop_the_other(tmp_path: Path) -> None:
    names = [f"S{i}" for i in range(16)]
    clusters = {"main": [["127.0.0.1:1"], ["127.0.0.1:2"]]}
    stores = [ClickHouseLite(tmp_path / name / "ch", max_threads=2, clusters=clusters).start() for name in ("a", "b")]
    for store in stores:
        apply_ddl(store.client(), "marketdata", "main", replicated=False, on_cluster=False)
    first, second = stores
    journal = open_writer(tmp_path / "journals" / "binance_futures-0")
    for number, name in enumerate(names):
        commit_trades(journal, number, 1, name)
    second.stop()
    endpoints = [f"127.0.0.1:{store.port}" for store in stores]
    with first, second, WriterProcess(tmp_path / "writer", tmp_path / "journals", endpoints, cluster="main") as writer:
        second.stop()
        wait_until(lambda: 0 < writer.account("trades").get("written", 0) < 16, "the first shard's rows")
        for number, name in enumerate(names):
            commit_trades(journal, 100 + number, 1, name)
        here = instruments_of(first)
        wait_until(lambda: writer.account("trades").get("written", 0) == 2 * len(here), "its later rows")
        assert writer.account("trades")["pending"] == 32 - 2 * len(here)
        assert [reason[:7] for reason in writer.status()["waiting"]] == ["shard 1"]

        second.start()
        writer.settle()
        there = instruments_of(second)
        counts = [
            store.client().query("SELECT count() FROM marketdata.trades_local").result_rows[0][0] for store in stores
        ]
    journal.close()

    assert here | there == set(names)
    assert not here & there
    assert counts == [2 * len(here), 2 * len(there)]


def instruments_of(store: ClickHouseLite) -> set[str]:
    """Instruments that a shard holds."""
    return {
        str(row[0])
        for row in store.client().query("SELECT DISTINCT instrument FROM marketdata.trades_local").result_rows
    }


def test_a_stop_drains_and_what_is_left_stays_in_the_journal(plant: Plant) -> None:
    writer = writer_of(plant, max_age_ns=60 * NS_PER_S).start()
    commit_trades(plant.journal, 0, 10)
    wait_until(lambda: writer.account("trades").get("journalled") == 10, "rows read")
    assert writer.account("trades")["written"] == 0  # its age is far off: only the stop sends it
    assert writer.stop() == 0
    assert plant.trade_ids() == list(range(10))

    plant.store.stop()
    commit_trades(plant.journal, 10, 10)
    writer.start()
    wait_until(lambda: writer.account("trades").get("pending") == 10, "pending rows")
    assert writer.stop() == 0
    plant.store.start()
    with writer:
        writer.settle()
    assert plant.trade_ids() == list(range(20))


def test_a_second_writer_of_a_journal_waits_for_the_first(plant: Plant) -> None:
    commit_trades(plant.journal, 0, 10)
    first = writer_of(plant).start()
    first.settle()
    second = WriterProcess(plant.folder / "second", plant.root, [plant.endpoint]).start()
    wait_until(lambda: second.get("/readyz")[0] == 503, "second not ready")
    commit_trades(plant.journal, 10, 10)
    first.settle()
    first.kill()
    with second:
        commit_trades(plant.journal, 20, 10)
        second.settle()
        assert second.get("/readyz")[0] == 200

    assert plant.trade_ids() == list(range(30))


def test_pending_and_memory_stay_true_while_the_store_is_away(plant: Plant) -> None:
    plant.store.stop()
    clock = Clock()
    big = open_writer(plant.root / "big", clock)
    with writer_of(plant) as writer:
        for first in range(0, 60_000, 500):
            commit_trades(big, first, 500)
            big.append(batches_of([depth_diff(first + i, 20) for i in range(20)]))
            big.commit()
        wait_until(lambda: writer.account("trades").get("pending") == 60_000, "pending rows", 30)
        rss_mib = psutil.Process(writer.pid).memory_info().rss / 2**20
        plant.store.start()
        writer.settle()
    big.close()

    assert rss_mib < 110, f"{rss_mib:.0f} MiB with the store away"
    assert len(set(plant.trade_ids())) == len(plant.trade_ids()) == 60_000


def test_wrong_use_is_told_with_exit_code_2(plant: Plant) -> None:
    writer = writer_of(plant)
    writer.config_path.write_text('{"clickhouse": {"shards": []}}')
    with pytest.raises(AssertionError, match=r"clickhouse\.shards"):
        writer.start()
    assert writer.wait() == 2
    assert os.path.exists(writer.log_path)


def test_a_journal_that_is_removed_stops_nobody_and_may_come_again(plant: Plant) -> None:
    import shutil

    other = open_writer(plant.root / "binance_futures-1")
    commit_trades(other, 0, 10)
    with writer_of(plant) as writer:
        writer.settle()
        plant.store.stop()
        commit_trades(other, 10, 10)  # on its way when the directory goes
        wait_until(lambda: bool(writer.status()["waiting"]), "store missed")
        other.close()
        shutil.rmtree(plant.root / "binance_futures-1")
        plant.store.start()
        commit_trades(plant.journal, 100, 10)
        wait_until(
            lambda: [j["path"] for j in writer.status()["journals"]] == ["binance_futures-0"], "the journal forgotten"
        )
        again = open_writer(plant.root / "binance_futures-1")
        commit_trades(again, 200, 10)
        wait_until(lambda: len(writer.status()["journals"]) == 2, "the journal served again")
        writer.settle()
        assert writer.get("/readyz")[0] == 200
        again.close()

    assert set(plant.trade_ids()) >= {*range(10), *range(100, 110), *range(200, 210)}
