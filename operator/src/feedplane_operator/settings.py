"""Settings of the operator process: `FEEDPLANE_OPERATOR_*` variables, read once. Lists and mappings are JSON."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from feedplane_core.names import Mode
from feedplane_feedset.default_sinks import DefaultSinks
from feedplane_ops.settings import HttpUrlText, ServiceSettings
from feedplane_ops.version import __version__
from pydantic import AfterValidator, AnyUrl, Field, StringConstraints
from pydantic_settings import SettingsConfigDict

from feedplane_operator.surroundings import PRIVATE_RANGES, Images, Network, Surroundings

_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
ObjectName = Annotated[str, StringConstraints(pattern=_NAME, max_length=253)]
Watched = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", max_length=63)]
Registry = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][-A-Za-z0-9._/]*(:[0-9]{1,5})?(/[-a-z0-9._/]+)?)?$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[-a-z0-9._/]*$", max_length=200)]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


def _ipv4_range(text: str) -> str:
    return str(IPv4Network(text))


def _venue_url(text: str) -> str:
    url = AnyUrl(text)
    if url.scheme not in ("http", "https", "ws", "wss") or not url.host or url.username or url.password:
        raise ValueError("is no http, https, ws or wss URL without credentials")
    return text.rstrip("/")


VenueUrl = Annotated[str, AfterValidator(_venue_url)]


class OperatorSettings(ServiceSettings):
    """What the operator is told by its administrator."""

    model_config = SettingsConfigDict(env_prefix="FEEDPLANE_OPERATOR_")

    metrics_port: int = Field(default=8080, ge=0, le=65_535)
    namespace: ObjectName = "default"
    """The operator's own namespace."""
    watch_namespaces: tuple[Watched, ...] = ()
    """Namespaces whose FeedSets it serves; none: its own; `["*"]`: all."""

    image_registry: Registry = ""
    image_prefix: Prefix = "feedplane/"
    image_tag: Tag = __version__
    image_tags: dict[str, Tag] = Field(default_factory=dict)
    """By short name (`writer`, `feed-bybit`): another version of one image, as of an adapter that was mended."""
    image_digests: dict[str, Digest] = Field(default_factory=dict)
    """By short name (`writer`, `feed-bybit`): pins the image instead of the tag."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[ObjectName, ...] = ()

    mode: Literal[Mode.LIVE, Mode.SIM] = Mode.LIVE
    """`sim` marks all that is collected and keeps it in a database of its own."""
    endpoints: dict[str, dict[str, VenueUrl]] = Field(default_factory=dict)
    """Exchange -> endpoint name -> base URL instead of the venue's own: a simulator, a sandbox."""
    switches: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Per exchange, the switches that its README names for facts that are not settled."""
    default_sinks: DefaultSinks = Field(default_factory=DefaultSinks)
    """Stores of FeedSets that name none, spelled as `spec.sinks`."""

    network_policy: bool = True
    private_ranges: tuple[Annotated[str, AfterValidator(_ipv4_range)], ...] = PRIVATE_RANGES
    """IPv4 ranges that port 443 of venues is never looked for in; add the cluster's own where they are public ones."""
    metrics_peers: tuple[dict[str, Any], ...] = ()
    """NetworkPolicyPeers that may read the metrics of pods; none: every pod of the cluster."""
    egress_peers: tuple[dict[str, Any], ...] = ()
    """NetworkPolicyPeers that pods may reach on every port, besides the addresses that FeedSets name."""
    pod_otlp_endpoint: HttpUrlText | None = None
    """Where collectors and writers send their metrics by OTLP."""
    pod_log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def is_cluster_wide(self) -> bool:
        return "*" in self.watch_namespaces

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Namespaces to watch; empty: all of them."""
        return () if self.is_cluster_wide else self.watch_namespaces or (self.namespace,)

    def surroundings(self) -> Surroundings:
        """What rendering is given."""
        return Surroundings(
            images=Images(
                registry=self.image_registry,
                prefix=self.image_prefix,
                tag=self.image_tag,
                tags=self.image_tags,
                digests=self.image_digests,
                pull_policy=self.image_pull_policy,
                pull_secrets=self.image_pull_secrets,
            ),
            mode=self.mode,
            endpoints=self.endpoints,
            switches=self.switches,
            default_sinks=self.default_sinks,
            network=Network(
                is_enforced=self.network_policy,
                operator_namespace=self.namespace,
                private_ranges=self.private_ranges,
                metrics_peers=self.metrics_peers,
                egress_peers=self.egress_peers,
            ),
            log_level=self.pod_log_level,
            otlp_endpoint=self.pod_otlp_endpoint,
        )
