"""Rollouts under load, judged by the ledger of the simulated venue: nothing lost, nothing twice, no hole."""

from __future__ import annotations

import time

import pytest
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_ops.version import __version__
from feedplane_testing.feedsets import FAST, FeedSets, entry
from feedplane_testing.release import NAME, Release

ROLLOUTS = 20
SYMBOLS = ["BTC-USDT", "ETH-USDT", "SOL-USDT"]
NEXT = f"{__version__}-next"


@pytest.fixture
def load(release: Release) -> int:
    """The venue sends about 1,000 messages a second from now on; stores are empty. Returns now."""
    release.forget()
    release.fault("flood:exchange=okx,x=20")
    return time.time_ns()


def changed(feedsets: FeedSets, number: int) -> None:
    """A change of configuration that only a new pod can take up."""
    cadence = {"l1": f"{200 + number}ms"}
    feedsets.apply("majors", entry("okx", SYMBOLS, ["trades", "l1", "ob_diffs"], cadence=cadence))


@pytest.mark.timeout(900)
def test_twenty_rollouts_under_load_lose_nothing(release: Release, feedsets: FeedSets, load: int) -> None:
    changed(feedsets, 0)
    feedsets.wait_ready("majors")
    seen = {feedsets.pods("majors")[0]["metadata"]["uid"]}
    took_s = []
    for number in range(1, ROLLOUTS + 1):
        changed(feedsets, number)
        took_s.append(feedsets.wait_ready("majors", 120))
        seen |= {pod["metadata"]["uid"] for pod in feedsets.pods("majors")}
    time.sleep(20)  # what was issued is on its way no longer
    seconds = (time.time_ns() - load) / 1e9
    verdict = release.judge("okx", load)
    print(f"{ROLLOUTS} rollouts of {sorted(took_s)[len(took_s) // 2]:.1f} s; {verdict.kept / seconds:.0f} rows/s")
    print(verdict.text())

    assert len(seen) == ROLLOUTS + 1
    assert verdict.is_clean, verdict.text()
    assert verdict.covered == []
    assert verdict.kept > 300 * seconds


@pytest.mark.timeout(600)
def test_a_new_version_rolls_out_without_a_hole(
    cluster: Cluster | None, release: Release, feedsets: FeedSets, load: int
) -> None:
    """The operator is upgraded and brings images of its own version."""
    if cluster is None:
        pytest.skip("images can be named anew only on a cluster of the suite's own")
    for name in ("feed-okx", "writer"):
        cluster.tag(f"feedplane/{name}:{__version__}", f"feedplane/{name}:{NEXT}")
    changed(feedsets, 0)
    feedsets.wait_ready("majors")
    time.sleep(5)
    try:
        release.kubectl("set", "env", f"deployment/{NAME}", f"FEEDPLANE_OPERATOR_IMAGE_TAG={NEXT}")
        release.wait_for_operator()
        wait_until(
            "new version",
            lambda: (
                [container["image"] for pod in feedsets.pods("majors") for container in pod["spec"]["containers"]]
                == [f"feedplane/feed-okx:{NEXT}"]
            ),
            timeout_s=120,
        )
        feedsets.wait_ready("majors")
        time.sleep(20)
        verdict = release.judge("okx", load)
    finally:
        release.kubectl("set", "env", f"deployment/{NAME}", f"FEEDPLANE_OPERATOR_IMAGE_TAG={__version__}")
        release.wait_for_operator()

    assert verdict.is_clean, verdict.text()
    assert verdict.covered == []


def test_a_rollout_is_held_while_a_sink_takes_no_data(release: Release, feedsets: FeedSets, namespace: Kubectl) -> None:
    """An emptyDir dies with its pod: while it may hold the only copy, only an explicit word ends it."""
    feedsets.apply("majors", entry("okx", SYMBOLS[:1]))
    feedsets.wait_ready("majors")
    (before,) = feedsets.pods("majors")
    release.kubectl("scale", f"statefulset/{NAME}-clickhouse-lite", "--replicas=0")
    try:
        wait_until("word of it", lambda: feedsets.reason("majors", "SinksHealthy")[0] == "False", timeout_s=90)
        feedsets.apply("majors", entry("okx", SYMBOLS[:1], cadence={"l1": "333ms"}))
        wait_until("hold", lambda: feedsets.reason("majors", "Progressing") == ("False", "SinkUnhealthy"), timeout_s=30)
        time.sleep(5)
        held = [pod["metadata"]["uid"] for pod in feedsets.pods("majors")]
        namespace("annotate", "feedset", "majors", "feedplane.io/rollout=force")
        wait_until(
            "rollout",
            lambda: before["metadata"]["uid"] not in [pod["metadata"]["uid"] for pod in feedsets.pods("majors")],
            timeout_s=120,
        )
    finally:
        release.kubectl("scale", f"statefulset/{NAME}-clickhouse-lite", "--replicas=2")
        release.kubectl("rollout", "status", f"statefulset/{NAME}-clickhouse-lite", "--timeout=90s", timeout_s=100)
        del release.shards

    assert held == [before["metadata"]["uid"]]


def test_a_new_pod_that_cannot_start_keeps_the_old_one(feedsets: FeedSets, namespace: Kubectl) -> None:
    """Make before break: what cannot be made breaks nothing."""
    feedsets.apply("majors", entry("okx", SYMBOLS[:1]))
    feedsets.wait_ready("majors")
    (before,) = feedsets.pods("majors")
    feedsets.apply("majors", entry("okx", SYMBOLS[:1]), template={"nodeSelector": {"no": "such-node"}}, rollout=FAST)
    wait_until("new pod", lambda: len(feedsets.pods("majors")) == 2, timeout_s=30)
    time.sleep(10)
    running = [pod["metadata"]["uid"] for pod in feedsets.pods("majors") if pod["status"]["phase"] == "Running"]

    assert running == [before["metadata"]["uid"]]
    assert feedsets.reason("majors", "Ready")[0] == "False"
    assert feedsets.ask(before)["instruments"]
