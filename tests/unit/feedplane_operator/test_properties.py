"""What holds of every FeedSet that is accepted, not only of those that somebody thought of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from feedplane_core.names import EXCHANGES, Mode
from feedplane_feedset.errors import FeedSetError
from feedplane_feedset.model import FeedSet
from feedplane_feedset.plan import Action, plan_change
from feedplane_feedset.validate import parse_feedset
from feedplane_operator.desired import Collector, Desired, Images, Object, Surroundings, render
from feedplane_testing.pod_security import violations
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from .conftest import KNOWN, SURROUNDINGS, Build, owner_of

_SYMBOLS = [
    f"{base}{quote}" for base in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE") for quote in ("USDT", "USD", "EUR")
]
_LABEL = r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?"
names = st.one_of(
    st.from_regex(rf"\A{_LABEL}\Z"), st.sampled_from(["a", "a-b", "a-b-0", "b-0", "a" * 30, "a" * 29 + "b"])
)
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    quantity = draw(st.sampled_from(["250m", "1000m", "0.5", "1.50", "2"]))
    return {
        "name": draw(names),
        "exchange": draw(st.sampled_from(sorted(EXCHANGES))),
        "feeds": draw(st.lists(st.sampled_from(["trades", "l1", "ob_diffs", "klines"]), min_size=1, unique=True)),
        "symbols": draw(
            st.one_of(
                st.just({"quotes": ["USDT"], "maxSymbols": 5}),
                st.lists(st.sampled_from(_SYMBOLS), min_size=1, unique=True).map(lambda found: {"include": found}),
            )
        ),
        "shards": draw(st.integers(1, 4)),
        "sinks": draw(st.sampled_from([[], ["redis"], ["clickhouse"]])),
        "resources": {
            "requests": {"cpu": quantity},
            "limits": {"cpu": "4", "memory": draw(st.sampled_from(["512Mi", "1024Mi", "3Gi"]))},
        },
    }


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    claims = draw(st.booleans())
    spool: dict[str, Any] = {"size": draw(st.sampled_from(["64Mi", "4Gi", "4Ti"]))}
    if claims:
        spool |= {
            "medium": "PersistentVolumeClaim",
            "storageClassName": "fast",
            "reclaimPolicy": draw(st.sampled_from(["Retain", "Delete"])),
        }
    replicas = draw(st.integers(1, 2))
    strategy = "Recreate" if claims and replicas == 1 else draw(st.sampled_from(["MakeBeforeBreak", "Recreate"]))
    secret = draw(st.booleans())
    redis = (
        {"endpoints": ["redis.stores.svc:6379"], "passwordSecretRef": {"name": "stores", "key": "redis"}}
        if secret
        else {}
    )
    return {
        "exchanges": draw(st.lists(entries(), min_size=1, max_size=3, unique_by=lambda entry: entry["name"])),
        "spool": spool,
        "replicas": replicas,
        "sinks": {"redis": redis, "clickhouse": {}},
        "rollout": {"strategy": strategy, "drainSeconds": draw(st.sampled_from([1, 90, 3600]))},
        "template": draw(st.sampled_from([{}, {"priorityClassName": "high"}, {"nodeSelector": {"b": "1", "a": "2"}}])),
    }


@st.composite
def feedsets(draw: st.DrawFn) -> FeedSet:
    return accepted(draw(names), draw(specs()))


def accepted(name: str, spec: dict[str, Any]) -> FeedSet:
    """Only what the one door lets in is judged; entries that overlap are not."""
    body = {"apiVersion": "feedplane.io/v1alpha1", "kind": "FeedSet", "metadata": {"name": name}, "spec": spec}
    try:
        return parse_feedset(body, KNOWN)
    except FeedSetError:
        assume(False)
        raise


surroundings = st.builds(
    Surroundings,
    images=st.builds(Images, registry=st.sampled_from(["", "registry.example.com"]), tag=st.sampled_from(["1", "2"])),
    mode=st.sampled_from([Mode.LIVE, Mode.SIM]),
    endpoints=st.sampled_from([{}, {"bybit": {"rest": "http://simex:8900/bybit"}}]),
    default_sinks=st.just(SURROUNDINGS.default_sinks),
)


def desired(feedset: FeedSet, around: Surroundings = SURROUNDINGS) -> Desired:
    return render(feedset, owner_of(feedset), around)


def of_kind(found: Desired, kind: str) -> list[Object]:
    return [each for each in found.objects if each["kind"] == kind]


@SETTINGS
@given(feedsets(), surroundings)
def test_names_are_valid_and_unique(feedset: FeedSet, around: Surroundings) -> None:
    objects = desired(feedset, around).objects
    keys = [(each["kind"], each["metadata"]["name"]) for each in objects]

    assert len(set(keys)) == len(keys)
    for kind, name in keys:
        most = 253 if kind == "ConfigMap" else 63
        assert len(name) <= most
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    for each in objects:
        for key, value in each["metadata"]["labels"].items():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value), (key, value)
            assert len(value) <= 63


@pytest.mark.parametrize("spool", [{}, {"medium": "PersistentVolumeClaim", "storageClassName": "fast"}])
def test_the_longest_names_are_cut_and_stay_unique(spool: dict[str, Any]) -> None:
    names_of_entries = ["e" * 30, "e" * 29 + "f"]
    entries_ = [
        {"name": name, "exchange": exchange, "feeds": ["trades"], "symbols": {"quotes": ["USDT"]}, "shards": 32}
        for name, exchange in zip(names_of_entries, ["bybit", "okx"], strict=True)
    ]
    found = desired(accepted("f" * 30, {"exchanges": entries_, "spool": spool, "replicas": 2}))
    deployments = [each["metadata"]["name"] for each in of_kind(found, "Deployment")]

    assert len(set(deployments)) == len(deployments) == 64 * (2 if spool else 1)
    assert max(map(len, deployments)) == 63


def test_labels_are_passed_on_but_for_those_that_tools_know_their_own_by(build: Build) -> None:
    """And not to pods: a label of a GitOps tool that changes with each commit must not replace them."""
    theirs = {"argocd.argoproj.io/instance": "x", "kustomize.toolkit.fluxcd.io/name": "x", "helm.sh/chart": "x"}
    found = desired(
        build(labels=theirs | {"team": "quant", "app.kubernetes.io/instance": "x", "example.com/cost": "7"})
    )

    for each in found.objects:
        labels = each["metadata"]["labels"]
        assert (labels["team"], labels["example.com/cost"], labels["app.kubernetes.io/instance"]) == (
            "quant",
            "7",
            "majors",
        )
        assert labels.keys().isdisjoint(theirs)
    assert found.collectors[0].template_hashes == desired(build()).collectors[0].template_hashes


@SETTINGS
@given(feedsets(), surroundings)
def test_what_is_rendered_depends_on_nothing_but_its_inputs(feedset: FeedSet, around: Surroundings) -> None:
    again = parse_feedset(feedset.as_dict(), KNOWN)

    assert desired(feedset, around) == desired(again, around)


@SETTINGS
@given(feedsets(), surroundings)
def test_every_pod_passes_the_restricted_profile(feedset: FeedSet, around: Surroundings) -> None:
    for deployment in of_kind(desired(feedset, around), "Deployment"):
        spec = deployment["spec"]["template"]["spec"]

        assert violations(spec) == []
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        for container in (*spec["initContainers"], *spec["containers"]):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


@SETTINGS
@given(feedsets(), surroundings)
def test_references_between_objects_hold(feedset: FeedSet, around: Surroundings) -> None:
    """Volumes, claims and accounts that pods name are there, and every selector finds the pods that it is for."""
    found = desired(feedset, around)
    names_of = {
        kind: {each["metadata"]["name"] for each in of_kind(found, kind)}
        for kind in ("ConfigMap", "PersistentVolumeClaim")
    }
    for deployment in of_kind(found, "Deployment"):
        template = deployment["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert template["spec"]["serviceAccountName"] == of_kind(found, "ServiceAccount")[0]["metadata"]["name"]
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert {volumes["config"]["configMap"]["name"], volumes["symbols"]["configMap"]["name"]} <= names_of[
            "ConfigMap"
        ]
        if "persistentVolumeClaim" in volumes["spool"]:
            assert volumes["spool"]["persistentVolumeClaim"]["claimName"] in names_of["PersistentVolumeClaim"]
            assert deployment["spec"]["strategy"] == {"type": "Recreate"}
            assert deployment["spec"]["replicas"] == 1
        for container in (*template["spec"]["initContainers"], *template["spec"]["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()
        for selecting in (*of_kind(found, "NetworkPolicy"), *of_kind(found, "Service")):
            spec = selecting["spec"]
            assert (spec.get("podSelector", {}).get("matchLabels") or spec["selector"]).items() <= labels.items()


@SETTINGS
@given(feedsets())
def test_two_deployments_never_select_the_same_pods(feedset: FeedSet) -> None:
    deployments = of_kind(desired(feedset), "Deployment")
    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()

        assert sum(each["spec"]["selector"]["matchLabels"].items() <= labels for each in deployments) == 1


@SETTINGS
@given(feedsets())
def test_live_copies_are_counted_and_guarded(feedset: FeedSet) -> None:
    found = desired(feedset)
    copies = feedset.spec.replicas

    for collector in found.collectors:
        deployments = [each for each in collector.objects if each["kind"] == "Deployment"]
        assert sum(each["spec"]["replicas"] for each in deployments) == collector.copies == copies
    assert len(of_kind(found, "PodDisruptionBudget")) == (len(found.collectors) if copies == 2 else 0)


@SETTINGS
@given(feedsets(), st.lists(st.sampled_from(_SYMBOLS), min_size=1, unique=True))
def test_other_symbols_change_nothing_but_the_maps_of_symbols(feedset: FeedSet, symbols: list[str]) -> None:
    body = feedset.as_dict()
    for entry in body["spec"]["exchanges"]:
        entry["symbols"] = {"include": symbols}
    changed = accepted(feedset.metadata.name, body["spec"])
    before, after = desired(feedset), desired(changed)

    assert [without_symbols(each) for each in before.objects] == [without_symbols(each) for each in after.objects]
    for old, new in zip(before.collectors, after.collectors, strict=True):
        is_same = old.objects[1]["data"] == new.objects[1]["data"]
        assert (old.config_hash, old.template_hashes) == (new.config_hash, new.template_hashes)
        assert (old.symbols_hash == new.symbols_hash) == is_same


def without_symbols(each: Object) -> Object:
    is_symbols = each["kind"] == "ConfigMap" and "symbols.json" in each["data"]
    return each | {"data": {}} if is_symbols else each


@SETTINGS
@given(st.integers(1, 8))
def test_another_shard_takes_its_share_and_moves_no_other_symbol(shards: int) -> None:
    symbols = [f"S{number}USDT" for number in range(300)]
    entry = {"exchange": "binance_spot", "feeds": ["trades"], "symbols": {"include": symbols}}
    before, after = (
        owners(desired(accepted("m", {"exchanges": [entry | {"shards": each}]}))) for each in (shards, shards + 1)
    )
    moved = [symbol for symbol in symbols if before[symbol] != after[symbol]]

    assert all(after[symbol] == shards for symbol in moved)
    assert abs(len(moved) - 300 / (shards + 1)) < 60


def owners(found: Desired) -> dict[str, int]:
    import json

    shares = {
        collector.shard: json.loads(collector.objects[1]["data"]["symbols.json"]) for collector in found.collectors
    }
    return {symbol: shard for shard, share in shares.items() for symbol in share["include"]}


PARTS = ["exchanges", "spool", "replicas", "sinks", "rollout", "template"]


@settings(SETTINGS, max_examples=100)
@given(names, specs(), specs(), st.lists(st.sampled_from(PARTS), min_size=1, max_size=2, unique=True))
def test_the_plan_tells_what_the_operator_does(
    name: str, spec: dict[str, Any], other: dict[str, Any], parts: list[str]
) -> None:
    """`feedplane plan` replaces exactly the pods whose template differs, and takes up symbols in exactly the others."""
    other = spec | {part: other[part] for part in parts}
    before, after = accepted(name, spec), accepted(name, other)
    assume(before.spec.spool.medium is after.spec.spool.medium)
    plan = plan_change(before, after)
    told = {(pod.entry, pod.shard, pod.copy): pod.action for entry in plan.entries for pod in entry.pods}

    assert told == done(desired(before), desired(after))


def done(before: Desired, after: Desired) -> dict[tuple[str, int, int], Action]:
    old, new = pods_of(before), pods_of(after)
    actions = {}
    for key in old.keys() | new.keys():
        if key not in old or key not in new:
            actions[key] = Action.START if key not in old else Action.STOP
        elif old[key][0] != new[key][0]:
            actions[key] = Action.ROLL
        else:
            actions[key] = Action.KEEP if old[key][1] == new[key][1] else Action.HOT
    return actions


def pods_of(found: Desired) -> dict[tuple[str, int, int], tuple[str, str]]:
    def template(collector: Collector, copy: int) -> str:
        return collector.template_hashes[copy if len(collector.template_hashes) > 1 else 0]

    return {
        (collector.entry, collector.shard, copy): (template(collector, copy), collector.symbols_hash)
        for collector in found.collectors
        for copy in range(collector.copies)
    }


def test_a_secret_is_named_and_mounted_and_never_held(build: Any) -> None:
    """The one key, in the one container that needs it; no value could be rendered, since none is known."""
    feedset = build(
        sinks={"redis": {"endpoints": ["r:1"], "passwordSecretRef": {"name": "s", "key": "k"}}, "clickhouse": {}}
    )
    (deployment,) = of_kind(desired(feedset), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    mounts = {
        c["name"]: [m["mountPath"] for m in c["volumeMounts"] if m["name"].startswith("secret-")]
        for c in (*spec["initContainers"], *spec["containers"])
    }

    assert mounts == {"writer-redis": ["/run/secrets/feedplane/s"], "writer-clickhouse": [], "collector": []}
    (volume,) = [volume for volume in spec["volumes"] if "secret" in volume]
    assert volume["secret"] == {"secretName": "s", "defaultMode": 0o440, "items": [{"key": "k", "path": "k"}]}
    assert not [c for c in spec["initContainers"] for e in c["env"] if "secretKeyRef" in str(e)]
