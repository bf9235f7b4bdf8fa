"""The FeedSet resource on a real API server: schema, defaults, rules, server-side apply, sizes. No operator runs."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
from feedplane_cluster.api import APPLY, MERGE, Answer, Api
from feedplane_cluster.kubectl import Kubectl
from feedplane_feedset.model import FeedSet

Object = dict[str, Any]
GROUP: Final = "/apis/feedplane.io/v1alpha1"
MINIMAL: Final[Object] = {"exchanges": [{"name": "okx", "exchange": "okx", "feeds": ["trades"]}]}
FULL: Final[Object] = {
    "exchanges": [
        {
            "name": "okx",
            "exchange": "okx",
            "feeds": ["trades", "ob_diffs"],
            "symbols": {"include": ["BTC-USDT"]},
            "resources": {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"memory": "256Gi"}},
        }
    ],
    "sinks": {
        "redis": {
            "endpoints": ["redis:6379"],
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "256Gi"}},
        },
        "clickhouse": {
            "shards": [{"endpoints": ["clickhouse:8123"]}],
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "256Gi"}},
        },
    },
}
"""Says something wherever a rule looks; bounds of memory are far apart so that each can be tried alone."""
PVC: Final = {"medium": "PersistentVolumeClaim", "storageClassName": "fast"}


def feedset(spec: Mapping[str, Any], name: str = "x") -> Object:
    return {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "metadata": {"name": name},
        "spec": copy.deepcopy(dict(spec)),
    }


def with_value(spec: Mapping[str, Any], path: str, value: Any) -> Object:
    """A spec in which `exchanges[].cadence.l1` and the like is set; `[]` is the first of a list."""
    made = copy.deepcopy(dict(spec))
    *folders, last = path.replace("[]", ".0").split(".")
    node: Any = made
    for part, following in zip(folders, [*folders[1:], last], strict=True):
        node = node[int(part)] if part.isdigit() else node.setdefault(part, [] if following.isdigit() else {})
    if last.isdigit():
        node[int(last)] = value
    else:
        node[last] = value
    return made


class FeedSets:
    """FeedSets of one namespace over HTTP."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.path = f"{GROUP}/namespaces/{namespace}/feedsets"

    def dry_run(self, spec: Mapping[str, Any]) -> Answer:
        return self._api.call("POST", f"{self.path}?dryRun=All&fieldValidation=Strict", feedset(spec))

    def create(self, spec: Mapping[str, Any], name: str = "x", validation: str = "Strict") -> Answer:
        return self._api.call("POST", f"{self.path}?fieldValidation={validation}", feedset(spec, name))

    def apply(self, spec: Mapping[str, Any], manager: str, name: str = "x") -> Answer:
        path = f"{self.path}/{name}?fieldManager={manager}"
        return self._api.call("PATCH", path, feedset(spec, name), content_type=APPLY)

    def merge(self, patch: Mapping[str, Any], name: str = "x", part: str = "") -> Answer:
        return self._api.call("PATCH", f"{self.path}/{name}{part}", patch, content_type=MERGE)

    def get(self, name: str = "x") -> Object:
        return dict(self._api.call("GET", f"{self.path}/{name}").body)


@pytest.fixture(scope="module")
def feedsets(api: Api, kube: Kubectl, crd: Object) -> Iterator[FeedSets]:
    """In one namespace for all tests here: most never store anything."""
    name = "crd-tests"
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield FeedSets(api, name)
    kube.delete("namespace", name, wait=False)


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "feedsets" in request.fixturenames:
        sets: FeedSets = request.getfixturevalue("feedsets")
        sets._api.call("DELETE", sets.path)


def rules(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, rule) of every CEL rule below a schema."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield path, rule
    for name, child in schema.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from rules(schema["items"], f"{path}[]")


def schema_of(crd: Mapping[str, Any]) -> Object:
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


# ---------------------------------------------------------------------------------------------------- rules and bounds
_BETWEEN: Final = re.compile(r"must be between (\S+) and (\S+)$")
_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_KI: Final = {"Ki": 1, "Mi": 1 << 10, "Gi": 1 << 20, "Ti": 1 << 30}


