"""What a writer could not store is read from where Kubernetes keeps it, and nothing else is taken for it."""

from __future__ import annotations

import json
from typing import Any

from feedplane_operator.farewell import STOP_S, deadline_of
from feedplane_operator.lastwords import undrained
from feedplane_writer.words import fitted, last_word


def pod(*messages: str | None) -> dict[str, Any]:
    ended = [{"name": f"c{i}", "state": {"terminated": {"message": each}}} for i, each in enumerate(messages)]
    return {"status": {"initContainerStatuses": ended, "containerStatuses": [{"state": {"running": {}}}]}}


def word(sink: str, *left: dict[str, Any], is_declared: bool = False) -> str:
    return fitted(last_word(sink, list(left), None, is_declared=is_declared))


LEFT = {"exchange": "bybit", "feed": "trades", "records": 12}


def test_what_is_left_is_told_with_its_fate() -> None:
    assert undrained(pod(word("clickhouse", LEFT))) == (
        "clickhouse did not store 12 records of bybit trades (not declared)"
    )
    assert undrained(pod(word("clickhouse", LEFT, is_declared=True))).endswith("(declared as gaps)")


def test_a_long_list_is_cut_and_counted() -> None:
    text = undrained(pod(word("clickhouse", *([LEFT] * 200))))

    assert text.count("bybit") == 4
    assert "and 196 more feeds" in text


def test_nothing_is_told_of_what_was_drained_or_is_no_loss() -> None:
    assert undrained(pod(word("clickhouse"))) == ""
    assert undrained(pod(word("redis", LEFT))) == ""
    assert undrained(pod("panic: out of memory", None, "[1]", json.dumps({"other": 1}))) == ""
    assert undrained({}) == ""


def test_the_deadline_counts_from_the_deletion_and_stands_for_a_spec_that_says_nothing() -> None:
    deleted = {"metadata": {"deletionTimestamp": "1970-01-01T00:01:00Z"}}

    assert deadline_of(deleted | {"spec": {"rollout": {"drainSeconds": 7}}}) == (60 + 7 + STOP_S) * 10**9
    assert deadline_of(deleted) == (60 + 90 + STOP_S) * 10**9
