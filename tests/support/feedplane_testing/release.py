"""The chart installed on a cluster with stores and simulated venues of its own, and what tests do to them."""

from __future__ import annotations

import base64
import gzip
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from feedplane_cluster.commands import run, wait_until
from feedplane_cluster.kubectl import Kubectl
from feedplane_core.names import DATABASES, Mode
from redis.cluster import ClusterNode, RedisCluster

from feedplane_testing.judge import Verdict, issued_of_ledger, judge
from feedplane_testing.stores import holes_of_tables, kept_of_tables

CHARTS: Final = Path(__file__).resolve().parents[3] / "charts"
DATABASE: Final = DATABASES[Mode.SIM]
NAME: Final = "feedplane"
EXCHANGES: Final = ["binance_futures", "binance_spot", "coinbase", "okx"]
_INSTALL_TIMEOUT_S: Final = 200.0
_LEDGER: Final = "/tmp/ledger.ndjson"
_CHOOSE: Final = """
import base64, gzip, re, sys
path, exchange, since_ns = sys.argv[1], f'"exchange":"{sys.argv[2]}"'.encode(), int(sys.argv[3])
issued_ns = re.compile(rb'"issued_ns":([0-9]+)')
wanted = (
    line for line in open(path, "rb")
    if line.endswith(b"\\n") and exchange in line and int(issued_ns.search(line)[1]) >= since_ns
)
sys.stdout.write(base64.b64encode(gzip.compress(b"".join(wanted), 1)).decode())
"""
"""Chosen and packed beside the ledger: hundreds of megabytes are slow to bring over. The last line may be half written."""
_NOT_MADE_YET: Final = {"60", "81"}  # of a table, of a database: there are no rows
_ON_THEIR_WAY_NS: Final = 15 * 1_000_000_000
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def values(**changes: Any) -> dict[str, Any]:
    """Six Redis nodes, two shards, simulated venues that keep a ledger; the operator serves every namespace."""
    base = {
        "crds": {"enabled": False},
        "watch": {"namespaces": ["*"]},
        "images": {"pullPolicy": "Never"},
        "operator": {"logLevel": "debug"},
        "redis": {"enabled": True, "mode": "Cluster", "nodes": 6, "resources": _asks("10m", "32Mi", "256Mi")},
        "clickhouseLite": {"enabled": True, "shards": 2, "resources": _asks("10m", "256Mi", "2Gi")},
        "simex": {
            "enabled": True,
            "exchanges": EXCHANGES,
            "rate": 200,
            "extraArgs": ["--ledger", _LEDGER],
            "resources": _asks("10m", "64Mi", "1Gi"),
        },
    }
    return {**base, **changes}


