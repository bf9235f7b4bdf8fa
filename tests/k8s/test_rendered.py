"""What the operator renders, judged by a real API server before anything runs: schema, defaults, admission."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from feedplane_cluster.api import APPLY, Answer, Api
from feedplane_cluster.kubectl import Kubectl
from feedplane_core.names import EXCHANGES, Feed, MarketType
from feedplane_feedset.default_sinks import DefaultSinks
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.validate import parse_feedset
from feedplane_operator.desired import Desired, Owner, Surroundings, render
from feedplane_operator.kinds import kind_of
from feedplane_operator.ownership import difference

Object = dict[str, Any]
GOLDEN: Final = Path(__file__).resolve().parents[1] / "unit" / "feedplane_operator" / "golden"
CASES: Final = sorted(path.name.removesuffix(".feedset.yaml") for path in GOLDEN.glob("*.feedset.yaml"))
KNOWN: Final = KnownExchanges(KnownExchange(name, frozenset(Feed), frozenset(MarketType)) for name in EXCHANGES)
MANAGER: Final = "feedset-operator"
SURROUNDINGS: Final = Surroundings(
    default_sinks=DefaultSinks.model_validate(
        {"redis": {"endpoints": ["redis:6379"]}, "clickhouse": {"shards": [{"endpoints": ["clickhouse:8123"]}]}}
    )
)


@pytest.fixture(params=CASES)
def feedset(request: pytest.FixtureRequest, crd: Object, namespace: Kubectl) -> Object:
    """A FeedSet as the server has it: with its defaults and a uid."""
    body = yaml.safe_load((GOLDEN / f"{request.param}.feedset.yaml").read_text())
    namespace.create(body)
    return namespace.get("feedset", body["metadata"]["name"])


def rendered(body: Object, surroundings: Surroundings = SURROUNDINGS) -> Desired:
    metadata = body["metadata"]
    owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
    return render(parse_feedset(body, KNOWN), owner, surroundings)


def apply(api: Api, each: Object, namespace: str, flags: str = "dryRun=All") -> Answer:
    path = kind_of(each).path(namespace, each["metadata"]["name"])
    query = f"fieldManager={MANAGER}&force=true&fieldValidation=Strict&{flags}"
    return api.call("PATCH", f"{path}?{query}", each, content_type=APPLY)


def test_what_is_stored_is_what_was_applied(api: Api, feedset: Object) -> None:
    """Strictly valid, and no owned field comes back in other words: else every pass would find something to do."""
    for each in rendered(feedset).objects:
        answer = apply(api, each, feedset["metadata"]["namespace"])

        assert answer.is_ok, (each["kind"], answer.body)
        assert difference(each, answer.body, MANAGER) is None


@pytest.fixture
def priority(kube: Kubectl) -> Iterator[None]:
    kube.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "market-data"},
            "value": 1000,
        }
    )
    yield
    kube.delete("priorityclass", "market-data")


def test_pods_are_let_into_a_namespace_that_enforces_the_restricted_profile(
    api: Api, feedset: Object, priority: None
) -> None:
    namespace = feedset["metadata"]["namespace"]
    found = rendered(feedset)
    assert apply(api, found.shared[0], namespace, "").is_ok  # the account that pods run under
    for each in (each for each in found.objects if each["kind"] == "Deployment"):
        template = each["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": template["metadata"] | {"name": "x"}}
        answer = api.call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict", pod)

        assert answer.status == 201, answer.body


def test_such_a_namespace_would_refuse_less(api: Api, feedset: Object, priority: None) -> None:
    """The namespace does enforce: a pod that may run as root is turned away."""
    namespace = feedset["metadata"]["namespace"]
    found = rendered(feedset)
    apply(api, found.shared[0], namespace, "")
    deployment = next(each for each in found.objects if each["kind"] == "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    lax = spec | {
        "securityContext": {key: value for key, value in spec["securityContext"].items() if key != "runAsNonRoot"}
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": lax}
    answer = api.call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)

    assert (answer.status, "runAsNonRoot" in str(answer.body)) == (403, True)


def test_the_server_and_the_file_mean_the_same(feedset: Object, request: pytest.FixtureRequest) -> None:
    """`feedplane plan -f FILE` and the operator, which reads the object with the server's defaults, render alike."""
    case = request.node.callspec.params["feedset"]
    own = yaml.safe_load((GOLDEN / f"{case}.feedset.yaml").read_text())
    own["metadata"] |= {key: feedset["metadata"][key] for key in ("namespace", "uid")}

    assert rendered(own) == rendered(feedset)


def test_selectors_never_change(feedset: Object) -> None:
    """Another version, image or setting leaves them, since the server would refuse a change."""
    later = replace(SURROUNDINGS, version="9.9.9", log_level="debug")
    changed = feedset | {"spec": feedset["spec"] | {"replicas": 2, "template": {"nodeSelector": {"a": "b"}}}}
    before, after = (
        {each["metadata"]["name"]: each["spec"]["selector"] for each in found.objects if each["kind"] == "Deployment"}
        for found in (rendered(feedset), rendered(changed, later))
    )

    assert before.items() <= after.items()


def test_a_deployment_takes_every_change_that_a_feedset_may_make(api: Api, crd: Object, namespace: Kubectl) -> None:
    """One strategy for the other leaves no field behind that the server would refuse, and a rollout that stands still goes on."""
    body = yaml.safe_load((GOLDEN / "minimal.feedset.yaml").read_text())
    namespace.create(body)
    live = namespace.get("feedset", body["metadata"]["name"])
    for changes in (
        {},
        {"rollout": {"strategy": "Recreate"}},
        {"replicas": 2, "template": {"nodeSelector": {"a": "b"}}},
        {},
    ):
        found = rendered(live | {"spec": live["spec"] | changes})
        (deployment,) = (each for each in found.objects if each["kind"] == "Deployment")
        paused = deployment | {"spec": deployment["spec"] | {"paused": True}}
        for each in (paused, deployment):
            answer = apply(api, each, namespace.namespace, "")

            assert answer.is_ok, answer.body
            assert difference(each, answer.body, MANAGER) is None
        assert "paused" not in answer.body["spec"]
        assert answer.body["spec"]["strategy"] == deployment["spec"]["strategy"]
