"""One bad answer is no outage, one good answer no recovery; silence says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from feedplane_operator.health import Memory
from feedplane_testing import kube_state

from .conftest import Scene

MakeScene = Callable[..., Scene]


def unhealthy(scene: Scene, after_s: float = 0) -> bool:
    scene.look(after_s)
    return scene.condition("SinksHealthy")[0] == "False"


def test_a_sink_is_unhealthy_after_ten_seconds_of_trouble(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    seen.break_sink("clickhouse", for_s=0)

    assert [unhealthy(seen, after_s) for after_s in (0, 5, 4, 1)] == [False, False, False, True]
    assert seen.message("SinksHealthy") == "clickhouse: connection refused"


def test_a_writer_that_tells_the_age_of_its_trouble_is_believed(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    seen.break_sink("redis", for_s=9)
    assert not unhealthy(seen)
    seen.break_sink("redis", for_s=10)
    assert unhealthy(seen)


def test_trouble_that_comes_and_goes_is_no_outage(scene: MakeScene) -> None:
    seen = scene()
    for _ in range(10):
        seen.break_sink("clickhouse", for_s=1)
        assert not unhealthy(seen, 5)
        seen.mend_sink("clickhouse")
        assert not unhealthy(seen, 5)


def test_a_sink_is_well_after_fifteen_seconds_without_trouble(scene: MakeScene) -> None:
    seen = scene()
    seen.break_sink("redis")
    assert unhealthy(seen)
    seen.mend_sink("redis")
    assert [unhealthy(seen, after_s) for after_s in (0, 5, 9)] == [True, True, True]
    seen.break_sink("redis")
    assert unhealthy(seen, 1)  # a relapse begins the wait anew
    seen.mend_sink("redis")
    assert [unhealthy(seen, after_s) for after_s in (0, 14, 1)] == [True, True, False]


def test_a_store_that_answers_and_takes_nothing_is_unhealthy(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    seen.say("writer-clickhouse", **kube_state.writer_words("clickhouse", lag_s=91))

    assert [unhealthy(seen, after_s) for after_s in (0, 10)] == [False, True]
    assert seen.message("SinksHealthy") == "clickhouse: writers are far behind"


def test_another_word_for_the_same_outage_is_no_news(scene: MakeScene) -> None:
    seen = scene()
    seen.break_sink("redis", "connection refused")
    assert unhealthy(seen)
    seen.break_sink("redis", "timed out")
    assert seen.look(5).events == ()
    assert seen.message("SinksHealthy") == "redis: connection refused"


def test_silence_raises_and_clears_nothing(scene: MakeScene) -> None:
    seen = scene()
    seen.break_sink("redis")
    assert unhealthy(seen)
    seen.words = {}
    assert unhealthy(seen, 3_600)


@pytest.mark.parametrize("is_away", [True, False])
def test_an_operator_that_starts_anew_believes_what_stands_in_the_status(is_away: bool, scene: MakeScene) -> None:
    """Else the restart of the operator would let go of a rollout that is held, for ten seconds."""
    seen = scene()
    seen.break_sink("clickhouse")
    seen.look(20)
    seen.break_sink("redis", "a; clickhouse-like: reason")
    seen.look(20)
    status = seen.status
    assert seen.condition("SinksHealthy") == ("False", "SinkUnhealthy")

    seen.memory = Memory()
    if not is_away:
        seen.mend_sink("clickhouse")
        seen.mend_sink("redis")
    assert seen.look(1).status == status
    assert seen.look(14).status == status
    assert (seen.look(1).status == status) == is_away


def test_an_operator_that_hears_nobody_lets_go_of_nothing(scene: MakeScene) -> None:
    """It starts anew where the network keeps it from the pods: what is held stays held."""
    seen = scene()
    seen.break_sink("clickhouse")
    seen.look(20)
    status, seen.memory, seen.words = seen.status, Memory(), {}
    seen.outdate()

    assert seen.decide().held
    assert seen.look(60).status["conditions"][3] == status["conditions"][3]


def test_a_sink_that_is_not_used_any_more_is_not_judged(scene: MakeScene) -> None:
    seen = scene(sinks={"redis": {}})
    seen.words = {
        pod: words | {"writer-clickhouse": kube_state.writer_words("clickhouse", trouble="refused")}
        for pod, words in seen.words.items()
    }
    seen.look()
    seen.look(60)

    assert seen.condition("SinksHealthy") == ("True", "Healthy")


def test_a_venue_is_silent_after_half_a_minute(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    seen.say(
        "collector", feeds={"trades": {"state": "stale"}, "l1": {"state": "live"}, "klines": {"state": "disconnected"}}
    )
    states = []
    for after_s in (0, 29, 1):
        seen.look(after_s)
        states.append(seen.condition("Degraded")[1])

    assert states == ["AsExpected", "AsExpected", "VenueSilent"]
    assert seen.message("Degraded") == "majors-binance-spot-0: klines, trades bring nothing"
    seen.say("collector", feeds={"trades": {"state": "live"}})
    seen.look()
    seen.look(30)
    assert seen.condition("Degraded")[1] == "AsExpected"


def test_a_venue_that_one_live_copy_hears_is_not_silent(scene: MakeScene) -> None:
    seen = scene(replicas=2)
    first = next(iter(seen.words))
    seen.words[first]["collector"] |= {"sockets": {"connected": 0, "planned": 3}}
    seen.look()
    seen.look(60)
    assert seen.condition("Degraded")[1] == "AsExpected"


def test_gaps_are_remembered_for_a_quarter_of_an_hour(scene: MakeScene) -> None:
    seen = scene()
    seen.say("collector", feeds={"trades": {"gaps": 5, "state": "live"}})  # from before this operator looked
    seen.look()
    assert seen.condition("Degraded")[1] == "AsExpected"
    seen.say("collector", feeds={"trades": {"gaps": 6, "state": "live"}})
    seen.look(1)
    assert seen.condition("Degraded")[1] == "RecentGaps"
    seen.look(899)
    assert seen.condition("Degraded")[1] == "RecentGaps"
    seen.look(2)
    assert seen.condition("Degraded")[1] == "AsExpected"


def test_memory_is_bounded_by_what_is_there(scene: MakeScene) -> None:
    seen = scene()
    for generation in range(50):
        for pod in seen.pods:
            pod["metadata"]["uid"] = f"uid-{generation}"
        seen.look(1)

    assert len(seen.memory.words) == 1
    assert len(seen.memory.beliefs) == 3


def words_of_strangers() -> list[Any]:
    return [{}, {"feeds": None}, {"feeds": {"trades": 7}}, {"sockets": []}, {"symbols": "x", "instruments": "many"}]


@pytest.mark.parametrize("said", words_of_strangers())
def test_words_of_another_version_are_no_reason_to_fail(said: Any, scene: MakeScene) -> None:
    seen = scene()
    for words in seen.words.values():
        words["collector"] = said
        words["writer-redis"] = {"store": None, "backlog": []}
        words["writer-clickhouse"] = {"store": {"ok": "perhaps"}, "backlog": {"lag_ns": "long"}}
    seen.look()

    assert seen.condition("Ready")[0] == "True"
