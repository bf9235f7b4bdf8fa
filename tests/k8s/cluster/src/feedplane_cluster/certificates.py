"""Keys and certificates of a cluster, made new at each start with openssl: they guard nothing beyond it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from feedplane_cluster.commands import run
from feedplane_cluster.layout import API_SERVICE_IP, API_URL, DNS_DOMAIN, NODE_IP, NODE_NAME, Layout

_VALID_DAYS: Final = "30"
_KEY: Final = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
ADMIN: Final = "/O=system:masters/CN=feedplane-admin"
CLIENTS: Final = {
    "admin": ADMIN,
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE_NAME}",
}
"""Kubeconfig -> subject: the authorizer knows components by these names."""
_API_NAMES: Final = f"DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.{DNS_DOMAIN},DNS:localhost"


def make(layout: Layout) -> None:
    """Write every key, certificate and kubeconfig."""
    pki = layout.pki
    pki.mkdir(parents=True, exist_ok=True)
    run(_request(pki, "ca", "/CN=feedplane-cluster", "basicConstraints=critical,CA:TRUE"))
    run(["openssl", "genrsa", "-out", str(pki / "service-accounts.key"), "2048"])
    run(
        [
            "openssl",
            "rsa",
            "-in",
            str(pki / "service-accounts.key"),
            "-pubout",
            "-out",
            str(pki / "service-accounts.pub"),
        ]
    )
    addresses = f"IP:{API_SERVICE_IP},IP:{NODE_IP},IP:127.0.0.1"
    _sign(pki, "apiserver", "/CN=kube-apiserver", f"subjectAltName={_API_NAMES},{addresses}")
    _sign(pki, "apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    for name, subject in CLIENTS.items():
        _sign(pki, name, subject, f"subjectAltName=DNS:{NODE_NAME},IP:{NODE_IP}" if name == "kubelet" else None)
        kubeconfig_path(layout, name).write_text(_kubeconfig(pki, name))


def kubeconfig_path(layout: Layout, name: str) -> Path:
    """Where a component's access is written."""
    return layout.kubeconfig if name == "admin" else layout.pki / f"{name}.kubeconfig"


def _request(pki: Path, name: str, subject: str, extension: str | None) -> list[str]:
    extensions = ["-addext", extension] if extension else []
    files = ["-keyout", str(pki / f"{name}.key"), "-out", str(pki / f"{name}.crt")]
    return ["openssl", "req", "-x509", *_KEY, "-subj", subject, "-days", _VALID_DAYS, *extensions, *files]


def _sign(pki: Path, name: str, subject: str, extension: str | None = None) -> None:
    authority = ["-CA", str(pki / "ca.crt"), "-CAkey", str(pki / "ca.key"), "-addext", "basicConstraints=CA:FALSE"]
    run([*_request(pki, name, subject, extension), *authority])


def _kubeconfig(pki: Path, name: str) -> str:
    cluster = {"server": API_URL, "certificate-authority": str(pki / "ca.crt")}
    user = {"client-certificate": str(pki / f"{name}.crt"), "client-key": str(pki / f"{name}.key")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "feedplane", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "feedplane", "context": {"cluster": "feedplane", "user": name}}],
            "current-context": "feedplane",
        },
        indent=1,
    )
