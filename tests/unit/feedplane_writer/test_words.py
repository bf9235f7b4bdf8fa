from __future__ import annotations

import json

from feedplane_writer.words import MAX_WORD_BYTES, Trouble, backlog_word, fitted, last_word, store_word


def test_a_store_in_trouble_says_since_when_and_why() -> None:
    assert store_word(None, 7) == {"ok": True, "code": "", "detail": "", "failing_for_ns": 0, "last_commit_ns": 7}
    told = store_word(Trouble(5, "schema", "no table"), 7)
    assert (told["ok"], told["failing_for_ns"], told["code"], told["detail"]) == (False, 5, "schema", "no table")


def test_backlogs_of_several_journals_add_up_and_the_worst_lag_counts() -> None:
    journals = [{"pending": 1, "backlog_bytes": 10, "lag_ns": 3}, {"pending": 2, "backlog_bytes": 20, "lag_ns": 2}]

    assert backlog_word(journals) == {"rows": 3, "bytes": 30, "lag_ns": 3}
    assert backlog_word([]) == {"rows": 0, "bytes": 0, "lag_ns": 0}


def test_a_last_word_fits_a_termination_message_and_counts_what_it_leaves_out() -> None:
    left = [
        {"exchange": "binance_futures", "feed": f"feed-{n}", "records": n, "from_ns": 0, "to_ns": 1} for n in range(200)
    ]
    line = fitted(last_word("clickhouse", left, Trouble(1, "NETWORK", "x" * 300), is_declared=True))
    told = json.loads(line)

    assert len(line.encode()) <= MAX_WORD_BYTES
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert 0 < len(told["remaining"]) < 200
    assert told["more"] == 200 - len(told["remaining"])
    assert not told["drained"]
