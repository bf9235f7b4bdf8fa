"""What all collectors of a FeedSet share: account, metrics Service, and the NetworkPolicy that keeps them to venues,
stores and DNS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from feedplane_feedset.config import ClickHouseWriterConfig, WriterConfig
from feedplane_feedset.render import Pod

from feedplane_operator.naming import Namer
from feedplane_operator.pods import COLLECTOR_PORT, PORT_NAMES, WRITER_PORTS, service_account
from feedplane_operator.surroundings import Network, Object

VENUE_PORTS: Final = (443, 8443)  # 8443: OKX's sockets
_PRIVATE_IPV6: Final = [
    "::/3",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
]  # loopback, mapped and translated IPv4 below 2000::
_DNS_PORT: Final = 53
_DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def render_shared(namer: Namer, pods: Iterable[Pod]) -> list[Object]:
    """ServiceAccount, NetworkPolicy (where it is wanted) and metrics Service, in the order in which they are applied."""
    pods = tuple(pods)
    objects = [_account(namer)]
    if namer.surroundings.network.is_enforced:
        objects.append(_policy(namer, pods))
    return [*objects, _service(namer, pods)]


def _account(namer: Namer) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": namer.metadata(service_account(namer.owner.name)),
        "automountServiceAccountToken": False,
    }


def _service(namer: Namer, pods: tuple[Pod, ...]) -> Object:
    """Headless, for scrapers; pods that are not ready yet are the ones worth looking at."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": namer.metadata(f"{namer.owner.name}-metrics"),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": namer.selector(),
            "ports": [
                {"name": PORT_NAMES[port], "port": port, "protocol": "TCP", "targetPort": PORT_NAMES[port]}
                for port in _metrics_ports(pods)
            ],
        },
    }


def _metrics_ports(pods: tuple[Pod, ...]) -> list[int]:
    sinks = {writer.sink for pod in pods for writer in pod.writers}
    return [COLLECTOR_PORT, *(port for sink, port in WRITER_PORTS.items() if sink in sinks)]


def _policy(namer: Namer, pods: tuple[Pod, ...]) -> Object:
    network = namer.surroundings.network
    egress = [_dns(), _venues(network.private_ranges), *_addresses(namer, pods)]
    if network.egress_peers:
        egress.append({"to": list(network.egress_peers)})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": namer.metadata(f"{namer.owner.name}-collectors"),
        "spec": {
            "podSelector": {"matchLabels": namer.selector()},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": _readers(network), "ports": [_port(port) for port in _metrics_ports(pods)]}],
            "egress": egress,
        },
    }


def _readers(network: Network) -> list[Object]:
    """Who may read metrics and health: those that are named and the operator, which judges rollouts by them."""
    if not network.metrics_peers:
        return [{"namespaceSelector": {}}]
    if network.operator_namespace is None:
        return list(network.metrics_peers)
    labels = {"app.kubernetes.io/part-of": "feedplane", "app.kubernetes.io/component": "operator"}
    operator = _namespace(network.operator_namespace) | {"podSelector": {"matchLabels": labels}}
    return [operator, *network.metrics_peers]


def _port(port: int, protocol: str = "TCP") -> Object:
    return {"protocol": protocol, "port": port}


def _dns() -> Object:
    """Anywhere: a node-local cache is at a link-local address, a cluster's DNS in another namespace."""
    return {"ports": [_port(_DNS_PORT, "UDP"), _port(_DNS_PORT)]}


def _venues(private: tuple[str, ...]) -> Object:
    """The internet, and nothing that a name could be made to point at inside."""
    return {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(private)}},
            {"ipBlock": {"cidr": "::/0", "except": list(_PRIVATE_IPV6)}},
        ],
        "ports": [_port(port) for port in VENUE_PORTS],
    }


def _addresses(namer: Namer, pods: tuple[Pod, ...]) -> list[Object]:
    """One rule per address that settings name: stores, simulated venues, the OTLP receiver."""
    surroundings = namer.surroundings
    addresses = {address for pod in pods for writer in pod.writers for address in _stores(writer)}
    for exchange in {pod.collector.exchange for pod in pods}:
        addresses |= {_address(url) for url in surroundings.endpoints.get(exchange, {}).values()}
    if surroundings.otlp_endpoint:
        addresses.add(_address(surroundings.otlp_endpoint))
    rules: list[Object] = []
    for host, port in sorted(addresses):
        rules += [rule for rule in _rules(host, port, namer.owner.namespace) if rule not in rules]
    return rules


def _stores(writer: WriterConfig) -> Iterator[tuple[str, int]]:
    shards = writer.shards if isinstance(writer, ClickHouseWriterConfig) else (writer.endpoints,)
    for endpoint in (endpoint for replicas in shards for endpoint in replicas):
        host, _, port = endpoint.rpartition(":")
        yield host.strip("[]"), int(port)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def _rules(host: str, port: int, namespace: str) -> Iterator[Object]:
    """A policy knows addresses and pods, no names, and sees the port of the pod behind a Service, not the Service's.

    A Service is therefore its namespace, on every port; a name from outside is every address, on its port.
    """
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        length = 128 if isinstance(address, IPv6Address) else 32
        yield {"to": [{"ipBlock": {"cidr": f"{address}/{length}"}}], "ports": [_port(port)]}
        return
    labels = host.rstrip(".").split(".")
    yield from ({"to": [_namespace(name)]} for name in _namespaces(labels, namespace))
    if len(labels) > 1 and not _is_service(labels):
        yield {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}], "ports": [_port(port)]}


def _namespaces(labels: list[str], own: str) -> list[str]:
    """Namespaces that a name may mean: `redis`; `redis-0.redis` or `redis.stores`; `...stores.svc.cluster.local`."""
    if _is_service(labels):
        return [labels[labels.index("svc", 2) - 1]]
    return [[], [own], [own, labels[-1]]][len(labels)] if len(labels) <= 2 else []


def _is_service(labels: list[str]) -> bool:
    """`<service>.<namespace>.svc`, or below it a pod of a StatefulSet, with or without the cluster's domain."""
    return "svc" in labels[2:]


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
