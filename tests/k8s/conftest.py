"""One cluster for the whole run: the one that FEEDPLANE_TEST_KUBECONFIG names, or one that is started here.

FEEDPLANE_TEST_CLUSTER names a cluster of `python -m feedplane_cluster start` that is used and left as it is.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from feedplane_cluster.api import Api
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.kubectl import Kubectl
from feedplane_cluster.netns import entered

ROOT = Path(__file__).resolve().parents[2]
TEST_TIMEOUT_S = 300
_TOLD = pytest.StashKey[Kubectl]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a cluster; starting the first pods of a loaded machine takes its time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.k8s)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test's report carries the objects, events and logs of its namespace."""
    outcome: Any = yield
    report = outcome.get_result()
    kubectl = item.stash.get(_TOLD, None)
    if report.failed and kubectl is not None:
        report.sections.append(("namespace", kubectl.told()))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster | None]:
    """The cluster that tests may break, entered: sockets and children of this process reach pods. None: somebody else's."""
    if os.environ.get("FEEDPLANE_TEST_KUBECONFIG"):
        yield None
        return
    if os.geteuid() != 0:
        pytest.skip("a cluster of the suite's own needs root; FEEDPLANE_TEST_KUBECONFIG names another")
    kept = os.environ.get("FEEDPLANE_TEST_CLUSTER")
    made = Cluster(kept or "test", tell=print)
    if not kept:
        made.start()
    with entered(made.network_file):
        yield made
    if not kept:
        made.stop()


@pytest.fixture(scope="session")
def kube(cluster: Cluster | None) -> Kubectl:
    """The cluster's administrator."""
    if cluster is not None:
        return Kubectl(cluster.layout.kubeconfig, cluster.layout.binary("kubectl"))
    return Kubectl(Path(os.environ["FEEDPLANE_TEST_KUBECONFIG"]), shutil.which("kubectl") or "kubectl")


@pytest.fixture(scope="session")
def api(kube: Kubectl) -> Iterator[Api]:
    """The API server, over HTTP, as the administrator."""
    with Api(kube) as running:
        yield running


@pytest.fixture(scope="session")
def crd(kube: Kubectl) -> dict[str, Any]:
    """The FeedSet resource, applied as users do and established."""
    path = ROOT / "operator" / "crd" / "feedset.yaml"
    kube("apply", "--server-side", "-f", str(path))
    kube.wait_for_condition("crd", "feedsets.feedplane.io", "Established", timeout_s=30)
    return dict(yaml.safe_load(path.read_text()))


@pytest.fixture
def namespace(kube: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace of the test's own, where the restricted profile of Pod Security is enforced."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "feedplane.io/tests": "true"}
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    inside = kube.in_namespace(name)
    request.node.stash[_TOLD] = inside
    yield inside
    kube.delete("namespace", name, wait=False)
