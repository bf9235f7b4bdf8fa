"""The chart as production installs it: one namespace, a Role and no ClusterRole, stores and secrets of the user's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from feedplane_cluster.commands import wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_core.names import DATABASES, Mode
from feedplane_testing.feedsets import FeedSets, entry
from feedplane_testing.release import NAME, Release

LIVE = DATABASES[Mode.LIVE]


@pytest.fixture
def own(release: Release, namespace: Kubectl) -> Iterator[Release]:
    """A second release that knows stores and venues of the first only by address and secret."""
    values = {
        "crds": {"enabled": False},
        "images": {"pullPolicy": "Never"},
        "defaultSinks": release.sinks(),
        "venues": {"endpoints": release.endpoints("okx")},
        "rbac": {"aggregate": False},
    }
    release.lend_password(namespace)
    made = Release(namespace, release.program, values)
    print(f"installed in {made.install():.1f} s")
    yield made
    namespace.delete("feedset", "majors", timeout_s=100)
    made.uninstall()


def test_a_namespaced_release_collects_into_stores_of_the_users_own(
    own: Release, release: Release, namespace: Kubectl, kube: Kubectl
) -> None:
    release.kubectl(
        "scale", f"deployment/{NAME}", "--replicas=0"
    )  # the first release's operator serves every namespace
    try:
        feedsets = FeedSets(namespace)
        feedsets.apply("majors", entry("okx", ["BTC-USDT"]))
        feedsets.wait_ready("majors")
        wait_until(
            "rows",
            lambda: release.query("SELECT 1 FROM trades WHERE exchange = 'okx' LIMIT 1", LIVE) != [],
            timeout_s=30,
        )
        roles = [each["metadata"]["name"] for each in kube.list("clusterroles", f"app.kubernetes.io/instance={NAME}")]
        account = f"system:serviceaccount:{namespace.namespace}:{NAME}"

        assert "Succeeded" in own.helm_test()
        assert not [name for name in roles if namespace.namespace in name]
        assert "no" in _can(kube, account, "get", "secrets", namespace.namespace)
        assert "no" in _can(kube, account, "list", "feedsets.feedplane.io", "default")
        assert "yes" in _can(kube, account, "list", "feedsets.feedplane.io", namespace.namespace)
    finally:
        release.kubectl("scale", f"deployment/{NAME}", "--replicas=1")
        release.wait_for_operator()


def _can(kube: Kubectl, account: str, verb: str, resource: str, namespace: str) -> str:
    """`kubectl auth can-i` exits 1 on a no; its word is what counts."""
    arguments = ["auth", "can-i", verb, resource, "--namespace", namespace, "--as", account]
    return kube.said(*arguments)[1]
