"""Whatever dies, the data plane keeps its promises and the cluster converges to the same objects."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_testing.feedsets import FeedSets, entry
from feedplane_testing.release import Release

CONVERGED_S = 30.0
OUTAGE_S = 60.0
SYMBOLS = ["BTC-USDT", "ETH-USDT"]
CONTAINERS = ("collector", "writer-clickhouse", "writer-redis")


@pytest.fixture
def breakable(cluster: Cluster | None) -> Cluster:
    if cluster is None:
        pytest.skip("only a cluster of the suite's own is broken")
    return cluster


@pytest.fixture
def since_ns(release: Release, feedsets: FeedSets) -> Iterator[int]:
    """Start of a run over empty stores, with one FeedSet that is ready; at the end everything issued is judged."""
    release.forget()
    began_ns = time.time_ns()
    feedsets.apply("majors", entry("okx", SYMBOLS))
    feedsets.wait_ready("majors")
    yield began_ns
    time.sleep(20)  # what was issued is on its way no longer
    verdict = release.judge("okx", began_ns)
    print(verdict.text())
    assert verdict.is_clean, verdict.text()
    assert verdict.kept > 100


def shape(feedsets: FeedSets) -> set[str]:
    """All objects but pods: who is left behind or made twice shows."""
    return {f"{each['kind']}/{each['metadata']['name']}" for each in feedsets.tree("majors") if each["kind"] != "Pod"}


def newest_row_ns(release: Release) -> int:
    found = release.query("SELECT max(toUnixTimestamp64Nano(ts_recv)) AS ns FROM trades WHERE exchange = 'okx'")
    return max(row["ns"] for row in found)


def is_flowing(release: Release) -> bool:
    return newest_row_ns(release) > time.time_ns() - 10_000_000_000


@pytest.mark.usefixtures("since_ns")
def test_a_deleted_pod_is_replaced(release: Release, feedsets: FeedSets, namespace: Kubectl) -> None:
    before = shape(feedsets)
    (pod,) = feedsets.pods("majors")
    began = time.monotonic()
    namespace.delete("pod", pod["metadata"]["name"], wait=False)
    wait_until("new pod", lambda: _other_is_ready(feedsets, {pod["metadata"]["uid"]}), timeout_s=CONVERGED_S)
    feedsets.wait_ready("majors", CONVERGED_S)
    print(f"deleted pod replaced in {time.monotonic() - began:.1f} s")
    wait_until("data", lambda: is_flowing(release), timeout_s=CONVERGED_S)

    assert shape(feedsets) == before


@pytest.mark.usefixtures("since_ns")
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_killed_container_comes_back_by_itself(
    breakable: Cluster, release: Release, feedsets: FeedSets, container: str
) -> None:
    """In its pod: a writer's death keeps nobody from capturing, a collector's loses nothing that was accepted."""
    before = shape(feedsets)
    (pod,) = feedsets.pods("majors")
    began = time.monotonic()
    breakable.kill(pod["metadata"]["uid"], container)
    wait_until("restart", lambda: _restarts(feedsets, container) == 1, timeout_s=CONVERGED_S)
    feedsets.wait_ready("majors", CONVERGED_S)
    print(f"killed {container} back in {time.monotonic() - began:.1f} s")
    wait_until("data", lambda: is_flowing(release), timeout_s=CONVERGED_S)
    (after,) = feedsets.pods("majors")

    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert [_restarts(feedsets, other) for other in CONTAINERS if other != container] == [0, 0]
    assert shape(feedsets) == before


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("since_ns")
def test_the_operator_killed_in_the_middle_of_changes_makes_each_once(
    breakable: Cluster, release: Release, feedsets: FeedSets, namespace: Kubectl
) -> None:
    for number, after_s in enumerate((0.0, 0.3, 0.8, 2.0), start=1):
        before = {each["metadata"]["uid"] for each in namespace.list("replicasets")}
        feedsets.apply("majors", entry("okx", SYMBOLS, cadence={"l1": f"{300 + number}ms"}))
        time.sleep(after_s)
        operator = release.kubectl.get("pod", release.operator_pod())
        breakable.kill(operator["metadata"]["uid"], "operator")
        took_s = feedsets.wait_ready("majors", 90)
        print(f"operator killed {after_s} s after a change, rolled out after {took_s:.1f} s")
        made = {each["metadata"]["uid"] for each in namespace.list("replicasets")} - before

        assert len(made) == 1, "one change is one rollout"
        assert len(feedsets.pods("majors")) == 1


@pytest.mark.usefixtures("since_ns")
def test_an_outage_of_the_api_server_stops_no_data(breakable: Cluster, release: Release, feedsets: FeedSets) -> None:
    before, pods = shape(feedsets), [pod["metadata"]["uid"] for pod in feedsets.pods("majors")]
    restarts = {container: _restarts(feedsets, container) for container in CONTAINERS}
    _ = release.password, release.shards  # while it can be asked
    breakable.end("kube-apiserver", "KILL")
    try:
        time.sleep(OUTAGE_S)
        flowed = is_flowing(release)
    finally:
        breakable.resume("kube-apiserver")
    breakable.await_api()
    began = time.monotonic()
    release.wait_for_operator(CONVERGED_S)
    feedsets.wait_ready("majors", CONVERGED_S)
    feedsets.apply("majors", entry("okx", [*SYMBOLS, "SOL-USDT"]))
    wait_until("new symbol", lambda: feedsets.status("majors")["symbols"] == 3, timeout_s=CONVERGED_S)
    print(f"converged {time.monotonic() - began:.1f} s after the API server was back")

    assert flowed
    assert [pod["metadata"]["uid"] for pod in feedsets.pods("majors")] == pods
    assert {container: _restarts(feedsets, container) for container in CONTAINERS} == restarts
    assert shape(feedsets) == before


@pytest.mark.usefixtures("since_ns")
def test_a_restart_of_the_node_agent_touches_no_pod(breakable: Cluster, release: Release, feedsets: FeedSets) -> None:
    pods = [pod["metadata"]["uid"] for pod in feedsets.pods("majors")]
    breakable.end("kubelet")
    time.sleep(10)
    breakable.resume("kubelet")
    wait_until("node", breakable.is_ready, timeout_s=CONVERGED_S)
    feedsets.wait_ready("majors", CONVERGED_S)

    assert is_flowing(release)
    assert [pod["metadata"]["uid"] for pod in feedsets.pods("majors")] == pods
    assert [_restarts(feedsets, container) for container in CONTAINERS] == [0, 0, 0]


@pytest.mark.usefixtures("since_ns")
def test_an_outage_of_a_venue_restarts_nothing(release: Release, feedsets: FeedSets) -> None:
    """A venue that is away is told, not fought: the pods stay as they are, the FeedSet says what is wrong."""
    (pod,) = feedsets.pods("majors")
    release.fault("refuse:exchange=okx")
    release.fault("cut:exchange=okx,code=0")
    wait_until("word of it", lambda: feedsets.reason("majors", "Ready") == ("False", "VenueSilent"), timeout_s=90)
    (during,) = feedsets.pods("majors")
    release.lift_faults()
    wait_until("data", lambda: is_flowing(release), timeout_s=CONVERGED_S + 30)
    feedsets.wait_ready("majors", 90)

    assert during["metadata"]["uid"] == pod["metadata"]["uid"]
    assert [_restarts(feedsets, container) for container in CONTAINERS] == [0, 0, 0]


def _restarts(feedsets: FeedSets, container: str) -> int:
    (pod,) = feedsets.pods("majors")
    told = [*pod["status"].get("containerStatuses", []), *pod["status"].get("initContainerStatuses", [])]
    return sum(each["restartCount"] for each in told if each["name"] == container)


def _other_is_ready(feedsets: FeedSets, old: set[str]) -> bool:
    for pod in feedsets.pods("majors"):
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        if pod["metadata"]["uid"] not in old and conditions.get("Ready") == "True":
            return True
    return False
