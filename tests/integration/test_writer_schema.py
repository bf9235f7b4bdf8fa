"""The ClickHouse writer brings the tables forward by itself, before its first insert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.errors import UsageError
from feedplane_ddl.apply import apply_ddl, is_current
from feedplane_ddl.migrations import migrations
from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.journals import commit_trades, open_writer
from feedplane_testing.writers import WriterProcess, wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseLite]:
    """An engine without our database."""
    made = ClickHouseLite(tmp_path / "ch", max_threads=2).start()
    yield made
    made.stop()


def writer_of(folder: Path, name: str, stores: list[ClickHouseLite], **settings: Any) -> WriterProcess:
    """A writer with a journal of its own."""
    endpoints = [f"127.0.0.1:{store.port}" for store in stores]
    return WriterProcess(folder / name, folder / name / "journals", endpoints, apply_schema=True, **settings)


def journal_of(folder: Path, name: str, first: int, count: int) -> None:
    journal = open_writer(folder / name / "journals" / "binance_futures-0", sinks=["clickhouse"])
    commit_trades(journal, first, count)
    journal.close()


def rows(store: ClickHouseLite, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.client().query(sql).result_rows]


def test_writers_that_start_at_once_on_an_empty_store_make_its_tables_and_lose_nothing(
    tmp_path: Path, store: ClickHouseLite
) -> None:
    names = ["a", "b", "c", "d"]
    for number, name in enumerate(names):
        journal_of(tmp_path, name, number * 100, 50)
    writers = [writer_of(tmp_path, name, [store]).start() for name in names]
    try:
        for writer in writers:
            writer.settle()
        assert [writer.stop() for writer in writers] == [0] * 4
    finally:
        for writer in writers:
            writer.kill()

    assert rows(store, "SELECT count(), uniqExact(trade_id) FROM marketdata.trades") == [(200, 200)]
    recorded = rows(store, "SELECT file FROM marketdata.schema_migrations FINAL ORDER BY file")
    assert recorded == [(migration.name,) for migration in migrations()]


def test_a_store_that_is_away_at_start_is_waited_for_and_told(tmp_path: Path, store: ClickHouseLite) -> None:
    port = store.port
    store.stop()
    journal_of(tmp_path, "a", 0, 50)
    with writer_of(tmp_path, "a", [store]) as writer:
        wait_until(lambda: not writer.status()["store"]["ok"], "told")
        wait_until(lambda: writer.status()["backlog"]["rows"] == 50, "backlog told")
        assert writer.get("/readyz")[0] == 200
        assert writer.get("/startedz")[0] == 200
        assert store.start().port == port
        writer.settle()
        assert writer.status()["store"]["ok"]

    assert rows(store, "SELECT count() FROM marketdata.trades") == [(50,)]


def test_a_store_that_lost_everything_gets_its_tables_again(tmp_path: Path, store: ClickHouseLite) -> None:
    """As a pod without a claim that comes back."""
    journal_of(tmp_path, "a", 0, 50)
    with writer_of(tmp_path, "a", [store]) as writer:
        writer.settle()
        store.client().command("DROP DATABASE marketdata SYNC")
        journal_of(tmp_path, "a", 100, 30)
        tables = "SELECT count() FROM system.tables WHERE database = 'marketdata'"
        wait_until(lambda: rows(store, tables) > [(0,)], "tables made again")
        writer.settle()
        assert writer.status()["store"]["ok"]

    assert rows(store, "SELECT count() FROM marketdata.trades") == [(30,)]


def test_shards_without_a_cluster_each_get_their_tables(tmp_path: Path, store: ClickHouseLite) -> None:
    second = ClickHouseLite(tmp_path / "second", max_threads=2).start()
    journal_of(tmp_path, "a", 0, 50)
    try:
        with writer_of(tmp_path, "a", [store, second]) as writer:
            writer.settle()
            wait_until(lambda: all(is_current(each.client(), "marketdata") for each in (store, second)), "both current")
            made = [
                rows(each, "SELECT count() FROM system.tables WHERE database = 'marketdata'")
                for each in (store, second)
            ]
    finally:
        second.stop()

    assert made[0] == made[1]


def test_tables_of_another_layout_are_waited_for_and_nothing_is_inserted(tmp_path: Path, store: ClickHouseLite) -> None:
    apply_ddl(store.client(), "marketdata")
    client = store.client()
    client.command(
        "INSERT INTO marketdata.schema_migrations (file, checksum, layout, applied_at) "
        f"VALUES ('{migrations()[0].name}', 'changed', 'single', now() + 60)"
    )
    journal_of(tmp_path, "a", 0, 10)
    with writer_of(tmp_path, "a", [store]) as writer:
        wait_until(lambda: not writer.status()["store"]["ok"], "told")
        told = writer.status()["store"]
        wait_until(lambda: writer.status()["backlog"]["rows"] == 10, "backlog told")
        assert writer.get("/readyz")[0] == 200

    assert told["code"] == "schema"
    assert "changed since" in told["detail"]
    assert rows(store, "SELECT count() FROM marketdata.trades") == [(0,)]


class ReadOnly:
    """A client that lets reads through and nothing else."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def command(self, cmd: str) -> None:
        raise AssertionError(f"not a read: {cmd}")

    def query(self, query: str) -> Any:
        return self._client.query(query)


def test_tables_that_are_there_need_no_more_than_reads(store: ClickHouseLite) -> None:
    apply_ddl(store.client(), "marketdata")

    assert is_current(ReadOnly(store.client()), "marketdata")

    store.client().command(
        "ALTER TABLE marketdata.schema_migrations DELETE WHERE file LIKE '0005%' SETTINGS mutations_sync = 1"
    )
    assert not is_current(ReadOnly(store.client()), "marketdata")
    with pytest.raises(UsageError):
        is_current(ReadOnly(store.client()), "marketdata", "other")
