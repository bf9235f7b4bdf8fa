"""What a FeedSet does not say and the cluster's administrator does: images, mode, stores, network. Plain values, read
once by `settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from feedplane_core.names import Mode
from feedplane_feedset.default_sinks import DefaultSinks
from feedplane_ops.version import __version__

Object = dict[str, Any]
"""A Kubernetes object (or a part of one) as plain JSON data."""

PRIVATE_RANGES: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
"""What is not the internet: pods, services, nodes and the cloud's metadata address live there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Where images come from. `tags` and, before them, `digests` tell of single images, by short name (`writer`)."""

    registry: str = ""  # "" leaves it to the container runtime
    prefix: str = "feedplane/"
    tag: str = __version__
    tags: Mapping[str, str] = field(default_factory=dict)  # short name -> tag, instead of `tag`
    digests: Mapping[str, str] = field(default_factory=dict)  # short name -> "sha256:..."
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()

    def reference(self, name: str) -> str:
        """`writer` -> `registry/feedplane/writer:0.1.0`, or `...@sha256:...` where a digest is known."""
        base = f"{self.registry}/{self.prefix}{name}" if self.registry else f"{self.prefix}{name}"
        digest = self.digests.get(name)
        return f"{base}@{digest}" if digest else f"{base}:{self.tags.get(name, self.tag)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What the NetworkPolicy of collectors lets through besides venues, DNS and the stores' own addresses."""

    is_enforced: bool = True
    private_ranges: tuple[str, ...] = PRIVATE_RANGES  # IPv4 that port 443 of venues is never looked for in
    operator_namespace: str | None = None  # whose operator asks pods how they are, whoever else may
    metrics_peers: tuple[Object, ...] = ()  # NetworkPolicyPeers that may read metrics; none: every pod of the cluster
    egress_peers: tuple[Object, ...] = ()  # NetworkPolicyPeers reached on every port, such as nodes of a Redis Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that rendering depends on besides the FeedSet; equal surroundings and FeedSets give equal objects."""

    version: str = __version__
    images: Images = field(default_factory=Images)
    mode: Mode = Mode.LIVE
    endpoints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Exchange -> endpoint name -> base URL, for simulated venues."""
    switches: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    default_sinks: DefaultSinks = field(default_factory=DefaultSinks)
    network: Network = field(default_factory=Network)
    log_level: str = "info"
    otlp_endpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The FeedSet object that what is rendered belongs to."""

    name: str
    namespace: str
    uid: str