def beside(low: str, high: str) -> tuple[list[str], list[str]]:
    """Values at the bounds, and those just outside that the pattern of such values still lets through."""
    number, unit = re.fullmatch(r"(\d+)(\D+)", low).groups()  # type: ignore[union-attr]
    top_number, top_unit = re.fullmatch(r"(\d+)(\D+)", high).groups()  # type: ignore[union-attr]
    if unit in _KI:
        below = int(number) * _KI[unit] - 1
        above = int(top_number) * _KI[top_unit] // _KI["Mi"] + 1
        return [low, high], [f"{below}Ki", f"{above}Mi"]
    below = int(number) * _MS[unit] - 1
    above = int(top_number) * _MS[top_unit] // _MS["s"] + 1
    return [low, high], [*([f"{below}ms"] if below else []), f"{above}s"]


def test_bounds_hold_exactly(feedsets: FeedSets, crd: Object) -> None:
    """Every `must be between`: both bounds are taken, the values beside them refused at their path."""
    spec = schema_of(crd)["properties"]["spec"]
    bounded = [(path, _BETWEEN.search(rule["message"])) for path, rule in rules(spec)]
    wrong = []
    for path, found in bounded:
        if found is None:
            continue
        inside, outside = beside(found[1], found[2])
        field = "spec." + path.replace("[]", "[0]")
        for value in inside:
            answer = feedsets.dry_run(with_value(FULL, path, value))
            wrong += [] if answer.is_ok else [f"{path}={value}: {answer.causes}"]
        for value in outside:
            answer = feedsets.dry_run(with_value(FULL, path, value))
            told = [message for where, message in answer.causes if where == field]
            wrong += [] if any(found[0] in message for message in told) else [f"{path}={value}: {answer}"]

    assert len([found for _, found in bounded if found]) >= 15
    assert wrong == []


