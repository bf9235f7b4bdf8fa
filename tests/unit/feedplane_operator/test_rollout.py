from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from feedplane_operator.rollout import is_paused

from .conftest import Build, Scene, owner_of

MakeScene = Callable[..., Scene]
TWO = ({"name": "a"}, {"name": "b", "exchange": "bybit"})
THREE_SHARDS = {"name": "a", "shards": 3, "symbols": {"include": [f"S{n}USDT" for n in range(30)]}}
CLAIM = {"medium": "PersistentVolumeClaim", "storageClassName": "fast"}


def names(objects: Any, kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in objects if each["kind"] == kind}


def test_all_is_applied_in_order_where_nothing_is_there(scene: MakeScene) -> None:
    new = scene(*TWO)
    new.deployments, new.pods = {}, []

    assert new.decide().apply == new.desired.objects


def test_what_is_as_wanted_is_applied_again(scene: MakeScene) -> None:
    """Applying is how drift is seen and mended; it writes nothing where nothing differs."""
    settled = scene(*TWO)

    assert settled.decide().apply == settled.desired.objects
    assert not settled.decide().held
    assert not settled.decide().waiting


@pytest.mark.parametrize(
    ("annotations", "spec"), [({"feedplane.io/reconcile": "disabled"}, {}), ({}, {"paused": True})]
)
def test_a_paused_feedset_is_left_as_it_is(annotations: dict[str, str], spec: dict[str, Any], scene: MakeScene) -> None:
    paused = scene(**spec)
    paused.outdate()
    paused.annotations = annotations
    decision = paused.decide()

    assert is_paused(paused.feedset, annotations)
    assert (decision.is_paused, decision.apply) == (True, ())
    assert decision.keeps({"kind": "ConfigMap", "metadata": {"name": "any", "labels": {}}})


def test_collectors_of_one_exchange_are_replaced_one_after_the_other(scene: MakeScene) -> None:
    rolling = scene(THREE_SHARDS, {"name": "b", "exchange": "bybit"})
    wanted = dict(rolling.deployments)
    rolling.outdate()
    seen = []
    while rolling.decide().waiting:
        turn = rolling.applied() - set(seen)
        seen += sorted(turn)
        for name in turn:  # on its way: nobody else of the exchange gets a turn
            rolling.deployments[name] = wanted[name]
            rolling.update(name, updatedReplicas=0)
        assert rolling.applied() == set(seen)
        for name in turn:
            rolling.update(name, updatedReplicas=1)

    assert seen == ["majors-a-0", "majors-b-0", "majors-a-1"]
    assert rolling.applied() == set(wanted)


def test_settings_that_do_not_work_stop_at_the_first_collector(scene: MakeScene) -> None:
    stuck = scene(THREE_SHARDS)
    stuck.outdate("majors-a-1", "majors-a-2")
    stuck.update("majors-a-0", replicas=2, updatedReplicas=1, availableReplicas=1)

    assert stuck.decide().waiting == ("majors-a-1", "majors-a-2")


def test_what_is_on_its_way_gets_the_remedy_first(scene: MakeScene) -> None:
    """The second of three is stuck on its way to bad settings: the good ones go to it, not to the first."""
    stuck = scene(THREE_SHARDS)
    stuck.outdate()
    stuck.update("majors-a-1", replicas=2, updatedReplicas=1, availableReplicas=1)

    assert stuck.applied() == {"majors-a-1"}
    assert stuck.decide().waiting == ("majors-a-0", "majors-a-2")


def test_a_hot_change_of_symbols_waits_for_nothing(scene: MakeScene) -> None:
    """Nor for a sink, nor for other collectors of the exchange: it ends no pod."""
    changed = scene(THREE_SHARDS)
    changed.break_sink()
    changed.look(60)
    changed.update("majors-a-1", updatedReplicas=0)

    assert {"majors-a-0-symbols", "majors-a-1-symbols", "majors-a-2-symbols"} <= names(
        changed.decide().apply, "ConfigMap"
    )


def test_added_shards_follow_their_symbols_before_others_drop_them(build: Build) -> None:
    before = Scene(build(THREE_SHARDS | {"shards": 2}))
    grown = Scene(build(THREE_SHARDS), before.desired)
    first = grown.decide()

    assert names(first.apply, "Deployment") == {"majors-a-2"}  # what is missing is made at once
    assert names(first.apply, "ConfigMap") >= {"majors-a-2-symbols"}
    assert names(first.apply, "ConfigMap").isdisjoint({"majors-a-0-symbols", "majors-a-1-symbols"})

    grown._run(grown.desired.collectors[2], grown.desired.collectors[2].objects[-1])
    then = grown.decide()
    assert names(then.apply, "Deployment") == {"majors-a-0", "majors-a-2"}
    assert names(then.apply, "ConfigMap") >= {"majors-a-0-symbols"}
    assert names(then.apply, "ConfigMap").isdisjoint({"majors-a-1-symbols"})


def test_a_shard_that_is_not_wanted_any_more_stays_until_others_have_taken_over(build: Build) -> None:
    before = Scene(build(THREE_SHARDS))
    shrunk = Scene(build(THREE_SHARDS | {"shards": 2}), before.desired)
    decision = shrunk.decide()
    gone = before.desired.collectors[2]

    assert decision.kept == {"majors-a-2": "until majors-a-0, majors-a-1 has taken over"}
    assert all(decision.keeps(each) for each in gone.objects)
    assert not any(decision.keeps(each) for each in before.desired.collectors[0].objects)

    for collector in shrunk.desired.collectors:
        shrunk._run(collector, collector.objects[-1])
    assert shrunk.decide().kept == {}


