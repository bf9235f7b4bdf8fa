"""A FeedSet from apply to delete: what a user sees, on real nodes with real stores and simulated venues."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from feedplane_cluster.commands import PATIENCE, wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_testing.feedsets import READY_S, FeedSets, entry
from feedplane_testing.release import NAME, Release

ROOT = Path(__file__).resolve().parents[2]
REPAIRED_S = 60.0
HOT_S = 5.0
GONE_S = 40.0


def rows(release: Release, exchange: str, table: str = "trades") -> int:
    found = release.query(f"SELECT count() AS n FROM {table} WHERE exchange = '{exchange}'")
    return sum(row["n"] for row in found)


def test_quickstart_is_ready_within_a_minute_with_data_in_both_stores(
    release: Release, feedsets: FeedSets, namespace: Kubectl
) -> None:
    """The file of the README, applied as it is."""
    release.forget()
    began = time.monotonic()
    namespace("apply", "-f", str(ROOT / "examples" / "quickstart.yaml"))
    (made,) = namespace.list("feedsets")
    name = made["metadata"]["name"]
    exchanges = [each["exchange"] for each in made["spec"]["exchanges"]]
    feedsets.wait_ready(name)
    wait_until("rows", lambda: all(rows(release, exchange) for exchange in exchanges), timeout_s=READY_S)
    wait_until("hot state", lambda: len(release.hot_keys("last:l1:*")) >= len(exchanges), timeout_s=READY_S)
    took_s = time.monotonic() - began
    print(f"apply to Ready with data in both stores: {took_s:.1f} s")
    status = feedsets.status(name)

    assert took_s <= READY_S * PATIENCE
    assert status["collectors"] == {"desired": 3, "ready": 3, "updated": 3}
    assert {row["name"]: row["reason"] for row in status["exchanges"]} == {
        each["name"]: "Streaming" for each in made["spec"]["exchanges"]
    }
    assert {kind: told["status"] for kind, told in namespace.conditions("feedset", name).items()} == {
        "Ready": "True",
        "Accepted": "True",
        "Progressing": "False",
        "SinksHealthy": "True",
        "Degraded": "False",
    }


@pytest.fixture
def majors(feedsets: FeedSets) -> FeedSets:
    """One small FeedSet that is ready."""
    feedsets.apply("majors", entry("okx", ["BTC-USDT"]))
    feedsets.wait_ready("majors")
    return feedsets


def test_pods_run_restricted_without_a_token(majors: FeedSets) -> None:
    """The namespace enforces the restricted profile, so that they run says it; the token and the root are looked at."""
    (pod,) = majors.pods("majors")
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    mounts = {mount["mountPath"] for container in containers for mount in container["volumeMounts"]}

    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not [path for path in mounts if path.startswith("/var/run/secrets/kubernetes.io")]
    assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in containers)
    assert [container["restartPolicy"] for container in pod["spec"]["initContainers"]] == ["Always", "Always"]


def test_a_symbol_is_added_hot(release: Release, majors: FeedSets) -> None:
    """Only its own subscriptions are made, by the venue's log; no pod is touched; its first event is soon queryable."""
    (before,) = majors.pods("majors")
    began, began_ns = time.monotonic(), time.time_ns()
    majors.apply("majors", entry("okx", ["BTC-USDT", "ETH-USDT"]))
    wait_until(
        "first event",
        lambda: release.query("SELECT 1 FROM trades WHERE exchange = 'okx' AND instrument = 'ETH-USDT' LIMIT 1") != [],
        timeout_s=30,
        every_s=0.1,
    )
    took_s = time.monotonic() - began
    print(f"symbol added to first event queryable: {took_s:.1f} s")
    done = [each for each in release.clients("okx") if each["at_ns"] >= began_ns]
    (after,) = majors.pods("majors")

    assert took_s <= HOT_S * PATIENCE
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert done
    assert [each for each in done if each["what"] != "subscribe" or "ETH-USDT" not in each["topic"]] == []


def test_manual_changes_are_repaired_and_foreign_fields_kept(majors: FeedSets, namespace: Kubectl) -> None:
    (deployment,) = namespace.list("deployments", "feedplane.io/feedset=majors")
    name = deployment["metadata"]["name"]
    namespace.merge(
        "deployment", name, {"metadata": {"annotations": {"example.com/mine": "kept"}}, "spec": {"replicas": 0}}
    )
    took_s = wait_until(
        "repair", lambda: namespace.get("deployment", name)["spec"]["replicas"] == 1, timeout_s=REPAIRED_S
    )
    print(f"manual change repaired in {took_s:.1f} s")

    assert namespace.get("deployment", name)["metadata"]["annotations"]["example.com/mine"] == "kept"


