"""Many FeedSets at once: how soon the operator has made all that follows, what it costs, and that it is silent after."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import Any

import pytest
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import PATIENCE, wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_testing.feedsets import FeedSets, entry
from feedplane_testing.release import Release

FEEDSETS = 50
CONVERGED_S = 60.0
IDLE_S = 300
MEMORY_BYTES = 150 << 20
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
NOWHERE = {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}
"""Pods that no node takes: a test machine could not start 150 processes in a minute, and it is the operator that is looked at."""


@pytest.mark.timeout(IDLE_S + 300)
def test_fifty_feedsets_converge_in_a_minute_and_then_nothing_is_written(
    cluster: Cluster | None, release: Release, feedsets: FeedSets, namespace: Kubectl
) -> None:
    if cluster is None:
        pytest.skip("who wrote what stands in the audit log of a cluster of the suite's own")
    objects = [
        {
            "apiVersion": "feedplane.io/v1alpha1",
            "kind": "FeedSet",
            "metadata": {"name": f"set-{number:02}"},
            "spec": {"exchanges": [entry("okx", ["BTC-USDT"])], "template": NOWHERE},
        }
        for number in range(FEEDSETS)
    ]
    began = time.monotonic()
    namespace.apply(*objects)
    wait_until("convergence", lambda: _converged(namespace) == FEEDSETS, timeout_s=3 * CONVERGED_S, every_s=1.0)
    took_s = time.monotonic() - began
    time.sleep(10)  # the controllers of Deployments have had their say
    quiet_since = _audit_time()
    time.sleep(IDLE_S)
    written = [each for each in cluster.audited() if _is_write_of_operator(each, namespace.namespace, quiet_since)]
    memory_bytes = _memory_bytes(release)
    print(f"{FEEDSETS} FeedSets converged in {took_s:.1f} s; operator {memory_bytes / (1 << 20):.0f} MiB")

    assert took_s <= CONVERGED_S * PATIENCE
    assert [_short(each) for each in written] == []
    assert memory_bytes <= MEMORY_BYTES


def _converged(namespace: Kubectl) -> int:
    """FeedSets whose Deployment is there and whose status speaks of the present generation."""
    deployed = {each["metadata"]["labels"]["feedplane.io/feedset"] for each in namespace.list("deployments")}
    told = {
        each["metadata"]["name"]
        for each in namespace.list("feedsets")
        if (each.get("status") or {}).get("observedGeneration") == each["metadata"]["generation"]
    }
    return len(deployed & told)


def _audit_time() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


def _is_write_of_operator(event: Any, namespace: str, since: str) -> bool:
    about = event.get("objectRef") or {}
    return (
        event["user"].get("username", "").startswith("system:serviceaccount:feedplane:")
        and event["verb"] in WRITES
        and about.get("namespace") == namespace
        and event["requestReceivedTimestamp"] >= since
    )


def _short(event: Any) -> str:
    about = event["objectRef"]
    return json.dumps([event["verb"], about["resource"], about.get("name"), event["requestReceivedTimestamp"]])


def _memory_bytes(release: Release) -> int:
    """Resident memory of the operator, by its own metrics."""
    address = release.kubectl.get("pod", release.operator_pod())["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/metrics", timeout=10) as answer:
        found = re.search(r"^process_resident_memory_bytes (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))
