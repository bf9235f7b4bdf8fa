"""The operator as a real process before a real API server: one control plane for the session, a namespace per test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from feedplane_cluster.binaries import ensure
from feedplane_testing.control_plane import ControlPlane
from feedplane_testing.fault_proxy import FaultProxy
from feedplane_testing.kube import Kube, KubeError, Object, PaperNode, eventually

ROOT = Path(__file__).resolve().parents[3]
OPERATOR = "operator"
ROLE = yaml.safe_load((ROOT / "operator/rbac/role.yaml").read_text())
SINKS = {"redis": {"endpoints": ["redis:6379"]}, "clickhouse": {"shards": [{"endpoints": ["clickhouse:8123"]}]}}
STREAMING = {"sockets": {"connected": 1, "planned": 1}, "instruments": 2, "feeds": {}}
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.k8s)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    control_plane = ControlPlane(ensure()["kube"], tmp_path_factory.mktemp("plane"), controllers=True)
    control_plane.add_user(OPERATOR)
    try:
        control_plane.start()
        yield control_plane
    finally:
        control_plane.stop()


@pytest.fixture
async def kube(plane: ControlPlane) -> AsyncIterator[Kube]:
    client = Kube(plane)
    crd = yaml.safe_load((ROOT / "operator/crd/feedset.yaml").read_text())
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    await client.apply(path, crd)
    await eventually(lambda: client.get("/apis/feedplane.io/v1alpha1"))
    yield client
    await client.close()


class Operator:
    """The process, and how to start and end it."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self.log = folder / "operator.log"
        self.server = plane.server
        self.environment = {
            "FEEDPLANE_OPERATOR_WATCH_NAMESPACES": json.dumps([namespace]),
            "FEEDPLANE_OPERATOR_METRICS_PORT": "0",
            "FEEDPLANE_OPERATOR_MODE": "sim",
            "FEEDPLANE_OPERATOR_DEFAULT_SINKS": json.dumps(SINKS),
        }
        self.process: asyncio.subprocess.Process | None = None

    @property
    def lines(self) -> list[Object]:
        """What it has logged, over all its lives."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def writes(self) -> list[tuple[str, str]]:
        """Kind and name of each object it has applied, in order."""
        return [(line["kind"], line["object"]) for line in self.lines if line["event"] == "applied"]

    async def start(self, server: str | None = None) -> None:
        kubeconfig = self._folder / "operator.kubeconfig"
        self._plane.write_kubeconfig(kubeconfig, OPERATOR, server or self._plane.server)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "feedplane_operator"),
                env={**os.environ, "KUBECONFIG": str(kubeconfig), **self.environment},
                stderr=log,
                stdout=log,
            )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Returns the exit code."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def metrics(self) -> dict[str, float]:
        """Name with labels -> value."""
        import aiohttp

        [port] = [line["port"] for line in self.lines if line["event"] == "serving health and metrics"][-1:]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        }

    def memory_bytes(self) -> int:
        """Resident set at its highest."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no such line")


