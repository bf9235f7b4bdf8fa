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
from feedplane_cluster.api import Api
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import PATIENCE
from feedplane_cluster.engine import Engine
from feedplane_cluster.kubectl import Kubectl
from feedplane_cluster.netns import entered
from feedplane_ops.version import __version__
from feedplane_testing.feedsets import FeedSets
from feedplane_testing.release import Release

CRD_FILE = Path(__file__).resolve().parents[2] / "operator" / "crd" / "feedset.yaml"
TEST_TIMEOUT_S = 300
DELETED_S = 60.0
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
IMAGES = (
    "operator writer simex clickhouse-lite redis feed-binance-futures feed-binance-spot feed-coinbase feed-okx".split()
)
_TOLD = pytest.StashKey[Kubectl]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a cluster; starting the first pods of a loaded machine takes its time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.k8s)
            given = item.get_closest_marker("timeout")
            seconds = given.args[0] if given is not None else TEST_TIMEOUT_S
            item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)
    # The operator of `release` serves every namespace: tests of the bare API come before it is there.
    items.sort(key=lambda item: "release" in getattr(item, "fixturenames", ()))


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
def helm(cluster: Cluster | None) -> str:
    """The program."""
    return cluster.layout.binary("helm") if cluster is not None else shutil.which("helm") or "helm"


@pytest.fixture(scope="session")
def system(kube: Kubectl) -> Kubectl:
    """The namespace that the product is installed in."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "feedplane", "labels": RESTRICTED}})
    return kube.in_namespace("feedplane")


@pytest.fixture(scope="session")
def crd(kube: Kubectl) -> dict[str, Any]:
    """The FeedSet resource, of no release, as the server holds it."""
    kube("apply", "--server-side", "--force-conflicts", "-f", str(CRD_FILE))
    kube.wait_for_condition("crd", "feedsets.feedplane.io", "Established", timeout_s=30)
    return kube.get("crd", "feedsets.feedplane.io")


@pytest.fixture(scope="session")
def images(cluster: Cluster | None) -> None:
    """The product's images on the node; `make test-k8s` has built them. Elsewhere its administrator has brought them."""
    if cluster is not None:
        cluster.load([f"feedplane/{name}:{__version__}" for name in IMAGES], Engine())


@pytest.fixture(scope="session")
def release(
    system: Kubectl, helm: str, cluster: Cluster | None, crd: dict[str, Any], images: None
) -> Iterator[Release]:
    """The chart, installed once: operator, simulated venues, six Redis nodes, two shards of ClickHouse."""
    made = Release(system, helm)
    print(f"chart installed in {made.install():.1f} s")
    yield made
    if cluster is None or os.environ.get("FEEDPLANE_TEST_CLUSTER"):
        made.uninstall()


@pytest.fixture
def feedsets(namespace: Kubectl, release: Release) -> Iterator[FeedSets]:
    """FeedSets in a namespace of the test's own; they are gone when it ends, so that the next has the machine for itself."""
    release.lend_password(namespace)
    yield FeedSets(namespace)
    release.lift_faults()
    limit_s = DELETED_S * PATIENCE
    namespace("delete", "feedsets", "--all", f"--timeout={limit_s:g}s", timeout_s=limit_s + 10)


@pytest.fixture
def namespace(kube: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace of the test's own, where the restricted profile of Pod Security is enforced."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    inside = kube.in_namespace(name)
    request.node.stash[_TOLD] = inside
    yield inside
    kube.delete("namespace", name, wait=False)
