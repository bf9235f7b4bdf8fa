"""The charts on a real API server: what it says to every object, and what happens to FeedSets over a release's life."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import ClusterError, run, wait_until
from feedplane_cluster.engine import Engine
from feedplane_cluster.kubectl import Kubectl
from feedplane_ops.version import __version__
from feedplane_testing.charts import CHARTS, Helm, Object, kinds

FOREIGN: Final = ("ServiceMonitor", "PodMonitor")
"""Kinds of the Prometheus operator, which this cluster does not have."""
FEEDSET: Final[Object] = {
    "apiVersion": "feedplane.io/v1alpha1",
    "kind": "FeedSet",
    "metadata": {"name": "kept"},
    "spec": {"exchanges": [{"name": "okx", "exchange": "okx", "feeds": ["trades"], "symbols": {"include": ["A-B"]}}]},
}
_CRD: Final = "feedsets.feedplane.io"
_TIMEOUT_S: Final = 200.0
_PRESENT: Final = ("--set", "crds.enabled=false,images.pullPolicy=IfNotPresent", "--wait", "--timeout", "3m")


@pytest.fixture(scope="session")
def helm(cluster: Cluster | None) -> Helm:
    program = cluster.layout.binary("helm") if cluster is not None else shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed: `make chart-tools` builds it")
    return Helm(str(program))


class Life:
    """A release of charts in one namespace."""

    def __init__(self, helm: Helm, kubectl: Kubectl) -> None:
        self._program = helm.program
        self._kubectl = kubectl

    def __call__(self, *words: str | Path) -> str:
        """Output of helm. Raises: ClusterError."""
        place = ["--kubeconfig", str(self._kubectl.kubeconfig), "--namespace", self._kubectl.namespace]
        return run([self._program, *place, *map(str, words)], timeout_s=_TIMEOUT_S)

    def install(self, chart: Path, release: str, *words: str) -> str:
        """A resource that others have applied before is taken over."""
        return self("upgrade", "--install", release, chart, "--take-ownership", *words)


@pytest.fixture
def life(helm: Helm, namespace: Kubectl) -> Life:
    return Life(helm, namespace)


@pytest.fixture(scope="session")
def images(cluster: Cluster | None) -> None:
    """Operator and Redis on the node, as `make images` has built them. Elsewhere its administrator has brought them."""
    if cluster is not None:
        cluster.load([f"feedplane/{name}:{__version__}" for name in ("operator", "redis")], Engine())


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_api_server_accepts_every_environment(helm: Helm, namespace: Kubectl, environment: str) -> None:
    """As a dry run, in a namespace that enforces the restricted profile and warns of it."""
    namespace("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/warn=restricted")
    namespace("create", "serviceaccount", "feedplane-test")  # a pod of an account that is missing is refused
    values = CHARTS / "feedplane" / f"values-{environment}.yaml"
    objects = helm.template("feedplane", "-f", values, namespace=namespace.namespace)
    known = [one for one in objects if one["kind"] not in FOREIGN]
    command = namespace.command("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    done = subprocess.run(
        command, input=yaml.safe_dump_all(known), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a warning is a promise of trouble"
    assert len(done.stdout.splitlines()) == len(known)


def test_a_pod_that_is_not_restricted_would_be_warned_of(helm: Helm, namespace: Kubectl) -> None:
    """The check above can fail."""
    namespace("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/warn=restricted")
    (operator,) = kinds(helm.template(namespace=namespace.namespace), "Deployment")
    del operator["spec"]["template"]["spec"]["securityContext"]
    command = namespace.command("apply", "--server-side", "--dry-run=server", "-f", "-")
    done = subprocess.run(command, input=json.dumps(operator), capture_output=True, text=True, timeout=60, check=False)

    assert "runAsNonRoot" in done.stderr


def older_chart(folder: Path) -> Path:
    """The resource chart as it may have been before: a field fewer."""
    chart = folder / "feedset-crds"
    shutil.copytree(CHARTS / "feedset-crds", chart)
    path = chart / "files" / "feedset.yaml"
    crd = yaml.safe_load(path.read_text())
    spec: Any = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["template"]["properties"]["priorityClassName"]
    path.write_text(yaml.safe_dump(crd))
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": "0.0.1"}))
    return chart


@pytest.fixture
def own_resource(kube: Kubectl, life: Life) -> Iterator[None]:
    """Whatever a test did to the resource, others find the present one, of no release."""
    yield
    for release in ("resource", "feedplane"):
        life("uninstall", release, "--ignore-not-found")
    kube("apply", "--server-side", "--force-conflicts", "-f", str(CHARTS / "feedset-crds" / "files" / "feedset.yaml"))
    kube.wait_for_condition("crd", _CRD, "Established", timeout_s=30)


@pytest.mark.usefixtures("own_resource")
def test_an_upgrade_keeps_feedsets_and_adds_fields(
    kube: Kubectl, life: Life, namespace: Kubectl, tmp_path: Path
) -> None:
    life.install(older_chart(tmp_path), "resource")
    kube.wait_for_condition("crd", _CRD, "Established", timeout_s=30)
    namespace.create(FEEDSET)
    before = namespace.get("feedset", "kept")
    newer = json.dumps({**FEEDSET, "spec": {**FEEDSET["spec"], "template": {"priorityClassName": "high"}}})
    apply = ("apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-")
    with pytest.raises(ClusterError, match="priorityClassName"):
        namespace(*apply, input_text=newer)

    life.install(CHARTS / "feedset-crds", "resource")
    namespace(*apply, input_text=newer)

    after = namespace.get("feedset", "kept")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["exchanges"] == before["spec"]["exchanges"]
    assert after["spec"]["template"]["priorityClassName"] == "high"


@pytest.mark.usefixtures("own_resource")
@pytest.mark.parametrize("chart", ["feedset-crds", "feedplane"])
def test_an_uninstall_keeps_the_resource_and_feedsets(
    kube: Kubectl, life: Life, namespace: Kubectl, chart: str
) -> None:
    release = "resource" if chart == "feedset-crds" else "feedplane"
    life.install(CHARTS / chart, release)
    kube.wait_for_condition("crd", _CRD, "Established", timeout_s=30)
    namespace.create(FEEDSET)

    told = life("uninstall", release)

    assert "resource policy" in told
    assert kube.exists("crd", _CRD)
    assert namespace.exists("feedset", "kept")
    assert not namespace.exists("deployment", "feedplane")


def test_an_upgrade_keeps_the_password_of_the_stores(life: Life, namespace: Kubectl) -> None:
    """Stores and writers read it once they start: another one would lock out whoever started before."""
    words = ("--set", "redis.enabled=true", "--set", "crds.enabled=false")
    life.install(CHARTS / "feedplane", "feedplane", *words)
    before = namespace.get("secret", "feedplane-stores")["data"]["password"]
    life.install(CHARTS / "feedplane", "feedplane", *words, "--set", "redis.maxMemory=128mb")

    assert len(before) > 32
    assert namespace.get("secret", "feedplane-stores")["data"]["password"] == before


def test_people_with_view_and_edit_get_feedsets(kube: Kubectl, crd: Object, life: Life, namespace: Kubectl) -> None:
    """The cluster's own roles take the rules in, so that nobody has to be given any."""
    life.install(CHARTS / "feedplane", "feedplane", "--set", "crds.enabled=false")
    for person in ("view", "edit"):
        account = f"{namespace.namespace}:{person}"
        namespace("create", "serviceaccount", person)
        namespace("create", "rolebinding", person, f"--clusterrole={person}", f"--serviceaccount={account}")

    def may(person: str, verb: str) -> bool:
        asking = namespace.as_user(f"system:serviceaccount:{namespace.namespace}:{person}")
        command = asking.command("auth", "can-i", verb, "feedsets")
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0

    assert [may("view", verb) for verb in ("list", "create")] == [True, False]
    assert [may("edit", verb) for verb in ("list", "create", "delete")] == [True, True, True]