class Place:
    """One namespace with an operator that has exactly the rights of the Role."""

    def __init__(self, kube: Kube, namespace: str, operator: Operator, plane: ControlPlane) -> None:
        self.kube = kube
        self.namespace = namespace
        self.operator = operator
        self.plane = plane
        self.node = PaperNode(kube, namespace)
        self.node.words = {"collector": STREAMING, "writer-redis": {}, "writer-clickhouse": {}}

    def path(self, plural: str, name: str = "") -> str:
        groups = {
            "deployments": "apis/apps/v1",
            "replicasets": "apis/apps/v1",
            "networkpolicies": "apis/networking.k8s.io/v1",
            "poddisruptionbudgets": "apis/policy/v1",
            "feedsets": "apis/feedplane.io/v1alpha1",
        }
        return f"/{groups.get(plural, 'api/v1')}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def apply(self, feedset: Object) -> Object:
        return await self.kube.apply(self.path("feedsets", feedset["metadata"]["name"]), feedset)

    async def get(self, plural: str, name: str) -> Object:
        found = await self.kube.get(self.path(plural, name))
        assert found is not None, f"no {plural} {name}"
        return found

    async def names(self, plural: str) -> set[str]:
        """Names of the FeedSets' objects of one kind."""
        selector = "app.kubernetes.io/managed-by=feedplane-operator"
        return {each["metadata"]["name"] for each in await self.kube.items(self.path(plural), labelSelector=selector)}

    async def conditions(self, name: str = "majors") -> dict[str, str]:
        """Type -> `Status Reason`."""
        feedset = await self.get("feedsets", name)
        listed = feedset.get("status", {}).get("conditions") or ()
        return {each["type"]: f"{each['status']} {each['reason']}" for each in listed}

    async def until_ready(self, name: str = "majors", within_s: float = 30.0) -> None:
        async def check() -> bool:
            if self.operator.process is not None and self.operator.process.returncode is not None:
                raise RuntimeError(f"the operator has ended: {self.operator.lines[-1:]}")
            feedset = await self.get("feedsets", name)
            assert feedset.get("status", {}).get("observedGeneration") == feedset["metadata"]["generation"]
            conditions = await self.conditions(name)
            assert conditions["Ready"].startswith("True"), json.dumps(feedset["status"]["conditions"])
            return True

        await eventually(check, within_s)

    async def events(self) -> set[str]:
        """Reasons of events about FeedSets."""
        listed = await self.kube.items(self.path("events"))
        return {each["reason"] for each in listed if each["involvedObject"]["kind"] == "FeedSet"}

    def audited(self) -> list[Object]:
        """The operator's requests in this namespace."""
        events = self.plane.audited(OPERATOR)
        return [event for event in events if event.get("objectRef", {}).get("namespace") == self.namespace]

    def written(self) -> list[tuple[str, str, str]]:
        """Verb, resource and name of the operator's writes."""
        return [
            (event["verb"], event["objectRef"]["resource"], event["objectRef"].get("name", ""))
            for event in self.audited()
            if event["verb"] not in ("get", "list", "watch")
        ]


@pytest.fixture
async def place(plane: ControlPlane, kube: Kube, tmp_path: Path) -> AsyncIterator[Place]:
    namespace = f"t{time.time_ns():x}"[-12:]
    await kube.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    role = f"{RBAC}/namespaces/{namespace}/roles"
    await kube.call("POST", role, ROLE)
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROLE["metadata"]["name"]},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}],
    }
    await kube.call("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
    operator = Operator(plane, namespace, tmp_path)
    made = Place(kube, namespace, operator, plane)
    async with made.node:
        yield made
        if operator.process is not None and operator.process.returncode is None:
            await operator.stop(signal.SIGKILL)
        await _release(made)


async def _release(place: Place) -> None:
    """Nothing of a test stays to be looked after by the controllers."""
    for feedset in await place.kube.items(place.path("feedsets")):
        path = place.path("feedsets", feedset["metadata"]["name"])
        with suppress(KubeError):
            await place.kube.patch(path, {"metadata": {"finalizers": None}})
            await place.kube.delete(path)
    for plural in ("deployments", "persistentvolumeclaims"):
        with suppress(KubeError):
            await place.kube.call("DELETE", place.path(plural))


@pytest.fixture
async def proxy(plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    made = FaultProxy(plane.server)
    await made.start()
    yield made
    await made.stop()


def entry(name: str, exchange: str = "binance_spot", *symbols: str, **more: Any) -> Object:
    return {
        "name": name,
        "exchange": exchange,
        "feeds": ["trades"],
        "symbols": {"include": list(symbols or ("BTCUSDT", "ETHUSDT"))},
    } | more


def feedset(*entries: Object, name: str = "majors", **spec: Any) -> Object:
    return {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "metadata": {"name": name},
        "spec": {
            "exchanges": list(entries or (entry("spot"),)),
            "rollout": {"minReadySeconds": 0, "drainSeconds": 1},
        }
        | spec,
    }


@pytest.fixture
def make() -> Callable[..., Object]:
    """A FeedSet of some entries."""
    return feedset


@pytest.fixture
def make_entry() -> Callable[..., Object]:
    return entry
