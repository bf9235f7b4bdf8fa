"""The cluster itself: what every other test here rests on."""

from __future__ import annotations

import socket

import pytest
from feedplane_cluster.cluster import Cluster
from feedplane_cluster.commands import ClusterError
from feedplane_cluster.kubectl import Kubectl


def test_node_is_ready_at_a_version_that_the_chart_supports(kube: Kubectl) -> None:
    (node, *_) = kube.list("nodes")
    conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
    major, minor = node["status"]["nodeInfo"]["kubeletVersion"].removeprefix("v").split(".")[:2]

    assert conditions["Ready"] == "True"
    assert (int(major), int(minor)) >= (1, 29)


def test_every_daemon_runs(cluster: Cluster | None) -> None:
    if cluster is None:
        pytest.skip("the cluster is somebody else's")

    assert [name for name, is_alive in cluster.status().items() if not is_alive] == []


def test_the_network_has_no_uplink(cluster: Cluster | None) -> None:
    """Both ends of the node's only link are inside, and what else there is leads to pods: no packet can leave."""
    if cluster is None:
        pytest.skip("the cluster is somebody else's")
    interfaces = {name for _, name in socket.if_nameindex()}

    assert {name for name in interfaces if not name.startswith("veth")} <= {"lo", "node0", "node0p", "pods0"}


def test_pods_that_are_not_restricted_are_refused(namespace: Kubectl) -> None:
    container = {"name": "root", "image": "feedplane-test/none", "securityContext": {"runAsUser": 0}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": {"containers": [container]}}

    with pytest.raises(ClusterError, match="violates PodSecurity"):
        namespace.create(pod)