def test_the_release_tests_itself(crd: Object, images: None, life: Life, namespace: Kubectl) -> None:
    """With its own rights, in a namespace that enforces the restricted profile; and it can fail."""
    life.install(CHARTS / "feedplane", "feedplane", *_PRESENT)

    told = life("test", "feedplane", "--logs", "--timeout", "2m")
    assert "operator ready, good FeedSet accepted, bad FeedSet refused" in told
    assert not namespace.exists("rolebinding", "feedplane-test"), "its rights go with it"

    namespace("scale", "deployment", "feedplane", "--replicas=0")
    with pytest.raises(ClusterError, match="feedplane-test"):
        life("test", "feedplane", "--timeout", "2m")


def test_a_redis_cluster_forms_and_takes_lost_pods_back(images: None, life: Life, namespace: Kubectl) -> None:
    """Pods come back with other addresses and without memory: one primary, and the replica of another."""
    life.install(CHARTS / "feedplane", "feedplane", *_PRESENT, "--set", "redis.enabled=true,redis.mode=Cluster")
    pods = [f"feedplane-redis-{index}" for index in range(6)]
    lost = (pods[1], pods[3])
    before = [namespace.get("pod", pod)["metadata"]["uid"] for pod in lost]
    namespace("delete", "pod", *lost, "--wait=false")

    def nodes() -> list[str]:
        words = "redis-cli --no-auth-warning -a $(cat /run/secrets/feedplane/stores/password) cluster nodes"
        told = namespace("exec", pods[5], "--", "sh", "-c", words)
        return sorted(line.split()[2].removeprefix("myself,") for line in told.splitlines())

    def is_whole() -> bool:
        try:
            if set(before) & {namespace.get("pod", pod)["metadata"]["uid"] for pod in lost}:
                return False
            checks = [namespace("exec", pod, "--", "python3", "/opt/redis/redis_node.py", "--check") for pod in pods]
            return len(checks) == 6 and nodes() == ["master"] * 3 + ["slave"] * 3
        except ClusterError:  # a pod is not there yet, or its cluster is not well
            return False

    took_s = wait_until("six nodes whole again", is_whole, timeout_s=120, every_s=1)
    print(f"six nodes whole again after {took_s:.0f} s")
