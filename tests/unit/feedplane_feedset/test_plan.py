from __future__ import annotations

import json
from typing import Any

import pytest
from feedplane_feedset.plan import Action, FieldChange, plan_change
from feedplane_feedset.plan_text import render_plan

BTC = {"symbols": {"include": ["BTCUSDT"]}}


def test_nothing_changes_nothing(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body(BTC)))

    assert plan.is_empty
    assert plan.count(Action.KEEP) == 1
    assert "no change" in render_plan(plan)


def test_a_new_feedset_starts_all_pods(body: Any, parse: Any) -> None:
    plan = plan_change(None, parse(body(BTC | {"shards": 3}, replicas=2)))

    assert plan.count(Action.START) == 6
    assert [pod.copy for pod in plan.entries[0].pods if pod.symbols_added == ("BTCUSDT",)] == [0, 1]


def test_entries_are_added_and_removed_by_name(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body(BTC | {"name": "renamed"})))

    assert [(entry.name, entry.action) for entry in plan.entries] == [
        ("renamed", Action.START),
        ("binance-spot", Action.STOP),
    ]


def test_symbols_alone_are_hot(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body({"symbols": {"include": ["ETHUSDT", "SOLUSDT"]}})))
    (pod,) = plan.entries[0].pods

    assert pod.action is Action.HOT
    assert (pod.symbols_added, pod.symbols_removed) == (("ETHUSDT", "SOLUSDT"), ("BTCUSDT",))
    assert plan.entries[0].fields == (
        FieldChange("spec.exchanges[binance-spot].symbols.include", ["BTCUSDT"], ["ETHUSDT", "SOLUSDT"]),
    )


def test_only_the_shard_that_gets_the_symbol_is_touched(body: Any, parse: Any) -> None:
    before = {"symbols": {"include": ["BTCUSDT", "ETHUSDT"]}, "shards": 4}
    after = {"symbols": {"include": ["BTCUSDT", "ETHUSDT", "SOLUSDT"]}, "shards": 4}
    plan = plan_change(parse(body(before)), parse(body(after)))

    assert (plan.count(Action.HOT), plan.count(Action.KEEP)) == (1, 3)


@pytest.mark.parametrize(
    ("entry", "spec"),
    [
        ({"feeds": ["trades", "l1"]}, {}),
        ({"cadence": {"l1": "1s"}}, {}),
        ({"resources": {"requests": {"cpu": "1"}}}, {}),
        ({}, {"spool": {"size": "8Gi"}}),
        ({}, {"sinks": {"redis": {"ttl": "1h"}, "clickhouse": {}}}),
        ({}, {"sinks": {"redis": {}}}),
        ({}, {"template": {"priorityClassName": "high"}}),
    ],
)
def test_everything_else_replaces_the_pod(entry: Any, spec: Any, body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body(BTC | entry, **spec)))

    assert plan.count(Action.ROLL) == 1
    assert plan.entries[0].fields or plan.fields


def test_how_to_roll_out_rolls_nothing(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body(BTC, rollout={"minReadySeconds": 30}, paused=True)))

    assert [change.path for change in plan.fields] == ["spec.paused", "spec.rollout.minReadySeconds"]
    assert plan.count(Action.KEEP) == 1
    assert "paused: nothing below happens" in render_plan(plan)


def test_a_drain_bound_is_a_setting_of_the_running_writers(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body(BTC, rollout={"drainSeconds": 30})))

    assert plan.count(Action.ROLL) == 1


def test_another_shard_starts_a_pod_and_replaces_those_that_must_know(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC | {"shards": 2})), parse(body(BTC | {"shards": 3})))

    assert (plan.count(Action.ROLL), plan.count(Action.START)) == (2, 1)
    assert plan.entries[0].action is Action.ROLL


def test_more_copies_start_pods_and_replace_none(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC)), parse(body(BTC, replicas=2)))

    assert (plan.count(Action.START), plan.count(Action.KEEP), plan.count(Action.ROLL)) == (1, 1, 0)


def test_fewer_copies_stop_pods_and_replace_none(body: Any, parse: Any) -> None:
    plan = plan_change(parse(body(BTC, replicas=2)), parse(body(BTC)))

    assert (plan.count(Action.STOP), plan.count(Action.KEEP), plan.count(Action.ROLL)) == (1, 1, 0)


def test_order_of_lists_is_no_change(body: Any, parse: Any) -> None:
    before, after = ({"feeds": feeds} for feeds in (["trades", "l1"], ["l1", "trades"]))

    assert plan_change(parse(body(before)), parse(body(after))).is_empty


def test_a_change_the_server_refuses_is_told(body: Any, parse: Any) -> None:
    claim = {"medium": "PersistentVolumeClaim", "storageClassName": "fast"}
    plan = plan_change(parse(body(BTC)), parse(body(BTC, spool=claim, rollout={"strategy": "Recreate"})))

    assert [problem.path for problem in plan.refused] == ["spec.spool.medium"]
    assert "cannot be changed" in render_plan(plan)


def test_text_for_people(body: Any, parse: Any) -> None:
    before = parse(body(BTC, {"exchange": "tape", "symbols": {"include": ["X"]}}))
    after = parse(
        body({"symbols": {"include": ["BTCUSDT", "ETHUSDT"]}}, {"exchange": "bybit", "symbols": {"include": ["Y"]}})
    )

    assert render_plan(plan_change(before, after)) == (
        "FeedSet majors\n"
        "~ binance-spot (binance_spot): hot\n"
        "    spec.exchanges[binance-spot].symbols.include: [BTCUSDT] -> [BTCUSDT, ETHUSDT]\n"
        "    ~ pod binance-spot-0 takes up other symbols while it runs +ETHUSDT\n"
        "+ bybit (bybit): start\n"
        "    + pod bybit-0 starts +Y\n"
        "- tape (tape): stop\n"
        "    - pod tape-0 ends -X\n"
        "pods: 0 keep, 1 hot, 0 roll, 1 start, 1 stop\n"
    )


def test_a_plan_is_json(body: Any, parse: Any) -> None:
    data = json.loads(json.dumps(plan_change(None, parse(body(BTC))).as_dict()))

    assert data["pods"] == {"keep": 0, "hot": 0, "roll": 0, "start": 1, "stop": 0}
    assert data["entries"][0]["pods"][0]["symbols_added"] == ["BTCUSDT"]
