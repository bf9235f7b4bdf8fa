from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_feedset.config import write_config
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.render import Stores, render_pods
from feedplane_feedset.validate import parse_feedset
from feedplane_journal.segments import SegmentMeta
from feedplane_testing.journals import commit_trades, open_writer
from feedplane_writer.config import load_config
from feedplane_writer.journals import find_journals, origin_of

MINIMAL: dict[str, Any] = {"clickhouse": {"shards": [["127.0.0.1:8123"]]}}


def written(folder: Path, text: str) -> Path:
    path = folder / "writer.json"
    path.write_text(text)
    return path


def test_json_and_yaml_are_read_alike(tmp_path: Path) -> None:
    yaml = "clickhouse:\n  shards: [['127.0.0.1:8123']]\n"

    assert load_config(written(tmp_path, yaml)) == load_config(written(tmp_path, json.dumps(MINIMAL)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shards": []}, "clickhouse.shards"),
        ({"shards": [["http://host:1"]]}, "clickhouse.shards.0.0"),
        ({"database": "a;b"}, "clickhouse.database"),
        ({"max_rows": 0}, "clickhouse.max_rows"),
        ({"password": "x"}, "clickhouse.password"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    text = json.dumps({"clickhouse": {**MINIMAL["clickhouse"], **change}})

    with pytest.raises(UsageError) as caught:
        load_config(written(tmp_path, text))
    assert caught.value.field == field
    assert "http://host" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "a: [", "", "[1]"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        load_config(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.json")


def test_an_l1_interval_is_200_ms_unless_said_and_never_nothing(tmp_path: Path) -> None:
    config = load_config(
        written(
            tmp_path, json.dumps({"clickhouse": {**MINIMAL["clickhouse"], "l1_interval_ns": {"okx": 10, "htx": 10**9}}})
        )
    )

    assert config.clickhouse is not None
    assert [config.clickhouse.l1_interval_of(name) for name in ("kraken", "okx", "htx")] == [
        200_000_000,
        1_000_000,
        10**9,
    ]


def test_journals_appear_under_a_root_once_they_hold_a_segment(tmp_path: Path) -> None:
    root = tmp_path / "journals"
    assert find_journals([], root) == []
    (root / "empty").mkdir(parents=True)
    writer = open_writer(root / "b", meta=SegmentMeta(exchange="kraken"))
    assert find_journals([], root) == []

    commit_trades(writer, 0, 1)
    assert find_journals([root / "b"], root) == [root / "b"]
    assert origin_of(root / "b")[0] == "kraken"
    writer.close()


RENDERED = """
apiVersion: feedplane.io/v1alpha1
kind: FeedSet
metadata: {name: t}
spec:
  exchanges: [{exchange: tape, feeds: [trades]}]
  rollout: {drainSeconds: 30}
  sinks: {redis: {endpoints: ['r:1']}, clickhouse: {shards: [{endpoints: ['c:1']}, {endpoints: ['d:1']}], %s}}
"""


@pytest.mark.parametrize(("given", "applies"), [("user: u", True), ("applySchema: false", False)])
def test_what_a_feedset_is_rendered_to_is_read(tmp_path: Path, given: str, applies: bool) -> None:
    known = KnownExchanges([KnownExchange("tape", frozenset({Feed.TRADES}), frozenset({MarketType.SPOT}))])
    (pod,) = render_pods(parse_feedset(RENDERED % given, known), Stores())
    redis, clickhouse = (load_config(written(tmp_path, write_config(writer))) for writer in pod.writers)

    assert (redis.drain_ns, clickhouse.drain_ns) == (30 * NS_PER_S, 30 * NS_PER_S)
    assert clickhouse.clickhouse is not None
    assert clickhouse.clickhouse.apply_schema is applies
    assert clickhouse.clickhouse.shards == (("c:1",), ("d:1",))