_SINKS: Final = {"redis": {"endpoints": ["r:6379"]}}
CASES: Final[Mapping[tuple[str, str], tuple[Object, Object, str]]] = {
    ("", "MakeBeforeBreak on a PersistentVolumeClaim needs replicas: 2"): (
        {**MINIMAL, "spool": PVC},
        {**MINIMAL, "spool": PVC, "replicas": 2},
        "spec.rollout.strategy",
    ),
    ("", "shards times replicas may be at most 64"): (
        {**with_value(MINIMAL, "exchanges[].shards", 33), "replicas": 2},
        {**with_value(MINIMAL, "exchanges[].shards", 32), "replicas": 2},
        "spec.exchanges",
    ),
    ("", "an entry names a sink that spec.sinks does not name"): (
        {**with_value(MINIMAL, "exchanges[].sinks", ["clickhouse"]), "sinks": _SINKS},
        {**with_value(MINIMAL, "exchanges[].sinks", ["redis"]), "sinks": _SINKS},
        "spec.exchanges",
    ),
    ("exchanges[].symbols", "quotes belongs to discovery"): (
        with_value(MINIMAL, "exchanges[].symbols", {"include": ["BTC-USDT"], "quotes": ["USDT"]}),
        with_value(MINIMAL, "exchanges[].symbols", {"quotes": ["USDT"]}),
        "spec.exchanges[0].symbols.quotes",
    ),
    ("spool", "medium PersistentVolumeClaim needs storageClassName"): (
        {**MINIMAL, "replicas": 2, "spool": {"medium": "PersistentVolumeClaim"}},
        {**MINIMAL, "replicas": 2, "spool": PVC},
        "spec.spool.storageClassName",
    ),
    ("sinks", "names no sink"): ({**MINIMAL, "sinks": {}}, {**MINIMAL, "sinks": {"redis": {}}}, "spec.sinks"),
    ("sinks.redis", "mode Standalone takes one endpoint"): (
        {**MINIMAL, "sinks": {"redis": {"endpoints": ["a:1", "b:2"]}}},
        {**MINIMAL, "sinks": {"redis": {"endpoints": ["a:1", "b:2"], "mode": "Cluster"}}},
        "spec.sinks.redis.endpoints",
    ),
    ("sinks.redis.endpoints[]", "the port is 1..65535"): (
        with_value(FULL, "sinks.redis.endpoints", ["redis:65536"]),
        with_value(FULL, "sinks.redis.endpoints", ["redis:65535"]),
        "spec.sinks.redis.endpoints[0]",
    ),
    ("sinks.clickhouse.shards[].endpoints[]", "the port is 1..65535"): (
        with_value(FULL, "sinks.clickhouse.shards[].endpoints", ["c:65536"]),
        with_value(FULL, "sinks.clickhouse.shards[].endpoints", ["c:65535"]),
        "spec.sinks.clickhouse.shards[0].endpoints[0]",
    ),
    ("rollout", "progressDeadlineSeconds must be more than minReadySeconds"): (
        {**MINIMAL, "rollout": {"minReadySeconds": 60, "progressDeadlineSeconds": 60}},
        {**MINIMAL, "rollout": {"minReadySeconds": 60, "progressDeadlineSeconds": 61}},
        "spec.rollout.progressDeadlineSeconds",
    ),
    **{
        (f"{owner}.resources", f"requests.{part} is more than limits.{part}"): (
            with_value(FULL, f"{owner}.resources", {"requests": {part: more}, "limits": {part: less}}),
            with_value(FULL, f"{owner}.resources", {"requests": {part: more}, "limits": {part: more}}),
            f"spec.{owner}.resources.requests.{part}".replace("[]", "[0]"),
        )
        for owner in ("exchanges[]", "sinks.redis", "sinks.clickhouse")
        for part, more, less in (("memory", "600Mi", "599Mi"), ("cpu", "2", "1999m"))
    },
}
"""(schema path, start of the message) -> a spec that breaks the rule, one that just keeps it, the field that is named."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1]}")
def test_rule_refuses_at_its_field_and_takes_what_keeps_it(feedsets: FeedSets, case: tuple[str, str]) -> None:
    broken, kept, field = CASES[case]
    refused = feedsets.dry_run(broken)
    accepted = feedsets.dry_run(kept)

    assert (refused.status, accepted.status) == (422, 201), (refused, accepted)
    assert any(where == field and case[1] in message for where, message in refused.causes), refused.causes


CHANGES: Final[Mapping[str, tuple[Object, Object, Object, str]]] = {
    "medium cannot be changed": (
        {**MINIMAL, "replicas": 2},
        {"spool": PVC},
        {"spool": {"medium": "EmptyDir"}},
        "spec.spool.medium",
    ),
    "storageClassName cannot be changed": (
        {**MINIMAL, "replicas": 2, "spool": PVC},
        {"spool": {"storageClassName": "slow"}},
        {"spool": {"storageClassName": "fast"}},
        "spec.spool.storageClassName",
    ),
    "size of a claim can only grow": (
        {**MINIMAL, "replicas": 2, "spool": {**PVC, "size": "4Gi"}},
        {"spool": {"size": "4095Mi"}},
        {"spool": {"size": "5Gi"}},
        "spec.spool.size",
    ),
}
"""Start of the message -> the first spec, a change that is refused, one that is not, the field that is named."""


@pytest.mark.parametrize("message", CHANGES)
def test_change_that_would_lose_a_journal_is_refused(feedsets: FeedSets, message: str) -> None:
    first, forbidden, allowed, field = CHANGES[message]
    assert feedsets.create(first).is_ok
    refused = feedsets.merge({"spec": forbidden})

    assert refused.status == 422
    assert any(where == field and message in told for where, told in refused.causes), refused.causes
    assert feedsets.merge({"spec": allowed}).is_ok


def test_every_rule_of_the_resource_is_tried_here(crd: Object) -> None:
    """A rule that is added without a case fails this test."""
    untried = [
        (path, rule["message"])
        for path, rule in rules(schema_of(crd)["properties"]["spec"])
        if not _BETWEEN.search(rule["message"])
        and not any(path == where and rule["message"].startswith(start) for where, start in CASES)
        and not (path == "spool" and any(rule["message"].startswith(start) for start in CHANGES))
    ]

    assert untried == []


# --------------------------------------------------------------------------------------- schema, defaults, subresources
def test_every_field_is_described_on_the_server(api: Api, crd: Object) -> None:
    document = api.call("GET", "/openapi/v3/apis/feedplane.io/v1alpha1").body
    schema = document["components"]["schemas"]["io.feedplane.v1alpha1.FeedSet"]["properties"]
    silent = [path for part in ("spec", "status") for path in _undescribed(schema[part], part)]

    assert silent == []


def _undescribed(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if not schema.get("description"):
        yield path
    for name, child in schema.get("properties", {}).items():
        yield from _undescribed(child, f"{path}.{name}")
    if schema.get("items", {}).get("properties"):
        yield from _undescribed(schema["items"], f"{path}[]")


def test_kubectl_explains_fields(kube: Kubectl, crd: Object) -> None:
    text = kube("explain", "feedset.spec.exchanges.connection.staleAfter")

    assert "without any frame for this long is replaced" in text


def test_defaults_are_those_of_the_model(feedsets: FeedSets) -> None:
    """What the server fills in is what every process assumes: one model."""
    stored = feedsets.create(MINIMAL).body["spec"]
    model = FeedSet.model_validate(feedset(MINIMAL)).as_dict()["spec"]

    assert _plain(stored) == _plain(model)


def _plain(value: Any) -> Any:
    """Without what is absent: None in the model, missing on the server."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def test_unknown_fields_are_refused_or_pruned(feedsets: FeedSets) -> None:
    strict = feedsets.create({**MINIMAL, "urls": ["ws://elsewhere"]})
    lenient = feedsets.create({**MINIMAL, "urls": ["ws://elsewhere"]}, validation="Ignore")

    assert strict.status == 400
    assert 'unknown field "spec.urls"' in strict.body["message"]
    assert "urls" not in lenient.body["spec"]


