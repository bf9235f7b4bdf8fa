"""Groups of processes as a pod has them: one collector, its two writers, a journal of their own. Two groups of one shard make a rollout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from feedplane_cli.adapters import known_exchanges
from feedplane_core.names import DATABASES, Mode
from feedplane_feedset.config import write_config, write_standing, write_symbols
from feedplane_feedset.render import Pod, Stores, render_pods
from feedplane_feedset.validate import parse_feedset

from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.collector import mount
from feedplane_testing.redis import RedisServer
from feedplane_testing.writers import wait_until

_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_DRAIN_SLACK_S: Final = 15.0


class Service:
    """One container's process; its log is kept in the pod's folder."""

    def __init__(
        self, name: str, folder: Path, argv: Sequence[str], env: Mapping[str, str], prefix: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        tmp = folder / "tmp"
        self.termination_path = tmp / f"{name}.termination"
        self._log = self.log_path.open("wb")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FEEDPLANE_")}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", *argv],
            env=clean
            | env
            | {"FEEDPLANE_TERMINATION_FILE": str(self.termination_path), "HOME": str(tmp), "TMPDIR": str(tmp)},
            stdout=self._log,
            stderr=self._log,
        )
        self.port = 0

    def log(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]

    def listens(self, within_s: float = 30.0) -> Self:
        """Wait until its port is open."""

        def is_open() -> bool:
            assert self.process.poll() is None, self.log_path.read_text()[-2_000:]
            self.port = next((line["port"] for line in self.log() if line.get("port")), 0)
            return bool(self.port)

        wait_until(is_open, f"{self.name} listens", within_s)
        return self

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET on its port."""
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as e:
            return e.code, json.load(e)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/status")[1]
        return found

    def terminate(self, within_s: float) -> float:
        """SIGTERM; it must end by itself and well. Returns how long that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        self._log.close()
        assert code == 0, f"{self.name} ended with {code}: {self.log_path.read_text()[-2_000:]}"
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def termination(self) -> dict[str, Any]:
        """Its last word."""
        word: dict[str, Any] = json.loads(self.termination_path.read_text())
        return word


def confinement(writable: Sequence[Path]) -> list[str]:
    """A command line that runs another with a read-only root and without privileges: as uid 10001 where the interpreter can be read by everybody, else without capabilities."""
    binds = " && ".join(f'mount --bind "{path}" "{path}"' for path in writable)
    script = f'{binds} && mount -o remount,ro,bind / && exec "$@"'
    if all(parent.stat().st_mode & 0o001 for parent in Path(sys.executable).resolve().parents):
        for path in writable:
            os.chown(path, 10_001, 10_001)
        stripped = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs"]
    else:
        stripped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *stripped]


class PodGroup:
    """One pod. `drain_s` bounds how long its writers empty the journal."""

    def __init__(
        self,
        folder: Path,
        pod: Pod,
        *,
        mode: Mode = Mode.SIM,
        endpoints: Mapping[str, str] | None = None,
        spool_dies: bool = True,
        is_confined: bool = False,
    ) -> None:
        """`is_confined`: every file system but the spool and the temporary folder is read-only, and nothing is left of root but its name, or not even that."""
        (folder / "tmp").mkdir(parents=True)
        spool = Path(pod.collector.journal.directory)
        spool.parent.mkdir(parents=True)
        prefix = confinement([spool.parent, folder / "tmp"]) if is_confined else []
        self.folder = folder
        self.pod = pod
        self.symbols_path = folder / "symbols" / "symbols.json"
        self._drain_s = max(writer.drain_ns for writer in pod.writers) / 1e9
        mount(self.symbols_path, write_symbols(pod.collector.symbols))
        (folder / "collector.json").write_text(write_standing(pod.collector))
        shared = {"FEEDPLANE_INSTANCE": folder.name}
        self.writers = {}
        for writer in pod.writers:
            path = folder / f"writer-{writer.sink}.json"
            path.write_text(write_config(writer))
            argv = ["feedplane_writer", "--sink", writer.sink, "--config", str(path)]
            argv += ["--journal", pod.collector.journal.directory]
            dies = {"FEEDPLANE_SPOOL_DIES": "true"} if spool_dies else {}
            self.writers[str(writer.sink)] = Service(f"writer-{writer.sink}", folder, argv, shared | dies, prefix)
        env = {
            "FEEDPLANE_SYMBOLS": str(self.symbols_path),
            "FEEDPLANE_MODE": mode,
            "FEEDPLANE_ENDPOINTS": json.dumps(dict(endpoints or {})),
        }
        argv = ["feedplane_collector", "--config", str(folder / "collector.json")]
        self.collector = Service("collector", folder, argv, shared | env, prefix)

    @property
    def services(self) -> list[Service]:
        return [*self.writers.values(), self.collector]

    def ready(self, within_s: float = 40.0) -> None:
        """Wait until every container is ready, as the kubelet judges it."""
        for service in self.services:
            service.listens(within_s)

        def is_ready() -> bool:
            return all(service.get("/readyz")[0] == 200 for service in self.services)

        wait_until(is_ready, f"{self.folder.name} is ready", within_s)

    def terminate(self) -> dict[str, float]:
        """End it as the kubelet does: the collector, then the writers in reverse order. Returns how long each took."""
        took = {"collector": self.collector.terminate(5.0)}
        for sink, writer in reversed(self.writers.items()):
            took[sink] = writer.terminate(self._drain_s + _DRAIN_SLACK_S)
        return took

    def kill(self) -> None:
        for service in self.services:
            service.kill()


class PodStores:
    """A Redis and a ClickHouse for pods, and a venue's FeedSet rendered for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.redis = RedisServer(folder / "redis").start()
        self.clickhouse = ClickHouseLite(folder / "clickhouse", max_threads=2).start()

    def render(self, name: str, entry: Mapping[str, Any], **spec: Any) -> Pod:
        """The one pod of a FeedSet with one entry; `name` gives it a journal of its own."""
        sinks = {
            "redis": {"endpoints": [self.redis.endpoint]},
            "clickhouse": {"shards": [{"endpoints": [f"127.0.0.1:{self.clickhouse.port}"]}]},
        }
        feedset = parse_feedset(
            {
                "apiVersion": "feedplane.io/v1alpha1",
                "kind": "FeedSet",
                "metadata": {"name": "test"},
                "spec": {"exchanges": [dict(entry)], "sinks": sinks, **spec},
            },
            known_exchanges(),
        )
        root = self._folder / name / "spool"
        (pod,) = render_pods(feedset, Stores(database=DATABASES[Mode.SIM], journal_root=str(root)))
        return pod

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a statement; 64-bit integers as numbers, decimals as text."""
        settings = "output_format_json_quote_64bit_integers=0&output_format_json_quote_decimals=1"
        url = f"{self.clickhouse.url}/?database={DATABASES[Mode.SIM]}&{settings}"
        request = urllib.request.Request(url, data=f"{sql} FORMAT JSONEachRow".encode(), method="POST")
        with _OPENER.open(request, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def redis_port(self) -> int:
        return self.redis.port

    def stop(self) -> None:
        self.clickhouse.stop()
        self.redis.stop()
