"""One real Kubernetes node with its control plane: start, stop, look at, break on purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from feedplane_cluster import binaries, certificates, cgroups, configs, daemons, debian, network, pause
from feedplane_cluster.commands import ClusterError, run, wait_until
from feedplane_cluster.engine import Engine
from feedplane_cluster.folders import cache, running
from feedplane_cluster.layout import NODE_NAME, Layout
from feedplane_cluster.machine import Machine

_READY_TIMEOUT_S: Final = 60.0
_CRI_NAMESPACE: Final = "k8s.io"


class Cluster:
    """A cluster of one name; like `Machine` it holds no state of its own."""

    def __init__(self, name: str = "cluster", *, tell: Callable[[str], None] = lambda _: None) -> None:
        folder = running(name)
        self.layout = Layout(running=folder, data=cache("clusters", name), binaries=folder / "bin")
        self._machine = Machine(folder, own_network=True)
        self._tell = tell
        self._began = 0.0

    def start(self) -> None:
        """Make a new, empty cluster; what an earlier run left is ended and removed first, images stay.

        Raises:
            ClusterError: a part does not come up; carries the end of its log.
        """
        if os.geteuid() != 0:
            raise ClusterError("a cluster needs root: it makes namespaces, mounts and control groups")
        self._began = time.monotonic()
        debian.ensure(debian.CLUSTER)
        binaries.ensure(self._tell)
        pause_archive = pause.archive(Engine())
        self.stop()
        self._prepare()
        self._step("namespaces, certificates")
        self._spawn("containerd")
        self._spawn("etcd")
        self._start_api()
        self._step("API server answers")
        for name in ("kube-controller-manager", "kube-scheduler", "coredns", "kube-proxy"):
            self._spawn(name)
        self._forget_containers()
        self.import_images(pause_archive)
        self._spawn("kubelet")
        self._await("node", self.is_ready, "kubelet")
        self._step("node is ready")

    def _prepare(self) -> None:
        layout = self.layout
        certificates.make(layout)
        binaries.link(layout.binaries)
        for name, text in configs.files(layout, pause.IMAGE).items():
            path = layout.config / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        cgroups.make(layout.name)
        self._machine.start()
        network.set_up(self._machine)

    def _start_api(self) -> None:
        self._spawn("kube-apiserver")
        self.await_api()
        self._await("namespaces", self._has_default_namespace, "kube-apiserver")

    def await_api(self) -> None:
        """Wait until the API server answers.

        Raises:
            ClusterError: it does not; carries the end of its log.
        """
        self._await("API server", self._answers, "kube-apiserver")

    def stop(self) -> None:
        """End everything and remove all but images and logs; works after any crash."""
        self._machine.stop()
        cgroups.remove(self.layout.name)
        for part in ("etcd", "kubelet", "pod-logs", "volumes"):
            shutil.rmtree(self.layout.data / part, ignore_errors=True)
        for part in ("containerd", "addresses", "pki", "config", "bin"):
            shutil.rmtree(self.layout.running / part, ignore_errors=True)
        for path in [*self.layout.running.glob("*.pid"), *self.layout.running.glob("*.log"), self.layout.audit_log]:
            path.unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Whether the API server answers and the node is ready."""
        return self._machine.pid is not None and self._answers() and self.is_ready()

    def is_ready(self) -> bool:
        """Whether pods can run."""
        path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        return self._says(["get", "node", NODE_NAME, "-o", path]) == "True"

    def status(self) -> dict[str, bool]:
        """Daemon -> whether its process is alive."""
        return {name: self._machine.is_alive(name) for name in daemons.NAMES}

    def end(self, name: str, signal_name: str = "TERM") -> None:
        """End one daemon, as its crash or upgrade would."""
        self._machine.end(name, signal_name)

    def resume(self, name: str) -> None:
        """Start a daemon that was ended."""
        self._spawn(name)

    def kubectl(self, *arguments: str, input_text: str | None = None, timeout_s: float = 60.0) -> str:
        """Output of kubectl as the administrator."""
        command = [self.layout.binary("kubectl"), "--kubeconfig", str(self.layout.kubeconfig), *arguments]
        return run(self._machine.inside(command), input_text=input_text, timeout_s=timeout_s)

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on the node, where every address of the cluster can be reached."""
        return self._machine.inside(argv)

    @property
    def network_file(self) -> Path:
        """The network namespace, for setns."""
        return Path(f"/proc/{self._machine.pid}/ns/net")

    def import_images(self, archive: Path) -> None:
        """Give the node the images of an archive (`docker save`)."""
        run(self._ctr("images", "import", "--all-platforms", str(archive)), timeout_s=600)

    def load(self, images: Sequence[str], engine: Engine) -> list[str]:
        """Give the node images of the engine, layers that several share once; those that it lacked.

        Raises:
            ClusterError: one is missing in the engine, or containerd refuses it.
        """
        wanted = engine.image_ids(images)
        known = self._loaded()
        missing = [name for name, image_id in wanted.items() if known.get(name) != image_id]
        if missing:
            self._pipe(["docker", "--host", engine.host, "save", *missing], self._ctr("images", "import", "-"))
            self._loaded_file.write_text(json.dumps({**known, **wanted}))
        return missing

    @property
    def _loaded_file(self) -> Path:
        return self.layout.data / "loaded.json"

    def _loaded(self) -> dict[str, str]:
        """What was loaded, unless the node lost it since."""
        known = json.loads(self._loaded_file.read_text()) if self._loaded_file.exists() else {}
        have = set(self.images())
        return {name: image_id for name, image_id in known.items() if f"docker.io/{name}" in have}

    @staticmethod
    def _pipe(give: Sequence[str], take: Sequence[str]) -> None:
        giver = subprocess.Popen(give, stdout=subprocess.PIPE)
        taker = subprocess.run(take, stdin=giver.stdout, capture_output=True, text=True, check=False, timeout=900)
        if giver.stdout is not None:
            giver.stdout.close()
        if giver.wait() != 0 or taker.returncode != 0:
            raise ClusterError(f"{' '.join(give)}: {taker.stderr.strip()}")

    def tag(self, image: str, other: str) -> None:
        """Give an image of the node another name, as a new version would have."""
        run(self._ctr("images", "tag", "--force", f"docker.io/{image}", f"docker.io/{other}"))

    def volume(self, name: str, storage_class: str) -> dict[str, Any]:
        """A PersistentVolume that is an empty folder of the node, any user's; apply it."""
        folder = self.layout.data / "volumes" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # the node agent gives no folder of its own away
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        }
        return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}

    def kill(self, pod_uid: str, container: str) -> None:
        """End a container's first process as the kernel does when memory runs out.

        Raises:
            ClusterError: it does not run.
        """
        labels = f'labels."io.kubernetes.pod.uid"=={pod_uid},labels."io.kubernetes.container.name"=={container}'
        known = set(run(self._ctr("containers", "ls", "--quiet", labels)).split())
        tasks = set(run(self._ctr("tasks", "ls", "--quiet")).split())
        if not known & tasks:
            raise ClusterError(f"container {container} of pod {pod_uid} does not run")
        for container_id in known & tasks:
            run(self._ctr("tasks", "kill", "--signal", "SIGKILL", container_id))

    def audited(self) -> Iterator[Mapping[str, Any]]:
        """Requests that the API server has finished, oldest first."""
        if self.layout.audit_log.exists():
            with self.layout.audit_log.open() as lines:
                yield from (json.loads(line) for line in lines if line.endswith("\n"))

    def images(self) -> list[str]:
        """Names of the images that the node has."""
        return run(self._ctr("images", "ls", "--quiet")).split()

    def _forget_containers(self) -> None:
        """Drop what containerd remembers of pods of an earlier run; the node agent would try to revive them."""
        old = run(self._ctr("containers", "ls", "--quiet")).split()
        if old:
            run(self._ctr("containers", "rm", *old))
            self.end("containerd")
            self._spawn("containerd")
            self._await("containerd", self._has_runtime, "containerd")

    def _has_runtime(self) -> bool:
        try:
            return bool(run(self._ctr("version"), timeout_s=10))
        except ClusterError:
            return False

    def _ctr(self, *arguments: str) -> list[str]:
        return self._machine.inside(
            ["ctr", "--address", str(self.layout.containerd_socket), "--namespace", _CRI_NAMESPACE, *arguments]
        )

    def _answers(self) -> bool:
        return self._says(["get", "--raw", "/readyz"]) == "ok"

    def _has_default_namespace(self) -> bool:
        return self._says(["get", "namespace", "default", "-o", "name"]) != ""

    def _says(self, arguments: list[str]) -> str:
        try:
            return self.kubectl(*arguments, timeout_s=10).strip()
        except ClusterError:
            return ""

    def _spawn(self, name: str) -> None:
        self._machine.spawn(name, daemons.command(self.layout, name))

    def _await(self, what: str, is_so: Callable[[], bool], daemon: str) -> None:
        try:
            wait_until(what, is_so, timeout_s=_READY_TIMEOUT_S)
        except ClusterError as e:
            raise ClusterError(f"{e}\n{self._machine.tail(daemon)}") from e

    def _step(self, what: str) -> None:
        self._tell(f"{time.monotonic() - self._began:5.1f} s  {what}")
