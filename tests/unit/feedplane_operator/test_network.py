"""What collectors may reach, as rules; whether a network plugin enforces them is the cluster's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from feedplane_operator.desired import Desired, Network, Surroundings
from feedplane_operator.network import VENUE_PORTS

from .conftest import SURROUNDINGS

ROOT = Path(__file__).resolve().parents[3]
Rendered = Callable[..., Desired]


def policy(found: Desired) -> dict[str, Any]:
    (each,) = [each for each in found.objects if each["kind"] == "NetworkPolicy"]
    return dict(each["spec"])


def reaches(spec: dict[str, Any], address: str, port: int) -> bool:
    """Whether some rule lets a packet to an address through."""
    for rule in spec["egress"]:
        ports = [each["port"] for each in rule.get("ports", ()) if each["protocol"] == "TCP"]
        blocks = [peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer]
        if (not ports or port in ports) and ("to" not in rule or any(_holds(block, address) for block in blocks)):
            return True
    return False


def _holds(block: dict[str, Any], address: str) -> bool:
    def inside(cidr: str) -> bool:
        network = ip_network(cidr)
        return network.version == ip_address(address).version and ip_address(address) in network

    return inside(block["cidr"]) and not any(inside(cidr) for cidr in block.get("except", ()))


@pytest.mark.parametrize("address", ["104.18.0.1", "2606:4700::1", "2a00:1450::1"])
def test_venues_are_reached(address: str, rendered: Rendered) -> None:
    spec = policy(rendered())

    assert reaches(spec, address, 443)
    assert not reaches(spec, address, 80)
    assert not reaches(spec, address, 22)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.5.4", "172.31.255.255", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1", "198.18.0.1",
     "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"],
)  # fmt: skip
def test_a_venues_name_cannot_lead_inside(address: str, rendered: Rendered) -> None:
    """Whatever DNS says: pods, services, nodes, the cloud's metadata, and their IPv6 spellings."""
    assert not reaches(policy(rendered(sinks={"redis": {"endpoints": ["10.9.9.9:6379"]}})), address, 443)


def test_every_port_of_an_adapters_own_addresses_is_let_through() -> None:
    found = {
        int(port)
        for path in ROOT.glob("services/feeds/*/src/**/*.py")
        for port in re.findall(r"(?:wss|https)://[A-Za-z0-9.-]+:([0-9]+)", path.read_text())
    }

    assert found | {443} == set(VENUE_PORTS)


def test_names_are_resolved_everywhere(rendered: Rendered) -> None:
    assert {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]} in policy(rendered())["egress"]


@pytest.mark.parametrize(
    ("endpoint", "namespaces", "is_outside"),
    [
        ("redis:6379", ["md"], False),
        ("redis.stores:6379", ["md", "stores"], True),
        ("redis.stores.svc:6379", ["stores"], False),
        ("redis-0.redis.stores.svc.cluster.local:6379", ["stores"], False),
        ("redis.stores.svc.example.org:6379", ["stores"], False),
        ("cache.eu.example.com:6379", [], True),
    ],
)
def test_stores_are_reached_by_what_their_name_means(
    endpoint: str, namespaces: list[str], is_outside: bool, rendered: Rendered
) -> None:
    """A policy sees the port of a pod, not that of its Service: a namespace is reached on every port."""
    spec = policy(rendered(sinks={"redis": {"endpoints": [endpoint]}}))
    peers = [peer for rule in spec["egress"] for peer in rule.get("to", ()) if "namespaceSelector" in peer]

    assert [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in peers] == namespaces
    assert reaches(spec, "10.0.0.7", 6379) is is_outside
    assert not reaches(spec, "10.0.0.7", 6380)


@pytest.mark.parametrize(("endpoint", "cidr"), [("10.1.2.3:6379", "10.1.2.3/32"), ("[fd00::5]:6379", "fd00::5/128")])
def test_an_address_is_reached_on_its_port_alone(endpoint: str, cidr: str, rendered: Rendered) -> None:
    rules = policy(rendered(sinks={"redis": {"endpoints": [endpoint]}}))["egress"]

    assert {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"protocol": "TCP", "port": 6379}]} in rules


def test_simulated_venues_are_reached_where_the_entry_uses_them(rendered: Rendered) -> None:
    around = replace(SURROUNDINGS, endpoints={"bybit": {"ws": "ws://simex.sim.svc/bybit"}})
    inside = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "sim"}}}]}

    assert inside in policy(rendered({"exchange": "bybit"}, surroundings=around))["egress"]
    assert inside not in policy(rendered({"exchange": "okx"}, surroundings=around))["egress"]


def test_only_metrics_are_let_in(rendered: Rendered) -> None:
    (rule,) = policy(rendered(sinks={"redis": {}}))["ingress"]

    assert rule["from"] == [{"namespaceSelector": {}}]
    assert [each["port"] for each in rule["ports"]] == [9100, 9101]  # of the containers that run


def test_the_operator_reads_whoever_else_may(rendered: Rendered) -> None:
    peers = ({"namespaceSelector": {"matchLabels": {"team": "sre"}}},)
    around = replace(SURROUNDINGS, network=Network(metrics_peers=peers, operator_namespace="feedplane"))
    (rule,) = policy(rendered(surroundings=around))["ingress"]

    assert rule["from"][1:] == list(peers)
    assert rule["from"][0]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "feedplane"}}
    assert rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "operator"


def test_without_enforcement_there_is_no_policy(rendered: Rendered) -> None:
    around: Surroundings = replace(SURROUNDINGS, network=Network(is_enforced=False))

    assert not [each for each in rendered(surroundings=around).objects if each["kind"] == "NetworkPolicy"]
