"""Which deduplication tokens have no rows behind them."""

from __future__ import annotations

from pathlib import Path

from feedplane_clickhouse_lite.orphans import Record, orphans, take_back


def _records(*lines: str) -> list[Record]:
    return [Record(*line.split()) for line in lines]


def test_the_newest_token_without_its_part_is_an_orphan() -> None:
    records = _records("1 a_1_1_0 t1", "1 a_2_2_0 t2", "1 a_2_2_0 t3")

    assert orphans(records, ["a_1_1_0", "tmp_insert_a_2_2_0", "detached"]) == records[1:]


def test_parts_that_exist_or_were_merged_keep_their_tokens() -> None:
    records = _records("1 a_1_1_0 t1", "1 a_2_2_0 t2")

    assert orphans(records, ["a_2_2_0"]) == []
    assert orphans(records, ["a_1_2_1"]) == []
    assert orphans(records, ["a_1_2_1_7"]) == []


def test_older_tokens_are_never_touched() -> None:
    assert orphans(_records("1 a_1_1_0 t1", "1 b_2_2_0 t2"), ["b_2_2_0"]) == []


def test_tokens_taken_back_already_are_not_orphans() -> None:
    assert orphans(_records("1 a_1_1_0 t1", "2 a_1_1_0 t1"), []) == []
    assert orphans([], []) == []


def test_taking_back_is_done_once_and_in_the_newest_log(tmp_path: Path) -> None:
    logs = tmp_path / "store" / "abc" / "abcdef" / "deduplication_logs"
    logs.mkdir(parents=True)
    (logs / "deduplication_log_9.txt").write_text("1\ta_1_1_0\tt1\n1\ta_2_2_0\tt2\n")
    (logs / "deduplication_log_10.txt").write_text("")
    (logs.parent / "a_1_1_0").mkdir()

    assert (take_back(tmp_path), take_back(tmp_path)) == (1, 0)
    assert (logs / "deduplication_log_10.txt").read_text() == "2\ta_2_2_0\tt2\n"