def test_an_entry_that_goes_waits_for_no_other_exchange(build: Build) -> None:
    before = Scene(build(*TWO))
    after = Scene(build(TWO[0]), before.desired)
    after.outdate("majors-a-0")

    assert after.decide().kept == {}


@pytest.mark.parametrize("sink", ["redis", "clickhouse"])
def test_no_pod_is_ended_while_its_sink_takes_no_data(sink: str, scene: MakeScene) -> None:
    held = scene(
        {"name": "a", "sinks": [sink]},
        {"name": "b", "exchange": "bybit", "sinks": ["clickhouse" if sink == "redis" else "redis"]},
    )
    held.outdate()
    held.break_sink(sink)
    held.look()
    held.look(20)
    decision = held.decide()

    assert list(decision.held) == ["majors-a-0"]
    assert "connection refused" in decision.held["majors-a-0"]
    assert held.applied() == {"majors-b-0"}  # whose own sink is well

    held.mend_sink(sink)
    held.look()
    held.look(20)
    assert held.applied() == {"majors-a-0", "majors-b-0"}


@pytest.mark.parametrize(
    ("annotations", "spec"),
    [({"feedplane.io/rollout": "force"}, {}), ({}, {"rollout": {"holdWhenSinkUnhealthy": False}})],
)
def test_a_hold_can_be_overridden(annotations: dict[str, str], spec: dict[str, Any], scene: MakeScene) -> None:
    forced = scene(**spec)
    forced.annotations = annotations
    forced.outdate()
    forced.break_sink()
    forced.look(20)

    assert not forced.decide().held
    assert forced.applied() == {"majors-binance-spot-0"}


def test_a_rollout_on_its_way_stands_still_while_the_sink_is_away(scene: MakeScene) -> None:
    rolling = scene()
    (name,) = rolling.deployments
    rolling.update(name, replicas=2, updatedReplicas=1, availableReplicas=1)
    rolling.break_sink()
    rolling.look()
    decision = rolling.decide()

    (applied,) = [each for each in decision.apply if each["kind"] == "Deployment"]
    assert list(decision.held) == [name]
    assert applied["spec"]["paused"] is True
    assert {key: value for key, value in applied["spec"].items() if key != "paused"} == rolling.desired.objects[-1][
        "spec"
    ]

    rolling.mend_sink()
    rolling.look()
    rolling.look(20)
    assert rolling.desired.objects[-1] in rolling.decide().apply
    assert "paused" not in rolling.desired.objects[-1]["spec"]


def test_fewer_copies_and_removed_entries_wait_for_the_sink_too(build: Build) -> None:
    before = Scene(build(*TWO, replicas=2))
    fewer = Scene(build(TWO[0]), before.desired)
    fewer.break_sink()
    fewer.look()
    decision = fewer.decide()

    assert list(decision.held) == ["majors-a-0"]
    assert decision.kept == {"majors-b-0": "redis: connection refused"}


def test_a_sink_that_is_not_wanted_any_more_holds_nothing(build: Build) -> None:
    """A store that is gone for good is taken out of the FeedSet; what was for it is for nobody."""
    before = Scene(build(*TWO))
    after = Scene(build(TWO[0], sinks={"redis": {}}), before.desired)
    after.break_sink("clickhouse")
    after.look()
    after.look(20)

    assert after.memory.beliefs["sink clickhouse"].bad_reason is not None
    assert (after.decide().held, after.decide().kept) == ({}, {})


def test_a_sink_that_pods_do_not_write_to_yet_holds_nothing(build: Build) -> None:
    before = Scene(build(TWO[0], {"name": "b", "exchange": "bybit", "sinks": ["redis"]}))
    after = Scene(build(*TWO), before.desired)
    after.break_sink("clickhouse")
    after.look()
    after.look(20)

    assert after.applied() >= {"majors-b-0"}


def test_more_copies_wait_for_nothing(build: Build) -> None:
    more = Scene(build(replicas=2), Scene(build()).desired)
    more.break_sink()
    more.look()

    assert not more.decide().held
    assert more.applied() == {"majors-binance-spot-0"}


def test_live_copies_on_claims_are_replaced_one_after_the_other(scene: MakeScene) -> None:
    slots = scene(replicas=2, spool=CLAIM)
    first, second = sorted(slots.deployments)
    wanted = dict(slots.deployments)
    slots.outdate()

    assert slots.applied() == {first}
    slots.deployments[first] = wanted[first]
    slots.update(first, replicas=0, updatedReplicas=0, availableReplicas=0)  # Recreate: ended, not started yet
    assert slots.decide().waiting == (second,)
    slots.update(first, replicas=1, updatedReplicas=1, availableReplicas=1)
    assert slots.applied() == {first, second}


def test_owner_is_part_of_what_is_applied(scene: MakeScene) -> None:
    settled = scene()

    assert {each["metadata"]["ownerReferences"][0]["uid"] for each in settled.decide().apply} == {
        owner_of(settled.feedset).uid
    }
