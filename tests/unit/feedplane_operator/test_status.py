from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from feedplane_core.names import EXCHANGES
from feedplane_feedset.crd import render_crd
from feedplane_feedset.errors import FeedSetError, Problem
from feedplane_operator.conditions import MEANINGS, MESSAGE_CHARS, ConditionType
from feedplane_operator.status import render_ending, render_refused
from feedplane_operator.views import ROW_REASONS

from .conftest import Build, Scene

MakeScene = Callable[..., Scene]


def pull_fails(scene: Scene) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}
    scene.pods[0]["status"] |= {
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "collector", "state": waiting}],
    }


def pod_is_lost(scene: Scene) -> None:
    del scene.pods[0]
    scene.update(next(iter(scene.deployments)), availableReplicas=0)


def rolls_out(scene: Scene) -> None:
    (name,) = scene.deployments
    progress = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
    scene.update(name, replicas=2, updatedReplicas=1, availableReplicas=1, conditions=[progress])


def deadline_passes(scene: Scene) -> None:
    rolls_out(scene)
    message = 'ReplicaSet "x" has timed out progressing.'
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": message}
    scene.update(next(iter(scene.deployments)), conditions=[condition])


def sink_fails(scene: Scene) -> None:
    scene.break_sink()
    scene.look(1)
    scene.look(20)


def rollout_is_held(scene: Scene) -> None:
    sink_fails(scene)
    scene.outdate()


def is_paused_behind(scene: Scene) -> None:
    scene.annotations = {"feedplane.io/reconcile": "disabled"}
    scene.outdate()


def other_symbols_are_on_their_way(scene: Scene) -> None:
    scene.say("collector", symbols={"hash": "0ld", "followed": [], "refused": {}, "file_error": None})


def symbols_are_refused(scene: Scene) -> None:
    hashed = scene.desired.collectors[0].symbols_hash
    refused = {"BTCUSDT": "is not listed"}
    scene.say("collector", symbols={"hash": hashed, "followed": [], "refused": refused, "file_error": None})


def venue_is_silent(scene: Scene) -> None:
    scene.say("collector", sockets={"connected": 0, "planned": 1})
    scene.look(1)
    scene.look(31)


def symbols_cannot_be_read(scene: Scene) -> None:
    hashed = scene.desired.collectors[0].symbols_hash
    scene.say("collector", symbols={"hash": hashed, "refused": {}, "file_error": "symbols.json: is no JSON"})


def gaps_are_declared(scene: Scene) -> None:
    scene.say("collector", feeds={"trades": {"gaps": 3, "state": "live"}})


def object_is_refused(scene: Scene) -> None:
    scene.refused = ["ConfigMap majors-x: belongs to another"]


Disturb = Callable[[Scene], None]
CASES: list[tuple[str, str, str, Disturb | None]] = [
    ("Ready", "True", "AllCollectorsReady", None),
    ("Ready", "False", "CollectorsFailing", pull_fails),
    ("Ready", "False", "RolloutHeld", rollout_is_held),
    ("Ready", "False", "Paused", is_paused_behind),
    ("Ready", "False", "RollingOut", rolls_out),
    ("Ready", "False", "RollingOut", deadline_passes),
    ("Ready", "False", "CollectorsNotReady", pod_is_lost),
    ("Progressing", "False", "RolloutComplete", pod_is_lost),
    ("Ready", "False", "SymbolsChanging", other_symbols_are_on_their_way),
    ("Ready", "False", "SymbolsRefused", symbols_are_refused),
    ("Ready", "False", "VenueSilent", venue_is_silent),
    ("Ready", "False", "SinkUnhealthy", sink_fails),
    ("Ready", "False", "ObjectsRefused", object_is_refused),
    ("Progressing", "False", "ObjectsRefused", object_is_refused),
    ("Accepted", "True", "Valid", None),
    ("Accepted", "False", "SymbolsRefused", symbols_are_refused),
    ("Progressing", "False", "RolloutComplete", None),
    ("Progressing", "True", "RollingOut", rolls_out),
    ("Progressing", "True", "SymbolsChanging", other_symbols_are_on_their_way),
    ("Progressing", "False", "SinkUnhealthy", rollout_is_held),
    ("Progressing", "False", "DeadlineExceeded", deadline_passes),
    ("Progressing", "False", "Paused", is_paused_behind),
    ("SinksHealthy", "True", "Healthy", None),
    ("SinksHealthy", "False", "SinkUnhealthy", sink_fails),
    ("Degraded", "False", "AsExpected", None),
    ("Degraded", "True", "CollectorsFailing", pull_fails),
    ("Degraded", "True", "CollectorsMissing", pod_is_lost),
    ("Degraded", "True", "VenueSilent", venue_is_silent),
    ("Degraded", "True", "SettingsRejected", symbols_cannot_be_read),
    ("Degraded", "True", "RecentGaps", gaps_are_declared),
]


