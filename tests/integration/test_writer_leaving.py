"""What a writer leaves when it ends before its journal is empty: one line for the pod's termination message, and holes declared in the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feedplane_ddl.apply import apply_ddl
from feedplane_journal.segments import JournalWriter
from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.journals import batches_of, commit_trades, depth_diff, open_writer, trade
from feedplane_testing.writers import WriterProcess, wait_until

pytestmark = pytest.mark.timeout(120)


class Plant:
    """A store, a journal, and a writer that is told to leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ClickHouseLite(folder / "ch", max_threads=2).start()
        apply_ddl(self.store.client(), "marketdata")
        self.journal: JournalWriter = open_writer(folder / "journals" / "binance_futures-0", sinks=["clickhouse"])

    def writer(self, *, dies: bool = True, **environment: str) -> WriterProcess:
        writer = WriterProcess(
            self.folder / "writer", self.folder / "journals", [f"127.0.0.1:{self.store.port}"], retry_cap_ns=50_000_000
        )
        config = json.loads(writer.config_path.read_text()) | {"drain_ns": 1_000_000_000}
        writer.config_path.write_text(json.dumps(config))
        told = {"FEEDPLANE_TERMINATION_FILE": str(self.word_path)}
        return writer.start(environment=told | ({"FEEDPLANE_SPOOL_DIES": "true"} if dies else {}) | environment)

    @property
    def word_path(self) -> Path:
        return self.folder / "termination-log"

    def word(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.word_path.read_text())
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.store.client().query(sql).result_rows]

    def refuse_trades(self) -> None:
        """The store is there, and takes no trades: their table is not as it should be."""
        self.store.client().command("RENAME TABLE marketdata.trades TO marketdata.trades_away")

    def close(self) -> None:
        self.journal.close()
        self.store.stop()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.close()


GAPS = """SELECT instrument, feed, reason, state, toUnixTimestamp64Nano(from_ts), toUnixTimestamp64Nano(assumeNotNull(to_ts)), from_seq, to_seq
          FROM marketdata.gaps_dedup ORDER BY feed"""


def test_what_could_not_be_stored_is_declared_before_the_journal_dies(plant: Plant) -> None:
    plant.refuse_trades()
    plant.journal.append(batches_of([*(trade(i) for i in range(50)), *(depth_diff(i) for i in range(5))]))
    plant.journal.commit()
    with plant.writer() as writer:
        wait_until(lambda: not writer.status()["store"]["ok"], "stuck")
        assert writer.stop() == 0
    word = plant.word()
    received = [trade(i).ts_recv_ns for i in range(50)]
    entries = {entry["feed"]: entry for entry in word["remaining"]}
    gaps = {row[1]: row for row in plant.rows(GAPS)}

    assert (word["component"], word["sink"], word["drained"], word["declared"]) == ("writer", "clickhouse", False, True)
    assert word["store"]["code"] == "schema"
    assert entries["trades"]["records"] == 50
    assert gaps["trades"][2:4] == ("undrained", "closed")
    assert gaps["trades"][4] < min(received)
    assert gaps["trades"][5] > max(received)


def test_a_journal_that_stays_is_told_and_nothing_is_declared(plant: Plant) -> None:
    plant.refuse_trades()
    commit_trades(plant.journal, 0, 50)
    with plant.writer(dies=False) as writer:
        wait_until(lambda: not writer.status()["store"]["ok"], "stuck")
        assert writer.stop() == 0

    assert (plant.word()["drained"], plant.word()["declared"]) == (False, False)
    assert plant.rows("SELECT count() FROM marketdata.gaps") == [(0,)]


def test_a_store_that_is_away_leaves_it_to_the_termination_word(plant: Plant) -> None:
    commit_trades(plant.journal, 0, 50)
    with plant.writer() as writer:
        writer.settle()
        plant.store.stop()
        commit_trades(plant.journal, 50, 30)
        wait_until(lambda: not writer.status()["store"]["ok"], "missed")
        assert writer.stop() == 0
    word = plant.word()
    plant.store.start()

    assert word["declared"] is False
    assert [entry["records"] for entry in word["remaining"]] == [30]
    assert word["remaining"][0]["from_ns"] <= trade(50).ts_recv_ns
    assert word["store"]["ok"] is False


def test_a_journal_that_was_emptied_leaves_no_hole(plant: Plant) -> None:
    commit_trades(plant.journal, 0, 50)
    with plant.writer() as writer:
        assert writer.stop() == 0

    assert plant.word() == {
        "component": "writer", "sink": "clickhouse", "drained": True, "declared": False, "store": None, "remaining": [],
    }  # fmt: skip
    assert plant.rows("SELECT count() FROM marketdata.trades") == [(50,)]
    assert plant.rows("SELECT count() FROM marketdata.gaps") == [(0,)]