def test_status_and_spec_are_written_apart(feedsets: FeedSets) -> None:
    assert feedsets.create(MINIMAL).is_ok
    feedsets.merge({"status": {"symbols": 7}})
    after_main = feedsets.get()
    feedsets.merge({"status": {"symbols": 8}, "spec": {"paused": True}}, part="/status")
    after_status = feedsets.get()

    assert "symbols" not in after_main.get("status", {})
    assert (after_status["status"]["symbols"], after_status["spec"]["paused"]) == (8, False)
    assert after_status["metadata"]["generation"] == 1


def test_one_line_tells_the_truth(feedsets: FeedSets, kube: Kubectl) -> None:
    """Printer columns, short name and category."""
    told = {
        "Ready": ("False", "Starting"),
        "SinksHealthy": ("Unknown", "Waiting"),
        "Progressing": ("False", "SinkUnhealthy"),
        "Degraded": ("True", "Gaps"),
    }
    rest = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1, "message": ""}
    conditions = [{"type": kind, "status": told[kind][0], "reason": told[kind][1], **rest} for kind in told]
    status = {"conditions": conditions, "collectors": {"desired": 3, "ready": 2, "updated": 2}, "symbols": 41}
    assert feedsets.create(MINIMAL).is_ok
    answer = feedsets.merge({"status": {**status, "appliedVersion": "1.2.3"}}, part="/status")
    inside = kube.in_namespace("crd-tests")
    head, line = inside("get", "feed", "x").splitlines()
    wide_head, wide_line = inside("get", "marketdata", "-o", "wide").splitlines()

    assert answer.is_ok, answer
    assert head.split() == "NAME READY REASON SINKS COLLECTORS DESIRED SYMBOLS AGE".split()
    assert line.split()[:7] == ["x", "False", "Starting", "Unknown", "2", "3", "41"]
    assert wide_head.split()[-3:] == ["VERSION", "ROLLOUT", "LOSS"]
    assert wide_line.split()[-3:] == ["1.2.3", "SinkUnhealthy", "Gaps"]


# ------------------------------------------------------------------------------------------- server-side apply and sizes
def entry(name: str, **fields: Any) -> Object:
    return {"name": name, "exchange": name.replace("-", "_"), "feeds": ["trades"], **fields}


def names_of(stored: Mapping[str, Any]) -> list[str]:
    return [each["name"] for each in stored["spec"]["exchanges"]]


def test_two_managers_add_exchanges_to_one_feedset(feedsets: FeedSets) -> None:
    first = feedsets.apply({"exchanges": [entry("okx")]}, "alice")
    second = feedsets.apply({"exchanges": [entry("kraken")]}, "bob")
    both = names_of(feedsets.get())
    feedsets.apply({"exchanges": [entry("kraken"), entry("bybit")]}, "bob")
    more = names_of(feedsets.get())
    feedsets.apply({"exchanges": [entry("bybit")]}, "bob")

    assert (first.status, second.status) == (201, 200)
    assert sorted(both) == ["kraken", "okx"]
    assert sorted(more) == ["bybit", "kraken", "okx"]
    assert sorted(names_of(feedsets.get())) == ["bybit", "okx"], "what bob no longer says is gone, alice's stays"