@pytest.mark.parametrize(("kind", "status", "reason", "disturb"), CASES)
def test_conditions_say_what_is(kind: str, status: str, reason: str, disturb: Disturb | None, scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    if disturb is not None:
        disturb(seen)
    seen.look(1)

    assert seen.condition(kind) == (status, reason)


def test_every_reason_of_the_table_is_seen() -> None:
    """And no other: the table is what the documentation shows."""
    others = {
        ("Ready", "False", "NotAccepted"), ("Accepted", "False", "Invalid"), ("Progressing", "False", "NotAccepted"),
        ("Ready", "False", "Terminating"), ("Progressing", "True", "Terminating"), ("SinksHealthy", "Unknown", "NotReported"),
    }  # fmt: skip
    seen = {(kind, status, reason) for kind, status, reason, _ in CASES}

    assert seen | others == {(kind, status, reason) for kind, rows in MEANINGS.items() for status, reason, _ in rows}


def test_before_any_writer_has_told_nothing_is_said_of_sinks(scene: MakeScene) -> None:
    quiet = scene()
    quiet.words = {}
    quiet.look()

    assert quiet.condition("SinksHealthy") == ("Unknown", "NotReported")
    assert quiet.condition("Ready") == ("True", "AllCollectorsReady")


@pytest.mark.parametrize("disturb", [None, *dict.fromkeys(disturb for *_, disturb in CASES if disturb is not None)])
def test_what_does_not_change_is_not_written(disturb: Disturb | None, scene: MakeScene) -> None:
    """However long it lasts, and whatever runs on meanwhile: counts, lags, the age of a trouble."""
    seen = scene()
    seen.look()
    if disturb is not None:
        disturb(seen)
    seen.look(1)
    settled = json.dumps(seen.status)
    for step in range(5):
        seen.say("writer-clickhouse", backlog={"lag_ns": step * 10**9, "bytes": step, "rows": step})
        seen.say("collector", name=f"run-{step}")
        words, seen.words = seen.words, {} if step % 2 else seen.words  # now and then nobody answers
        outcome = seen.look(7)
        seen.words = words

        assert json.dumps(outcome.status) == settled
        assert outcome.events == ()


def test_times_of_transition_stay_while_the_status_does(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    begun = seen.status["conditions"]
    rolls_out(seen)
    seen.look(30)
    changed = {
        each["type"]
        for each, before in zip(seen.status["conditions"], begun, strict=True)
        if each["lastTransitionTime"] != before["lastTransitionTime"]
    }
    assert changed == {"Ready", "Progressing"}

    rolling = {each["type"]: each["lastTransitionTime"] for each in seen.status["conditions"]}
    pull_fails(seen)
    seen.look(30)
    assert seen.condition("Ready") == ("False", "CollectorsFailing")  # another reason of the same status
    assert {
        each["type"]: each["lastTransitionTime"] for each in seen.status["conditions"] if each["type"] != "Degraded"
    } == {kind: time for kind, time in rolling.items() if kind != "Degraded"}


def test_numbers_and_rows(scene: MakeScene) -> None:
    entry = {"name": "a", "shards": 2, "symbols": {"include": [f"S{n}USDT" for n in range(10)]}}
    seen = scene(entry, {"name": "b", "exchange": "bybit", "symbols": {"quotes": ["USDT"]}}, replicas=2)
    seen.say("collector", instruments=40)
    seen.look()

    assert seen.status["collectors"] == {"desired": 6, "ready": 6, "updated": 6}
    assert seen.status["observedGeneration"] == 7
    assert seen.status["appliedVersion"] == "1.2.3"
    assert [
        (row["name"], row["desired"], row["ready"], row["symbols"], row["reason"]) for row in seen.status["exchanges"]
    ] == [
        ("a", 4, 4, 10, "Streaming"),
        ("b", 2, 2, 40, "Streaming"),
    ]
    assert seen.status["symbols"] == 50

    seen.words = {}  # nobody answers: what was told stands
    seen.look()
    assert seen.status["symbols"] == 50


def test_a_version_is_applied_when_it_has_been_rolled_out(scene: MakeScene) -> None:
    seen = scene()
    rolls_out(seen)
    seen.status = {"appliedVersion": "1.0.0"}
    seen.look()
    assert seen.status["appliedVersion"] == "1.0.0"


@pytest.mark.parametrize(
    ("disturb", "word"),
    [
        (None, "Streaming"),
        (pull_fails, "Failing"),
        (rollout_is_held, "Held"),
        (deadline_passes, "Stuck"),
        (rolls_out, "RollingOut"),
        (pod_is_lost, "NotReady"),
        (other_symbols_are_on_their_way, "SymbolsChanging"),
        (symbols_are_refused, "SymbolsRefused"),
        (venue_is_silent, "VenueSilent"),
    ],
)
def test_rows_say_in_a_word_what_is(disturb: Disturb | None, word: str, scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    if disturb is not None:
        disturb(seen)
    seen.look(1)

    assert seen.status["exchanges"][0]["reason"] == word
    assert word in {name for name, _ in ROW_REASONS}


@pytest.mark.parametrize(
    ("disturb", "events"),
    [
        (rolls_out, [("Normal", "RolloutStarted")]),
        (deadline_passes, [("Warning", "RolloutStuck")]),
        (rollout_is_held, [("Warning", "RolloutHeld")]),
        (is_paused_behind, [("Normal", "Paused")]),
        (symbols_are_refused, [("Warning", "SymbolsRefused")]),
        (pull_fails, [("Warning", "CollectorsFailing")]),
        (pod_is_lost, [("Warning", "CollectorsMissing")]),
        (venue_is_silent, []),  # told by the look that saw it
        (other_symbols_are_on_their_way, []),
    ],
)
def test_what_happens_is_told_once(disturb: Disturb, events: list[tuple[str, str]], scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    disturb(seen)

    assert [(event.type, event.reason) for event in seen.look(1).events] == events
    assert seen.look(1).events == ()


def test_recoveries_are_told(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    seen.break_sink()
    told = [event for step in (1, 20) for event in seen.look(step).events]
    seen.mend_sink()
    told += [event for step in (1, 20) for event in seen.look(step).events]

    assert [(event.type, event.reason) for event in told] == [("Warning", "SinkUnhealthy"), ("Normal", "SinkRecovered")]
    assert "connection refused" in told[0].message


def test_the_first_status_of_a_feedset_recovers_from_nothing(scene: MakeScene) -> None:
    assert [event.reason for event in scene().look().events] == ["RolloutComplete"]


def test_a_refused_spec_names_its_fields_and_keeps_what_runs(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    error = FeedSetError([Problem("spec.exchanges[0].feeds[1]", "tape does not offer klines", "trades")])
    outcome = render_refused(seen.status, error, generation=8, now_ns=seen.now_ns)
    rows = seen.status
    seen.status = outcome.status

    assert seen.condition("Ready") == ("False", "NotAccepted")
    assert seen.condition("Accepted") == ("False", "Invalid")
    assert seen.condition("Progressing") == ("False", "NotAccepted")
    assert seen.condition("SinksHealthy") == ("True", "Healthy")
    assert seen.message("Accepted") == "spec.exchanges[0].feeds[1]: tape does not offer klines; did you mean 'trades'?"
    assert (outcome.status["exchanges"], outcome.status["observedGeneration"]) == (rows["exchanges"], 8)
    assert [event.reason for event in outcome.events] == ["ConfigRejected"]

    again = render_refused(outcome.status, error, generation=8, now_ns=seen.now_ns + 10**12)
    assert (again.status, again.events) == (outcome.status, ())
    other = render_refused(
        outcome.status, FeedSetError([Problem("spec", "is empty")]), generation=9, now_ns=seen.now_ns
    )
    assert [event.reason for event in other.events] == ["ConfigRejected"]  # news, although the condition stays


def test_the_first_spec_can_be_refused() -> None:
    outcome = render_refused({}, FeedSetError([Problem("spec", "is empty")]), generation=1, now_ns=0)

    assert [each["type"] for each in outcome.status["conditions"]] == list(ConditionType)


def test_the_end_is_told(scene: MakeScene) -> None:
    seen = scene()
    seen.look()
    seen.status = render_ending(seen.status, "2 pods drain", generation=7, now_ns=seen.now_ns).status

    assert seen.condition("Ready") == ("False", "Terminating")
    assert seen.condition("Progressing") == ("True", "Terminating")
    assert seen.message("Ready") == "2 pods drain"


def test_what_was_said_of_earlier_symbols_is_not_held_against_the_new_ones(scene: MakeScene) -> None:
    """A wrong symbol that was taken out must not be told on, until the pod has followed."""
    seen = scene()
    seen.say("collector", symbols={"hash": "0ld", "refused": {"WRONG": "is not listed"}, "file_error": None})
    seen.look()

    assert seen.condition("Accepted") == ("True", "Valid")
    assert seen.status["symbols"] == 1


def test_a_hold_names_its_remedy(scene: MakeScene) -> None:
    seen = scene()
    rollout_is_held(seen)
    seen.look()

    assert "majors-binance-spot-0 (redis: connection refused)" in seen.message("Progressing")
    assert "annotation feedplane.io/rollout=force" in seen.message("Progressing")


def test_messages_are_for_people(build: Build) -> None:
    """Cut, however much there is to say."""
    symbols = [f"S{n}USDT" for n in range(500)]
    seen = Scene(build({"symbols": {"include": symbols}}))
    hashed = seen.desired.collectors[0].symbols_hash
    refused = dict.fromkeys(symbols, "is not listed" * 50)
    seen.say("collector", symbols={"hash": hashed, "refused": refused, "file_error": None})
    seen.look()

    assert len(seen.message("Accepted")) <= MESSAGE_CHARS
    assert seen.message("Accepted").startswith("spec.exchanges[binance-spot].symbols.include: S0USDT is not listed")
    assert seen.status["symbols"] == 0


@pytest.mark.parametrize("disturb", [None, *dict.fromkeys(disturb for *_, disturb in CASES if disturb is not None)])
def test_the_status_fits_the_schema(disturb: Disturb | None, scene: MakeScene) -> None:
    """What the schema does not know the API server would drop in silence."""
    seen = scene()
    seen.look()
    if disturb is not None:
        disturb(seen)
    seen.look(1)
    schema = render_crd(EXCHANGES)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]

    assert misfits(seen.status, schema, "status") == []
    assert missing(seen.status, schema, "status") == []


def misfits(value: Any, schema: dict[str, Any], path: str) -> list[str]:
    kinds = {"object": dict, "array": list, "string": str, "integer": int}
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{path} is no {schema['type']}"]
    if isinstance(value, dict):
        known = schema["properties"]
        strange = [f"{path}.{key} is unknown" for key in value if key not in known]
        lacking = [f"{path}.{key} is required" for key in schema.get("required", ()) if key not in value]
        return (
            strange
            + lacking
            + [text for key in value if key in known for text in misfits(value[key], known[key], f"{path}.{key}")]
        )
    if isinstance(value, list):
        many = [f"{path} is too long"] if len(value) > schema["maxItems"] else []
        return many + [text for each in value for text in misfits(each, schema["items"], f"{path}[]")]
    if isinstance(value, str):
        is_bad = len(value) > schema.get("maxLength", 10**6) or value not in schema.get("enum", [value])
        return [f"{path} is {value!r}"] if is_bad else []
    return []


def missing(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    """Fields that are promised and not written."""
    return [f"{path}.{key}" for key in schema["properties"] if key not in value]
