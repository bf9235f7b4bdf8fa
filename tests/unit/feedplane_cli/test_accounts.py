"""The account of a plane: shards summed, sinks side by side, and what does not add up."""

from __future__ import annotations

from typing import Any

import pytest
from feedplane_cli.accounts import COUNTS, imbalances, merge_accounts


def collector(exchange: str = "okx", feed: str = "trades", **counts: int) -> dict[str, Any]:
    return {"exchange": exchange, "feeds": {feed: dict.fromkeys(COUNTS, 0) | counts}}


def writer(feed: str = "trades", **counts: int) -> dict[str, Any]:
    return {"accounts": [{"exchange": "okx", "feed": feed, **counts}]}


def shard(journalled: int, shed: int = 0) -> dict[str, Any]:
    normalised = journalled + shed
    return collector(received=normalised, normalised=normalised, journalled=journalled, shed=shed)


def test_shards_of_an_exchange_are_one_row() -> None:
    (row,) = merge_accounts([shard(100), shard(20)], {"redis": writer(written=90, stored=7)})

    assert (row["received"], row["journalled"]) == (120, 120)
    assert row["written"] == {"redis": 90}
    assert row["stored"] == {"redis": 7}
    assert row["pending"] == {"redis": 30}
    assert imbalances([row]) == []


def test_each_sink_has_its_own_backlog_and_quarantine_settles() -> None:
    writers = {"redis": writer(written=100), "clickhouse": writer(written=60, quarantined=5)}

    (row,) = merge_accounts([shard(100)], writers)

    assert row["pending"] == {"redis": 0, "clickhouse": 35}


def test_what_the_journal_dropped_is_shed_once() -> None:
    """The collector has moved 30 from journalled to shed; the writer calls the same 30 lost."""
    (row,) = merge_accounts([shard(70, shed=30)], {"redis": writer(written=70, lost=30)})

    assert row["pending"] == {"redis": 0}
    assert imbalances([row]) == []


def test_lost_rows_that_no_venue_sent_wait_for_nobody() -> None:
    (row,) = merge_accounts([shard(100)], {"redis": writer(written=90, lost=10)})

    assert row["pending"] == {"redis": 0}


def test_rows_are_in_order_and_a_writer_without_account_counts_nothing() -> None:
    rows = merge_accounts([collector("okx", "trades"), collector("bybit", "l1"), collector("okx", "l1")], {"redis": {}})

    assert [(row["exchange"], row["feed"]) for row in rows] == [("bybit", "l1"), ("okx", "l1"), ("okx", "trades")]
    assert all(row["pending"] == {"redis": 0} for row in rows)


def test_a_writer_may_know_a_feed_whose_collector_is_silent() -> None:
    (row,) = merge_accounts([], {"redis": writer(written=3)})

    assert row["pending"] == {"redis": -3}
    assert imbalances([row]) == ["okx trades: redis has written more than was journalled"]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"received": 5, "normalised": 4, "journalled": 4}, "received is not normalised + rejected + ignored"),
        ({"received": 5, "normalised": 5, "journalled": 4}, "normalised is not journalled + shed"),
    ],
)
def test_books_that_do_not_balance_are_told(counts: dict[str, int], told: str) -> None:
    assert imbalances(merge_accounts([collector(**counts)], {})) == [f"okx trades: {told}"]
