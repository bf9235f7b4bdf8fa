"""etcd and kube-apiserver as real processes on loopback: everything of the API but nothing that acts on it.

With `controllers=True` the controller manager runs too: garbage collection, Deployments, ReplicaSets; still no node, so
that pods exist as objects only and tests write their status.
"""

from __future__ import annotations

import json
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ADMIN: Final = "admin"
START_S: Final = 60.0
_CONTROLLERS: Final = "deployment replicaset garbage-collector persistentvolumeclaim-protection".split()


class ControlPlane:
    """Start with `start`, end with `stop`; `stop_server` and `start_server` are an outage that keeps its data."""

    def __init__(self, kube: Path, folder: Path, *, controllers: bool = False, flags: Sequence[str] = ()) -> None:
        self._kube = kube
        self._folder = folder
        self._flags = list(flags)
        self._with_controllers = controllers
        self._etcd_port, self._etcd_peer_port, self.port = _free_ports(3)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.tokens = {ADMIN: secrets.token_hex(16)}

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator."""
        return self._folder / "admin.kubeconfig"

    def add_user(self, name: str) -> Path:
        """A user without groups, and so without rights until a role is bound; before `start`. Returns a kubeconfig."""
        self.tokens[name] = secrets.token_hex(16)
        return self._folder / f"{name}.kubeconfig"

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        for user in self.tokens:
            self.write_kubeconfig(self._folder / f"{user}.kubeconfig", user, self.server)
        self._spawn(
            "etcd",
            *("etcd", "--data-dir", str(self._folder / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", self._etcd, "--advertise-client-urls", self._etcd),
            *("--listen-peer-urls", f"http://127.0.0.1:{self._etcd_peer_port}"),
        )
        self.start_server()

    def start_server(self) -> None:
        self._spawn(
            "kube-apiserver",
            *(str(self._kube), "kube-apiserver", "--etcd-servers", self._etcd, "--bind-address", "127.0.0.1"),
            *("--secure-port", str(self.port), "--cert-dir", str(self._folder / "certificates")),
            *("--authorization-mode", "RBAC", "--token-auth-file", str(self._folder / "tokens.csv")),
            *("--enable-admission-plugins", "OwnerReferencesPermissionEnforcement"),
            *("--disable-admission-plugins", "ServiceAccount"),
            *(
                "--service-account-issuer",
                "https://kubernetes.default.svc",
                "--service-cluster-ip-range",
                "10.99.0.0/16",
            ),
            *("--service-account-key-file", str(self._folder / "sa.key")),
            *("--service-account-signing-key-file", str(self._folder / "sa.key")),
            *("--audit-policy-file", str(self._folder / "audit.yaml"), "--audit-log-path", str(self.audit_log)),
            *self._flags,
        )
        self._wait_ready()
        if self._with_controllers:
            self._spawn(
                "kube-controller-manager",
                *(str(self._kube), "kube-controller-manager", "--kubeconfig", str(self.kubeconfig)),
                *("--leader-elect=false", "--use-service-account-credentials=false", "--secure-port=0"),
                *("--service-account-private-key-file", str(self._folder / "sa.key")),
                *("--controllers", ",".join(f"{name}-controller" for name in _CONTROLLERS)),
            )

    def stop_server(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Take the API server away; its data stays."""
        self._end("kube-controller-manager", number)
        self._end("kube-apiserver", number)

    def pause_controllers(self) -> None:
        """Nothing is collected or rolled out meanwhile."""
        self._processes["kube-controller-manager"].send_signal(signal.SIGSTOP)

    def resume_controllers(self) -> None:
        self._processes["kube-controller-manager"].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._end(name, signal.SIGKILL)

    @property
    def audit_log(self) -> Path:
        return self._folder / "audit.log"

    def audited(self, user: str) -> list[dict[str, Any]]:
        """Requests of a user that the API server has finished, in order."""
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        events = (json.loads(line) for line in lines)
        return [event for event in events if event["user"]["username"] == user]

    def write_kubeconfig(self, path: Path, user: str, server: str, **cluster: Any) -> None:
        """Also for a server that stands before the real one."""
        told = {"server": server, "insecure-skip-tls-verify": True, **cluster}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": user}}],
            "clusters": [{"name": "it", "cluster": told}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
        }
        path.write_text(json.dumps(config))

    @property
    def _etcd(self) -> str:
        return f"http://127.0.0.1:{self._etcd_port}"

    def _write_keys(self) -> None:
        groups = {ADMIN: ',"system:masters"'}
        lines = [f"{token},{user},{user}{groups.get(user, '')}" for user, token in self.tokens.items()]
        (self._folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        (self._folder / "audit.yaml").write_text(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"
            "rules:\n- {level: None, users: [admin]}\n- {level: Metadata}\n"
        )
        subprocess.run(
            ["openssl", "genrsa", "-out", str(self._folder / "sa.key"), "2048"], check=True, capture_output=True
        )

    def _spawn(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.send_signal(number)
            process.wait(30)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._processes["kube-apiserver"].poll() is not None:
                break
            if self._is_ready():
                return
            time.sleep(0.1)
        raise RuntimeError((self._folder / "kube-apiserver.log").read_text()[-3_000:])

    def _is_ready(self) -> bool:
        request = urllib.request.Request(
            f"{self.server}/readyz", headers={"Authorization": f"Bearer {self.tokens[ADMIN]}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=2, context=unverified()) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def unverified() -> ssl.SSLContext:
    """For a server on loopback whose certificate nobody has signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