@pytest.mark.parametrize("kind", ["configmaps", "deployments", "services", "networkpolicies", "serviceaccounts"])
def test_a_deleted_child_returns(majors: FeedSets, namespace: Kubectl, kind: str) -> None:
    selector = "feedplane.io/feedset=majors"
    before = {each["metadata"]["name"]: each["metadata"]["uid"] for each in namespace.list(kind, selector)}
    assert before
    namespace.delete(kind, *before)
    took_s = wait_until(
        "return",
        lambda: {each["metadata"]["name"] for each in namespace.list(kind, selector)} >= set(before),
        timeout_s=30,
    )
    after = {each["metadata"]["name"]: each["metadata"]["uid"] for each in namespace.list(kind, selector)}
    majors.wait_ready("majors")
    print(f"{kind} back in {took_s:.1f} s")

    assert all(after[name] != uid for name, uid in before.items())


def test_a_paused_feedset_is_left_alone_and_caught_up(majors: FeedSets, namespace: Kubectl) -> None:
    okx, binance = entry("okx", ["BTC-USDT"]), entry("binance_spot", ["BTCUSDT"])
    majors.apply("majors", okx, binance, paused=True)
    wait_until("word of it", lambda: majors.reason("majors", "Progressing")[1] == "Paused", timeout_s=15)
    namespace.delete("service", "majors-metrics")
    time.sleep(5)
    left_alone = (
        not namespace.exists("service", "majors-metrics"),
        [pod["metadata"]["labels"]["feedplane.io/entry"] for pod in majors.pods("majors")],
    )
    majors.apply("majors", okx, binance)
    majors.wait_ready("majors")

    assert left_alone == (True, ["okx"])
    assert namespace.exists("service", "majors-metrics")
    assert {pod["metadata"]["labels"]["feedplane.io/entry"] for pod in majors.pods("majors")} == {"okx", "binance-spot"}


def test_an_exchange_that_is_removed_takes_all_of_its_own_along(feedsets: FeedSets, namespace: Kubectl) -> None:
    okx = entry("okx", ["BTC-USDT"])
    feedsets.apply("majors", okx, entry("binance_spot", ["BTCUSDT"]))
    feedsets.wait_ready("majors")
    feedsets.apply("majors", okx)
    feedsets.wait_ready("majors")

    def left() -> list[str]:
        labelled = namespace.list("deployments,replicasets,pods,configmaps", "feedplane.io/entry=binance-spot")
        return [f"{each['kind']}/{each['metadata']['name']}" for each in labelled]

    wait_until("prune", lambda: left() == [], timeout_s=GONE_S)
    assert [pod["metadata"]["labels"]["feedplane.io/entry"] for pod in feedsets.pods("majors")] == ["okx"]


def test_delete_drains_and_leaves_nothing(release: Release, majors: FeedSets, namespace: Kubectl) -> None:
    began = time.monotonic()
    namespace.delete("feedset", "majors", timeout_s=GONE_S)
    wait_until("garbage collection", lambda: majors.tree("majors") == [], timeout_s=GONE_S)
    print(f"deleted, drained and gone in {time.monotonic() - began:.1f} s")
    before = rows(release, "okx")
    time.sleep(3)

    assert rows(release, "okx") == before


def test_a_semantic_error_keeps_what_runs(majors: FeedSets, namespace: Kubectl) -> None:
    """The schema cannot know what a venue offers: the operator says it, and the last good goes on."""
    (before,) = majors.pods("majors")
    majors.apply("majors", entry("binance_spot", ["BTCUSDT"], ["funding"]))
    wait_until("refusal", lambda: majors.reason("majors", "Accepted")[0] == "False", timeout_s=15)
    told = namespace.conditions("feedset", "majors")["Accepted"]["message"]
    time.sleep(3)

    assert "spec.exchanges[0].feeds" in told
    assert [pod["metadata"]["uid"] for pod in majors.pods("majors")] == [before["metadata"]["uid"]]


def test_the_password_is_told_to_nobody(release: Release, majors: FeedSets, namespace: Kubectl) -> None:
    """Everything that can be read with kubectl but Secrets: objects, events, logs, status pages."""
    password = release.password
    places: dict[str, Any] = {
        "objects": namespace("get", "feedsets,all,configmaps,events,networkpolicies,pdb", "-o", "json"),
        "operator": release.kubectl("logs", f"deployment/{NAME}"),
    }
    (pod,) = majors.pods("majors")
    places["logs"] = namespace("logs", pod["metadata"]["name"], "--all-containers")
    for port in (9100, 9101, 9102):
        places[f"status {port}"] = json.dumps(majors.ask(pod, port))
    places["environment"] = namespace("get", "pods", "-o", "jsonpath={..env}{..args}{..command}")

    assert len(password) >= 16
    assert [place for place, text in places.items() if password in text] == []
