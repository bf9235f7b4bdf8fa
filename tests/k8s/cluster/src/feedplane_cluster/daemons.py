"""The command line of every daemon of a cluster: pure, so that any process can start one again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from feedplane_cluster.certificates import kubeconfig_path
from feedplane_cluster.layout import NODE_IP, NODE_NAME, SERVICE_CIDR, Layout

ETCD_URL: Final = "http://127.0.0.1:2379"
NAMES: Final = (
    "etcd containerd kube-apiserver kube-controller-manager kube-scheduler coredns kube-proxy kubelet".split()
)
"""In the order of start; the reverse is the order of stop."""


def command(layout: Layout, name: str) -> list[str]:
    """What starts a daemon of `NAMES`."""
    match name:
        case "etcd":
            program, flags = "/usr/bin/etcd", _etcd(layout)
        case "containerd":
            return ["/usr/bin/containerd", "--config", str(layout.config / "containerd.toml")]
        case "coredns":
            return [layout.binary("coredns"), "-conf", str(layout.config / "Corefile")]
        case "kube-apiserver":
            program, flags = layout.binary(name), _apiserver(layout)
        case "kube-controller-manager":
            program, flags = layout.binary(name), _controller_manager(layout)
        case "kube-scheduler":
            program, flags = layout.binary(name), {**_access(layout, name), "leader-elect": "false"}
        case "kube-proxy":
            program, flags = layout.binary(name), {"config": str(layout.config / "kube-proxy.json")}
        case "kubelet":
            program, flags = layout.binary(name), _kubelet(layout)
        case _:
            raise ValueError(f"no daemon is named {name}: {' '.join(NAMES)}")
    return [program, *(f"--{flag}={value}" for flag, value in flags.items())]


def _etcd(layout: Layout) -> Mapping[str, str]:
    peer = "http://127.0.0.1:2380"
    return {
        "name": NODE_NAME,
        "data-dir": str(layout.data / "etcd"),
        "listen-client-urls": ETCD_URL,
        "advertise-client-urls": ETCD_URL,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{NODE_NAME}={peer}",
        "unsafe-no-fsync": "true",  # a test cluster's state is never worth a disk flush
        "log-level": "warn",
    }


def _apiserver(layout: Layout) -> Mapping[str, str]:
    pki = layout.pki
    return {
        "etcd-servers": ETCD_URL,
        "advertise-address": NODE_IP,
        "service-cluster-ip-range": SERVICE_CIDR,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",  # beside the defaults, PodSecurity among them
        "client-ca-file": str(pki / "ca.crt"),
        **_certificate(pki, "apiserver", "tls-cert-file", "tls-private-key-file"),
        **_certificate(pki, "apiserver-kubelet-client", "kubelet-client-certificate", "kubelet-client-key"),
        "kubelet-certificate-authority": str(pki / "ca.crt"),
        "kubelet-preferred-address-types": "InternalIP",  # or logs and exec would look the node's name up in DNS
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(pki / "service-accounts.pub"),
        "service-account-signing-key-file": str(pki / "service-accounts.key"),
        "audit-policy-file": str(layout.config / "audit-policy.json"),
        "audit-log-path": str(layout.audit_log),
        "audit-log-mode": "batch",
        "shutdown-delay-duration": "0s",
    }


def _controller_manager(layout: Layout) -> Mapping[str, str]:
    return {
        **_access(layout, "kube-controller-manager"),
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": str(layout.pki / "ca.crt"),
        "service-account-private-key-file": str(layout.pki / "service-accounts.key"),
        "kube-api-qps": "200",
        "kube-api-burst": "400",
    }


def _kubelet(layout: Layout) -> Mapping[str, str]:
    return {
        "config": str(layout.config / "kubelet.json"),
        "kubeconfig": str(kubeconfig_path(layout, "kubelet")),
        "root-dir": str(layout.data / "kubelet"),
        "hostname-override": NODE_NAME,
        "node-ip": NODE_IP,
        "node-labels": "topology.kubernetes.io/zone=zone-a,topology.kubernetes.io/region=local",
    }


def _access(layout: Layout, name: str) -> Mapping[str, str]:
    path = str(kubeconfig_path(layout, name))
    return {"kubeconfig": path, "authentication-kubeconfig": path, "authorization-kubeconfig": path}


def _certificate(pki: Path, name: str, certificate_flag: str, key_flag: str) -> Mapping[str, str]:
    return {certificate_flag: str(pki / f"{name}.crt"), key_flag: str(pki / f"{name}.key")}
