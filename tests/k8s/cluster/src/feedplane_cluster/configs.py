"""Configuration files of the daemons: pure, JSON wherever the daemon takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from feedplane_cluster.certificates import kubeconfig_path
from feedplane_cluster.layout import DNS_DOMAIN, MAX_PODS, NODE_IP, POD_CIDR, Layout
from feedplane_cluster.network import cni_config


def files(layout: Layout, pause_image: str) -> Mapping[str, str]:
    """Name below `layout.config` -> content."""
    return {
        "containerd.toml": _containerd(layout, pause_image),
        "cni/10-pods.conflist": cni_config(layout),
        "kubelet.json": json.dumps(_kubelet(layout), indent=1),
        "kube-proxy.json": json.dumps(_kube_proxy(layout), indent=1),
        "audit-policy.json": json.dumps(_audit_policy(), indent=1),
        "Corefile": _corefile(layout),
        "resolv.conf": f"nameserver {NODE_IP}\n",
    }


def _containerd(layout: Layout, pause_image: str) -> str:
    # restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE may not lower the score, and every pod would fail.
    return f"""\
version = 2
root = "{layout.data}/containerd"
state = "{layout.running}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"]
[grpc]
address = "{layout.containerd_socket}"
[ttrpc]
address = "{layout.running}/containerd.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{layout.data}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{layout.config}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def _kubelet(layout: Layout) -> Mapping[str, Any]:
    pki = layout.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(pki / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.name}",
        "podLogsDir": str(layout.data / "pod-logs"),
        "clusterDNS": [NODE_IP],
        "clusterDomain": DNS_DOMAIN,
        "resolvConf": str(layout.config / "resolv.conf"),
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        # The suite shares the disk with everything else on the machine: how full that is says nothing about the cluster.
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
        "maxPods": MAX_PODS,
        "nodeStatusUpdateFrequency": "5s",
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    }


def _kube_proxy(layout: Layout) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig_path(layout, "kube-proxy"))},
        "mode": "iptables",
        "clusterCIDR": POD_CIDR,
        "bindAddress": NODE_IP,
        "iptables": {"minSyncPeriod": "100ms"},
        # 0: leave the machine's own limits of connection tracking alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _audit_policy() -> Mapping[str, Any]:
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/openapi*", "/api*"]},
            {"level": "Metadata"},
        ],
    }


def _corefile(layout: Layout) -> str:
    return f"""\
.:53 {{
  bind {NODE_IP}
  errors
  kubernetes {DNS_DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {layout.kubeconfig}
    pods insecure
    ttl 5
  }}
}}
"""
