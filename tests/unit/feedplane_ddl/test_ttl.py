from __future__ import annotations

import pytest
from feedplane_core.errors import UsageError
from feedplane_ddl.template import Layout
from feedplane_ddl.ttl import RECOMMENDED_DAYS, parse_ttl, ttl_of, ttl_statements

ENGINE = "ReplacingMergeTree PARTITION BY toYYYYMMDD(ts_event, 'UTC') ORDER BY x TTL toDateTime(ts_event) + toIntervalDay(30) SETTINGS a = 1"


def test_nothing_is_dropped_unless_asked() -> None:
    assert parse_ttl("") == {}
    assert ttl_statements({"trades": "MergeTree"}, {}, Layout("d")) == []


def test_days_are_read_per_table() -> None:
    assert parse_ttl("ob_diffs=30, status=keep") == {"ob_diffs": 30, "status": None}
    assert parse_ttl("recommended") == dict(RECOMMENDED_DAYS)


def test_what_cannot_be_derived_again_is_never_in_the_recommendation() -> None:
    assert not RECOMMENDED_DAYS.keys() & {"trades", "trades_1m", "gaps", "instruments", "klines_agg", "liquidations"}


@pytest.mark.parametrize("text", ["nothing=3", "trades=0", "trades=-1", "trades=x", "trades=99999", "trades"])
def test_wrong_days_name_the_table(text: str) -> None:
    with pytest.raises(UsageError, match="ttl"):
        parse_ttl(text)


def test_only_what_differs_is_changed() -> None:
    assert ttl_of(ENGINE) == 30
    assert ttl_of("MergeTree ORDER BY x") is None
    assert ttl_statements({"ob_diffs": ENGINE}, {"ob_diffs": 30}, Layout("d")) == []
    (change,) = ttl_statements({"ob_diffs": ENGINE}, {"ob_diffs": 60}, Layout("d"))
    assert "`d`.`ob_diffs` MODIFY TTL toDateTime(ts_event) + toIntervalDay(60)" in change
    (removal,) = ttl_statements({"ob_diffs_local": ENGINE}, {"ob_diffs": None}, Layout("d", "c"))
    assert "`d`.`ob_diffs_local` ON CLUSTER 'c' REMOVE TTL" in removal
