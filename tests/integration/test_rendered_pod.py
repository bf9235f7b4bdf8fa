"""A pod as the operator renders it, run as processes: the very arguments, environment and files, on other folders and ports.

What the operator reads of it afterwards are the processes' own words.
"""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.names import EXCHANGES, Feed, MarketType, Mode
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.validate import parse_feedset
from feedplane_operator.desired import Desired, Owner, Surroundings, render
from feedplane_operator.health import Memory
from feedplane_operator.observed import Observed, PodState, Words, observe
from feedplane_operator.pods import COLLECTOR_STOP_S
from feedplane_testing import kube_state
from feedplane_testing.collector import Process, Sim, http, until
from feedplane_testing.redis import RedisServer

KNOWN = KnownExchanges(KnownExchange(name, frozenset(Feed), frozenset(MarketType)) for name in EXCHANGES)
PASSWORD = "correct horse"
FOLDERS = ("/etc/feedplane/config", "/etc/feedplane/symbols", "/var/lib/feedplane", "/run/secrets/feedplane", "/dev")


class Pod:
    """Its containers as processes, started in the order of a kubelet."""

    def __init__(self, desired: Desired, folder: Path) -> None:
        self._folder = folder
        self.desired = desired
        (self.collector,) = desired.collectors
        by_name = {each["metadata"]["name"]: each for each in self.collector.objects}
        self.deployment = by_name[self.collector.deployments[0]]
        spec = self.deployment["spec"]["template"]["spec"]
        self.containers: list[dict[str, Any]] = [*spec["initContainers"], *spec["containers"]]
        self.ports = {each["name"]: _free_port() for each in self.containers}
        for volume in (each for each in spec["volumes"] if "configMap" in each):
            mounts = (each for container in self.containers for each in container["volumeMounts"])
            place = Path(self.here(next(each["mountPath"] for each in mounts if each["name"] == volume["name"])))
            place.mkdir(parents=True)
            for name, text in by_name[volume["configMap"]["name"]]["data"].items():
                (place / name).write_text(self.here(text))
        Path(self.here("/run/secrets/feedplane/redis")).mkdir(parents=True)
        Path(self.here("/run/secrets/feedplane/redis/password")).write_text(PASSWORD)
        for name in ("/var/lib/feedplane", "/dev"):
            Path(self.here(name)).mkdir(parents=True)
        self.processes = {each["name"]: self._process(each) for each in self.containers}

    def here(self, text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(folder, f"{self._folder}{folder}")
        return text

    def _process(self, container: dict[str, Any]) -> Process:
        name = container["name"]
        env = {each["name"]: self.here(each.get("value", "pod-1")) for each in container["env"]}
        module = "feedplane_collector" if name == "collector" else "feedplane_writer"
        placed = {"FEEDPLANE_METRICS_HOST": "127.0.0.1", "FEEDPLANE_METRICS_PORT": str(self.ports[name])}
        return Process(module, *(self.here(argument) for argument in container["args"]), env=env | placed)

    async def start(self) -> None:
        for container in self.containers:
            await self.processes[container["name"]].start()
            await self.probed(container, "startupProbe")

    async def probed(self, container: dict[str, Any], probe: str) -> None:
        """Wait until a probe succeeds."""
        path = container[probe]["httpGet"]["path"]

        async def is_ok() -> bool:
            process = self.processes[container["name"]]
            assert process.returncode is None, json.dumps(process.log[-3:], indent=1)
            try:
                return (await http("GET", f"http://127.0.0.1:{self.ports[container['name']]}{path}"))[0] == 200
            except OSError:
                return False

        await until(is_ok, 30)

    async def observed(self) -> Observed:
        """What the operator makes of it."""
        words: Words = {
            name: json.loads((await http("GET", f"http://127.0.0.1:{port}/status"))[1])
            for name, port in self.ports.items()
        }
        live = kube_state.deployment(self.deployment)
        (pod,) = kube_state.pods(live)
        return observe([live, pod], {pod["metadata"]["name"]: words})

    async def stop(self) -> list[int]:
        """Exit codes, ended as a kubelet does: the collector, then the sidecars in reverse."""
        codes = []
        for container in reversed(self.containers):
            process = self.processes[container["name"]]
            process.send(signal.SIGTERM)
            codes.append(await process.wait(COLLECTOR_STOP_S if container["name"] == "collector" else 10))
        return codes

    async def end(self) -> None:
        for process in self.processes.values():
            await process.end()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def rendered(symbols: list[str], redis: RedisServer, sim: Sim) -> Desired:
    body = {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "metadata": {"name": "majors"},
        "spec": {
            "exchanges": [
                {"name": "spot", "exchange": "binance_spot", "feeds": ["trades"], "symbols": {"include": symbols}}
            ],
            "sinks": {
                "redis": {"endpoints": [redis.endpoint], "passwordSecretRef": {"name": "redis"}},
                "clickhouse": {"shards": [{"endpoints": [f"127.0.0.1:{_free_port()}"]}]},
            },
            "spool": {"size": "64Mi"},
            "rollout": {"drainSeconds": 1},
        },
    }
    around = Surroundings(mode=Mode.SIM, endpoints={"binance_spot": sim.endpoints})
    return render(parse_feedset(body, KNOWN), Owner(name="majors", namespace="md", uid="u"), around)


@pytest.mark.timeout(180)
async def test_a_rendered_pod_runs_and_its_words_are_understood(tmp_path: Path) -> None:
    """Redis takes what is collected, ClickHouse is away, one symbol is wrong: each is seen for what it is."""
    sim = Sim("binance_spot", tmp_path, instruments=2)
    await sim.start()
    redis = RedisServer(tmp_path / "redis", "--requirepass", PASSWORD).start()
    symbol = next(each["instrument"] for each in (await sim.truth()).values())
    pod = Pod(rendered([symbol, "NOSUCH"], redis, sim), tmp_path)
    try:
        await pod.start()
        for container in pod.containers:  # a writer's never waits for its store
            await pod.probed(container, "readinessProbe")
            await pod.probed(container, "livenessProbe")

        async def is_told() -> tuple[Observed, PodState] | None:
            observed = await pod.observed()
            (state,) = observed.pods
            sinks = {word.sink: word.trouble for word in state.sinks}
            return (observed, state) if state.collector and state.collector.followed and sinks["clickhouse"] else None

        observed, state = await until(is_told, 30)
        health = Memory().judge(observed, {}, 10**18)

        async def is_stored() -> list[str]:
            return [str(key) for key in redis.client(password=PASSWORD).keys("stream:trades:*")]

        hot = await until(is_stored, 15)
        codes = await pod.stop()
    finally:
        await pod.end()
        redis.stop()
        await sim.end()

    assert state.collector is not None
    assert (state.collector.followed, list(state.collector.refused)) == (1, ["NOSUCH"])
    assert state.collector.symbols_hash == pod.collector.symbols_hash
    assert (state.collector.trouble, state.collector.complaint) == (None, None)
    assert {word.sink: word.trouble is None for word in state.sinks} == {"redis": True, "clickhouse": False}
    assert health.sinks["redis"] is None
    assert hot == [f"stream:trades:binance_spot:{symbol}"]
    assert codes == [0, 0, 0]