def test_managers_share_a_set_of_symbols_and_collide_on_a_value(feedsets: FeedSets) -> None:
    feedsets.apply({"exchanges": [entry("okx", symbols={"include": ["BTC-USDT"]}, shards=1)]}, "alice")
    joined = feedsets.apply({"exchanges": [entry("okx", symbols={"include": ["ETH-USDT"]})]}, "bob")
    collided = feedsets.apply({"exchanges": [entry("okx", shards=2)]}, "carol")

    assert sorted(joined.body["spec"]["exchanges"][0]["symbols"]["include"]) == ["BTC-USDT", "ETH-USDT"]
    assert collided.status == 409
    assert any("shards" in where for where, _ in collided.causes)
    assert "alice" in collided.body["message"]


def test_names_of_entries_are_unique(feedsets: FeedSets) -> None:
    answer = feedsets.dry_run({"exchanges": [entry("okx"), entry("okx")]})

    assert answer.status == 422
    assert ("spec.exchanges[1]", True) in [(where, "Duplicate value" in text) for where, text in answer.causes]


def test_two_thousand_symbols_fit_and_one_more_is_refused(feedsets: FeedSets) -> None:
    symbols = [f"SYMBOL{number:05}-WITH-A-LONG-NAME-USDT" for number in range(2_001)]
    fits = feedsets.create(with_value(MINIMAL, "exchanges[].symbols", {"include": symbols[:2_000]}))
    too_many = feedsets.dry_run(with_value(MINIMAL, "exchanges[].symbols", {"include": symbols}))

    assert fits.status == 201
    assert too_many.status == 422
    assert "spec.exchanges[0].symbols.include" in [where for where, _ in too_many.causes]


def test_symbols_beyond_the_bound_are_refused_at_their_path(feedsets: FeedSets) -> None:
    symbols = [f"S{number}" for number in range(100_000)]
    answer = feedsets.dry_run(with_value(MINIMAL, "exchanges[].symbols", {"include": symbols}))

    assert "spec.exchanges[0].symbols.include" in [where for where, _ in answer.causes]


def test_a_million_symbols_never_reach_the_store(feedsets: FeedSets, kube: Kubectl) -> None:
    """More than the server takes in one request, whoever sends it."""
    symbols = [f"S{number}" for number in range(1_000_000)]
    spec = with_value(MINIMAL, "exchanges[].symbols", {"include": symbols})
    said = kube.in_namespace("crd-tests").refusal("create", "-f", "-", input_text=json.dumps(feedset(spec)))

    assert "too large" in said or "spec.exchanges[0].symbols.include" in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda spec: with_value(spec, "exchanges[].exchange", "nasdaq"), "spec.exchanges[0].exchange"),
        (lambda spec: with_value(spec, "exchanges[].name", "Not A Label"), "spec.exchanges[0].name"),
        (lambda spec: with_value(spec, "exchanges[].feeds", ["dreams"]), "spec.exchanges[0].feeds[0]"),
        (lambda spec: with_value(spec, "exchanges[].shards", 65), "spec.exchanges[0].shards"),
        (lambda spec: {**spec, "exchanges": []}, "spec.exchanges"),
        (lambda spec: {**spec, "replicas": 3}, "spec.replicas"),
        (lambda spec: {**spec, "rollout": {"strategy": "Hope"}}, "spec.rollout.strategy"),
        (
            lambda spec: with_value(spec, "exchanges[].symbols", {"include": ["../etc/passwd"]}),
            "spec.exchanges[0].symbols.include[0]",
        ),
    ],
)
def test_wrong_values_are_refused_at_their_field(
    feedsets: FeedSets, change: Callable[[Object], Object], field: str
) -> None:
    answer = feedsets.dry_run(change(dict(MINIMAL)))

    assert answer.status == 422
    assert field in [where for where, _ in answer.causes], json.dumps(answer.body)
