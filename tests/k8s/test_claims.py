"""Two live copies of each collector, their journals on claims: what is lost with a pod is not lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_testing.feedsets import FAST, FeedSets, entry
from feedplane_testing.release import Release

CLASS = "feedplane-test-folders"
SYMBOLS = ["BTC-USDT", "ETH-USDT"]
SPOOL = {"medium": "PersistentVolumeClaim", "storageClassName": CLASS, "size": "64Mi"}


@pytest.fixture
def volumes(cluster: Cluster | None, kube: Kubectl) -> Iterator[None]:
    """A storage class and four volumes, each a folder of the node; a claim is bound where its pod goes."""
    if cluster is None:
        pytest.skip("volumes are folders of the suite's own node")
    made = [cluster.volume(f"folder-{number}", CLASS) for number in range(4)]
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    kube.apply(storage_class, *made)
    yield
    kube.delete("pv", *(each["metadata"]["name"] for each in made), wait=False)
    kube.delete("storageclass", CLASS)


def change(feedsets: FeedSets, l1: str = "200ms") -> None:
    feedsets.apply(
        "majors",
        entry("okx", SYMBOLS, ["trades", "l1", "ob_diffs"], cadence={"l1": l1}),
        replicas=2,
        spool=SPOOL,
        rollout=FAST,
    )


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("volumes")
def test_two_copies_on_claims_roll_one_after_the_other_and_lose_nothing(
    release: Release, feedsets: FeedSets, namespace: Kubectl
) -> None:
    release.forget()
    began_ns = time.time_ns()
    change(feedsets)
    feedsets.wait_ready("majors", 120)
    claims = {each["metadata"]["name"]: each["metadata"]["uid"] for each in namespace.list("pvc")}
    budgets = namespace.list("pdb")
    old = {pod["metadata"]["uid"] for pod in feedsets.pods("majors")}
    change(feedsets, "250ms")
    fewest = 2

    def rolled() -> bool:
        nonlocal fewest
        pods = feedsets.pods("majors")
        fewest = min(fewest, sum(_is_ready(pod) for pod in pods))
        return len(pods) == 2 and not old & {pod["metadata"]["uid"] for pod in pods}

    wait_until("both rolled", rolled, timeout_s=180, every_s=0.2)
    feedsets.wait_ready("majors", 120)
    time.sleep(20)  # what was issued is on its way no longer
    verdict = release.judge("okx", began_ns)
    print(verdict.text())

    assert len(old) == 2
    assert sorted(name[-1] for name in claims) == ["a", "b"]
    assert len(budgets) == 1
    assert fewest >= 1, "one copy is always live"
    assert {each["metadata"]["name"]: each["metadata"]["uid"] for each in namespace.list("pvc")} == claims
    assert verdict.is_clean, verdict.text()
    assert verdict.covered == []


def _is_ready(pod: dict[str, object]) -> bool:
    status = pod["status"]
    assert isinstance(status, dict)
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