def _asks(cpu: str, memory: str, limit: str) -> dict[str, Any]:
    """Little is set aside: a test machine is small, and what is set aside bounds how many pods it takes."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def helm(program: str, kubectl: Kubectl, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
    """Output of helm in a namespace."""
    place = ["--kubeconfig", str(kubectl.kubeconfig), "--namespace", kubectl.namespace]
    given = ["--values", "-"] if values is not None else []
    text = json.dumps(values) if values is not None else None
    return run([program, *place, *arguments, *given], input_text=text, timeout_s=_INSTALL_TIMEOUT_S)


@dataclass
class Release:
    """One release of the chart in a namespace of its own."""

    kubectl: Kubectl  # in its namespace
    program: str  # helm
    values: Mapping[str, Any] = field(default_factory=values)

    def install(self) -> float:
        """Seconds until everything is ready."""
        began = time.monotonic()
        chart = str(CHARTS / "feedplane")
        self._helm("upgrade", "--install", NAME, chart, "--wait", "--timeout", "3m", values=self.values)
        return time.monotonic() - began

    def helm_test(self) -> str:
        """What the chart's own test says of itself."""
        return self._helm("test", NAME, "--timeout", "2m", "--hide-notes")

    def endpoints(self, exchange: str) -> dict[str, Any]:
        """Its simulated venue, as the value `venues.endpoints` of another release names it."""
        host = f"{NAME}-simex.{self.kubectl.namespace}.svc:8090"
        text = (CHARTS / "feedplane" / "files" / "venue-endpoints.json").read_text()
        return {exchange: json.loads(text.replace("SIMEX", host))[exchange]}

    def sinks(self) -> dict[str, Any]:
        """Its stores, as `spec.sinks` of a FeedSet or `defaultSinks` of another release names them."""
        secret = {"name": f"{NAME}-stores", "key": "password"}
        nodes = [f"{NAME}-redis-{number}.{NAME}-redis.{self.kubectl.namespace}.svc:6379" for number in range(6)]
        shards = [
            f"{NAME}-clickhouse-lite-{number}.{NAME}-clickhouse-lite.{self.kubectl.namespace}.svc:8123"
            for number in range(2)
        ]
        return {
            "redis": {"mode": "Cluster", "endpoints": nodes, "passwordSecretRef": secret},
            "clickhouse": {"shards": [{"endpoints": [shard]} for shard in shards], "passwordSecretRef": secret},
        }

    def uninstall(self) -> None:
        self._helm("uninstall", NAME, "--wait", "--ignore-not-found")

    def _helm(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        return helm(self.program, self.kubectl, *arguments, values=values)

    @cached_property
    def password(self) -> str:
        """Of the stores."""
        secret = self.kubectl.get("secret", f"{NAME}-stores")
        return base64.b64decode(secret["data"]["password"]).decode()

    def lend_password(self, kubectl: Kubectl) -> None:
        """Collectors look for the stores' password in their own namespace."""
        data = {"password": base64.b64encode(self.password.encode()).decode()}
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"{NAME}-stores"},
                "type": "Opaque",
                "data": data,
            }
        )

    # ----------------------------------------------------------------------------------------------- simulated venues
    @cached_property
    def venues(self) -> str:
        """Address of the simulated venues."""
        return str(self.kubectl.get("service", f"{NAME}-simex")["spec"]["clusterIP"])

    def _control(self, path: str, body: Any = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.venues}:8090{path}", data=data, method=method)
        with _OPENER.open(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def fault(self, spec: str) -> None:
        """Lay a fault on the venues: `cut:code=0`."""
        self._control("/fault", {"fault": spec}, "POST")

    def lift_faults(self) -> None:
        self._control("/fault", method="DELETE")

    def clients(self, exchange: str) -> list[dict[str, Any]]:
        """What clients of a venue did: open, subscribe, unsubscribe, end."""
        return list(self._control(f"/clients/{exchange}"))

    def ledger(self, exchange: str, since_ns: int) -> list[dict[str, Any]]:
        """Lines that a venue issued from a time on."""
        self._control("/ledger/flush")
        command = ["exec", f"deploy/{NAME}-simex", "--", "python3", "-c", _CHOOSE, _LEDGER, exchange, str(since_ns)]
        packed = self.kubectl(*command, timeout_s=180)
        return [json.loads(line) for line in gzip.decompress(base64.b64decode(packed)).splitlines()]

    # --------------------------------------------------------------------------------------------------------- stores
    def query(self, sql: str, database: str = DATABASE) -> list[dict[str, Any]]:
        """Rows of a SELECT over both shards, one after the other; an instrument is on one of them."""
        return [row for shard in self.shards for row in self._query(shard, f"{sql} FORMAT JSONEachRow", database)]

    @cached_property
    def shards(self) -> list[str]:
        """Addresses, looked up once: they are asked while the API server is away, too."""
        pods = self.kubectl.list("pods", "app.kubernetes.io/component=clickhouse-lite")
        return [pod["status"]["podIP"] for pod in pods]

    def _query(self, shard: str, sql: str, database: str = DATABASE) -> list[dict[str, Any]]:
        settings = "output_format_json_quote_64bit_integers=0&output_format_json_quote_decimals=1"
        url = f"http://{shard}:8123/?database={database}&{settings}"
        headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": self.password}
        request = urllib.request.Request(url, data=sql.encode(), method="POST", headers=headers)
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return [json.loads(line) for line in answer.read().splitlines()]
        except urllib.error.HTTPError as e:
            if e.headers.get("X-ClickHouse-Exception-Code") in _NOT_MADE_YET:
                return []
            raise

    @contextmanager
    def redis(self) -> Iterator[RedisCluster]:
        """A client of the whole Redis Cluster."""
        pods = self.kubectl.list("pods", "app.kubernetes.io/component=redis")
        nodes = [ClusterNode(pod["status"]["podIP"], 6379) for pod in pods]
        with RedisCluster(startup_nodes=nodes, password=self.password, decode_responses=True) as client:
            yield client

    def hot_keys(self, pattern: str) -> list[str]:
        """Keys on all nodes."""
        with self.redis() as client:
            return list(client.keys(pattern, target_nodes=RedisCluster.PRIMARIES))

    def forget(self) -> None:
        """Empty stores, for a test that judges all that is in them."""
        for shard in self.shards:
            self._query(shard, f"DROP DATABASE IF EXISTS {DATABASE} SYNC", database="default")
        with self.redis() as client:
            client.flushall(target_nodes=RedisCluster.PRIMARIES)

    def judge(self, exchange: str, since_ns: int) -> Verdict:
        """What a venue issued from `since_ns` on against all that is stored of it; the last seconds may still be on their way.

        The ledger is read after the stores: whatever is stored then stands in it.
        """
        until_ns = time.time_ns() - _ON_THEIR_WAY_NS
        kept = [row for row in kept_of_tables(self.query) if row.key[0] == exchange]
        holes = [hole for hole in holes_of_tables(self.query) if hole.exchange == exchange]
        lines = self.ledger(exchange, since_ns)
        verdict = judge([line for line in issued_of_ledger(lines) if line.key[2] != "top_of_book"], kept, holes)
        earlier: set[object] = set()
        if verdict.invented:  # what a pod of the test before still had to store was issued, though not for this run
            earlier = {line.key for line in issued_of_ledger(self.ledger(exchange, 0))}
        return verdict._replace(
            invented=[key for key in verdict.invented if key not in earlier],
            lost=[line for line in verdict.lost if line.at_ns <= until_ns],
            undeclared=[line for line in verdict.undeclared if line.at_ns <= until_ns],
        )

    # -------------------------------------------------------------------------------------------------------- operator
    def operator_pod(self) -> str:
        (pod,) = [
            pod["metadata"]["name"]
            for pod in self.kubectl.list("pods", "app.kubernetes.io/component=operator")
            if "deletionTimestamp" not in pod["metadata"]
        ]
        return str(pod)

    def wait_for_operator(self, timeout_s: float = 60.0) -> float:
        return wait_until("operator", self._is_operator_ready, timeout_s=timeout_s, every_s=0.25)

    def _is_operator_ready(self) -> bool:
        found = self.kubectl.get("deployment", NAME)["status"]
        return found.get("readyReplicas") == 1 and found.get("updatedReplicas") == 1
