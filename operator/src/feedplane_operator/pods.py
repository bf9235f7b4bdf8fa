"""The pod of one collector: its writers as native sidecars, which start before it and end after it, and the collector.

Passes the "restricted" Pod Security profile; holds no API token; writes only its spool and /tmp.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from feedplane_feedset.config import WriterConfig
from feedplane_feedset.exchanges import ExchangeEntry
from feedplane_feedset.model import FeedSet
from feedplane_feedset.render import Pod
from feedplane_feedset.sinks import SecretKeyRef, SinkName
from feedplane_feedset.units import format_size
from feedplane_feedset.workload import Resources, SpoolMedium, cpu_millis

from feedplane_operator.configs import COLLECTOR_FILE, SYMBOLS_FILE, writer_file
from feedplane_operator.naming import CONFIG_HASH, TEMPLATE_HASH, Namer, digest
from feedplane_operator.surroundings import Object, Surroundings

USER_ID: Final = 10_001
COLLECTOR_PORT: Final = 9100
WRITER_PORTS: Final = {SinkName.REDIS: 9101, SinkName.CLICKHOUSE: 9102}
PORT_NAMES: Final = {COLLECTOR_PORT: "http-collector", 9101: "http-redis", 9102: "http-clickhouse"}
"""At most 15 characters; the prefix tells a service mesh that metrics are HTTP."""

CONFIG_FOLDER: Final = "/etc/feedplane/config"
SYMBOLS_FOLDER: Final = "/etc/feedplane/symbols"
SPOOL_FOLDER: Final = "/var/lib/feedplane"
SECRETS_FOLDER: Final = "/run/secrets/feedplane"
TERMINATION_FILE: Final = "/dev/termination-log"

_ZONE: Final = "topology.kubernetes.io/zone"
_NODE: Final = "kubernetes.io/hostname"

COLLECTOR_STOP_S: Final = 5
"""Time a collector gets to flush after SIGTERM, before its writers are told to drain."""
STOP_MARGIN_S: Final = 10

_STARTUP: Final = {"periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 300}  # a large spool is read through
_LIVENESS: Final = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}
"""The heartbeat itself allows 15 s; a busy node gets a minute before a restart makes it busier."""
_READINESS: Final = {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 3}
_TMP_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class PodParts:
    """What the pods of one collector are made from."""

    feedset: FeedSet
    entry: ExchangeEntry
    pod: Pod
    config_map: str
    symbols_map: str
    config_hash: str
    labels: dict[str, str]  # of the pod, without the prefix feedplane.io/


def render_template(namer: Namer, parts: PodParts, claim: str | None) -> Object:
    """The pod template; `claim` names the PersistentVolumeClaim of the spool, None makes it an emptyDir.

    The template carries its own hash, so that what runs can be compared with what is wanted without reading defaults
    that the API server filled in.
    """
    spec = _spec(namer.surroundings, parts, claim) | _placement(namer, parts)
    labels = namer.labels(parts.labels)
    annotations = {CONFIG_HASH: parts.config_hash}
    hashed = digest({"labels": labels, "annotations": annotations, "spec": spec})
    return {"metadata": {"labels": labels, "annotations": annotations | {TEMPLATE_HASH: hashed}}, "spec": spec}


def _spec(surroundings: Surroundings, parts: PodParts, claim: str | None) -> Object:
    spec: Object = {
        "serviceAccountName": service_account(parts.feedset.metadata.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds(parts.feedset),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_writer(surroundings, parts, writer, claim) for writer in parts.pod.writers],
        "containers": [_collector(surroundings, parts)],
        "volumes": _volumes(parts, claim),
    }
    if surroundings.images.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in surroundings.images.pull_secrets]
    return spec


def service_account(feedset: str) -> str:
    return f"{feedset}-collector"


def grace_seconds(feedset: FeedSet) -> int:
    """The collector flushes, then the writers drain, then a margin before SIGKILL."""
    return COLLECTOR_STOP_S + feedset.spec.rollout.drain_seconds + STOP_MARGIN_S


def _placement(namer: Namer, parts: PodParts) -> Object:
    """Soft rules: a cluster with one node runs everything, one with zones survives the loss of one. The same for one
    and for two live copies, so that another copy replaces none.
    """
    template = parts.feedset.spec.template
    all_pods = {"matchLabels": namer.selector()}
    copies = {"matchLabels": namer.selector({key: parts.labels[key] for key in ("entry", "shard")})}
    placement: Object = {
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": all_pods}
            for key in (_ZONE, _NODE)
        ],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": weight, "podAffinityTerm": {"topologyKey": key, "labelSelector": copies}}
                    for weight, key in ((100, _NODE), (50, _ZONE))
                ]
            }
        },
    }
    if template.priority_class_name:
        placement["priorityClassName"] = template.priority_class_name
    if template.node_selector:
        placement["nodeSelector"] = dict(sorted(template.node_selector.items()))
    return placement


def _collector(surroundings: Surroundings, parts: PodParts) -> Object:
    exchange = parts.entry.exchange
    env = {
        "FEEDPLANE_SYMBOLS": f"{SYMBOLS_FOLDER}/{SYMBOLS_FILE}",
        "FEEDPLANE_MODE": surroundings.mode.value,
    }
    if endpoints := surroundings.endpoints.get(exchange):
        env["FEEDPLANE_ENDPOINTS"] = json.dumps(endpoints, sort_keys=True)
    if switches := surroundings.switches.get(exchange):
        env["FEEDPLANE_SWITCHES"] = json.dumps({exchange: dict(switches)}, sort_keys=True)
    return _container(
        surroundings,
        name="collector",
        image=f"feed-{exchange.replace('_', '-')}",
        args=["--config", f"{CONFIG_FOLDER}/{COLLECTOR_FILE}"],
        env=env,
        port=COLLECTOR_PORT,
        resources=parts.entry.resources,
        mounts=[("symbols", SYMBOLS_FOLDER)],
    )


def _writer(surroundings: Surroundings, parts: PodParts, writer: WriterConfig, claim: str | None) -> Object:
    name = f"writer-{writer.sink}"
    config = f"{CONFIG_FOLDER}/{writer_file(writer)}"
    secret = secret_of(parts.feedset, writer.sink)
    container = _container(
        surroundings,
        name=name,
        image="writer",
        args=["--sink", writer.sink.value, "--config", config, "--journal", parts.pod.collector.journal.directory],
        env={"FEEDPLANE_TERMINATION_FILE": TERMINATION_FILE} | ({} if claim else {"FEEDPLANE_SPOOL_DIES": "true"}),
        port=WRITER_PORTS[writer.sink],
        resources=_writer_resources(parts.feedset, writer.sink),
        mounts=[] if secret is None else [(f"secret-{writer.sink}", f"{SECRETS_FOLDER}/{secret.name}")],
    )
    return container | {"restartPolicy": "Always"}


def _container(
    surroundings: Surroundings,
    *,
    name: str,
    image: str,
    args: list[str],
    env: dict[str, str],
    port: int,
    resources: Resources,
    mounts: list[tuple[str, str]],
) -> Object:
    shared = {
        "FEEDPLANE_LOG_LEVEL": surroundings.log_level,
        "FEEDPLANE_METRICS_HOST": "0.0.0.0",  # noqa: S104 - a pod's own address, kept to metrics by the NetworkPolicy
        "FEEDPLANE_METRICS_PORT": str(port),
    }
    if surroundings.otlp_endpoint:
        shared["FEEDPLANE_OTLP_ENDPOINT"] = surroundings.otlp_endpoint
    instance = {
        "name": "FEEDPLANE_INSTANCE",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
    }
    return {
        "name": name,
        "image": surroundings.images.reference(image),
        "imagePullPolicy": surroundings.images.pull_policy,
        "args": args,
        "env": [instance, *({"name": key, "value": value} for key, value in sorted((shared | env).items()))],
        "ports": [{"name": PORT_NAMES[port], "containerPort": port, "protocol": "TCP"}],
        "resources": _resources(resources),
        "startupProbe": _probe("/startedz", port, _STARTUP),
        "livenessProbe": _probe("/healthz", port, _LIVENESS),
        "readinessProbe": _probe("/readyz", port, _READINESS),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            *({"name": volume, "mountPath": path, "readOnly": True} for volume, path in mounts),
            {"name": "spool", "mountPath": SPOOL_FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
    }


def _probe(path: str, port: int, times: dict[str, int]) -> Object:
    return {"httpGet": {"path": path, "port": PORT_NAMES[port], "scheme": "HTTP"}, **times}


def _resources(resources: Resources) -> Object:
    limits = {"memory": format_size(resources.limits.memory_bytes)}
    if resources.limits.cpu is not None:
        limits["cpu"] = _cpu(resources.limits.cpu)
    return {
        "requests": {"cpu": _cpu(resources.requests.cpu), "memory": format_size(resources.requests.memory_bytes)},
        "limits": limits,
    }


def _cpu(text: str) -> str:
    """As the API server writes it, so that what it stores equals what was applied: `1000m` is `1`, `0.5` is `500m`."""
    millis = cpu_millis(text)
    return f"{millis}m" if millis % 1_000 else str(millis // 1_000)


def _volumes(parts: PodParts, claim: str | None) -> list[Object]:
    spool: Object = {"emptyDir": {"sizeLimit": format_size(volume_bytes(parts.feedset))}}
    if claim is not None:
        spool = {"persistentVolumeClaim": {"claimName": claim}}
    secrets = [
        (writer.sink, secret)
        for writer in parts.pod.writers
        if (secret := secret_of(parts.feedset, writer.sink)) is not None
    ]
    return [
        {"name": "config", "configMap": {"name": parts.config_map, "defaultMode": 0o440}},
        {"name": "symbols", "configMap": {"name": parts.symbols_map, "defaultMode": 0o440}},
        {"name": "spool", **spool},
        {"name": "tmp", "emptyDir": {"sizeLimit": format_size(_TMP_BYTES)}},
        *({"name": f"secret-{sink}", "secret": _secret(secret)} for sink, secret in secrets),
    ]


def _secret(secret: SecretKeyRef) -> Object:
    """The one key that is named, readable for the group that the pod runs as."""
    return {"secretName": secret.name, "defaultMode": 0o440, "items": [{"key": secret.key, "path": secret.key}]}


def volume_bytes(feedset: FeedSet) -> int:
    """Size of the spool's volume: the journal's budget, and room for what stands beside it (open segments, cursors,
    quarantine): the kubelet evicts a pod that outgrows its emptyDir.
    """
    size = feedset.spec.spool.size_bytes
    return (size + size // 8 + _SPOOL_MARGIN_BYTES) // _MIB * _MIB


_MIB: Final = 1 << 20
_SPOOL_MARGIN_BYTES: Final = 64 * _MIB


def secret_of(feedset: FeedSet, sink: SinkName) -> SecretKeyRef | None:
    """The Secret that holds a sink's password."""
    named = feedset.spec.sinks.redis if sink is SinkName.REDIS else feedset.spec.sinks.clickhouse
    return None if named is None else named.password_secret_ref


def _writer_resources(feedset: FeedSet, sink: SinkName) -> Resources:
    sinks = feedset.spec.sinks
    named = sinks.redis if sink is SinkName.REDIS else sinks.clickhouse
    assert named is not None, "a writer is rendered only for a sink that is named"
    return named.resources


def is_claimed(feedset: FeedSet) -> bool:
    """Whether the spool outlives its pod."""
    return feedset.spec.spool.medium is SpoolMedium.PERSISTENT_VOLUME_CLAIM
