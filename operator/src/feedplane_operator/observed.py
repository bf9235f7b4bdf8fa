"""What is there: Deployments and pods as the API server shows them, and what the pods' processes say of themselves.

Reads plain objects; a field that is missing reads as nothing having happened yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from feedplane_operator.naming import SYMBOLS_HASH, TEMPLATE_HASH
from feedplane_operator.surroundings import Object

Words = Mapping[str, Mapping[str, Any]]
"""Of one pod: container name -> its `/status`; silent containers are absent."""

_COLLECTOR: Final = "collector"
_WRITER_PREFIX: Final = "writer-"
_USUAL_WAITS: Final = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentState:
    """How far a Deployment is."""

    name: str
    exchange: str
    place: tuple[str, str]  # entry and shard, as its labels say
    sinks: frozenset[str]  # that its pods write to
    template_hash: str  # of the template that it holds now
    replicas: int
    updated: int
    available: int
    total: int  # pods of all templates
    is_seen: bool  # by its controller, in its newest generation
    is_rolled_out: bool  # the newest template ran completely; pods may have been lost since
    is_paused: bool
    deadline_message: str | None  # set where a rollout made no progress in time

    @property
    def is_rolling(self) -> bool:
        """Pods of another template are there, or it is not known yet."""
        return not self.is_seen or self.updated < self.total

    @property
    def is_complete(self) -> bool:
        """Every pod is of the newest template and has been ready for long enough, and no other is left."""
        return self.is_seen and self.updated == self.available == self.total == self.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkWord:
    """What one writer says of its store."""

    sink: str
    trouble: str | None  # why it cannot write
    trouble_for_ns: int
    lag_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorWord:
    """What one collector says of its venue."""

    followed: int
    refused: Mapping[str, str]  # symbol -> why it cannot be followed
    symbols_hash: str  # of the selection that is followed; empty before the first
    complaint: str | None  # about the file that names the symbols
    trouble: str | None  # sockets or feeds that bring nothing
    gaps: int  # declared since it started


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """One pod and what its processes say."""

    name: str
    uid: str
    entry: str
    shard: int
    template_hash: str
    symbols_hash: str  # annotation, "" where it has none
    is_ready: bool
    is_ending: bool
    problem: str | None  # why it does not run: "ImagePullBackOff: ..."
    collector: CollectorWord | None
    sinks: tuple[SinkWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there for one FeedSet."""

    deployments: Mapping[str, DeploymentState]
    pods: tuple[PodState, ...]  # by name


def observe(objects: Iterable[Object], words: Mapping[str, Words]) -> Observed:
    """Deployments and pods among `objects` (others are passed over); `words` by name of pod."""
    deployments, pods = {}, []
    for each in objects:
        if each.get("kind") == "Deployment":
            deployments[each["metadata"]["name"]] = _deployment(each)
        elif each.get("kind") == "Pod":
            pods.append(_pod(each, words.get(each["metadata"]["name"], {})))
    return Observed(deployments=deployments, pods=tuple(sorted(pods, key=lambda pod: pod.name)))


def _deployment(each: Object) -> DeploymentState:
    metadata, spec, status = each["metadata"], each.get("spec", {}), each.get("status", {})
    template = spec.get("template", {}).get("metadata", {})
    labels = metadata.get("labels") or {}
    progress: Mapping[str, Any] = next((each for each in _conditions(status) if each.get("type") == "Progressing"), {})
    is_seen = int(status.get("observedGeneration", 0)) >= int(metadata.get("generation", 0))
    return DeploymentState(
        name=metadata["name"],
        exchange=labels.get("feedplane.io/exchange", ""),
        place=(labels.get("feedplane.io/entry", ""), labels.get("feedplane.io/shard", "")),
        sinks=frozenset(_sinks(spec)),
        template_hash=_annotation(template, TEMPLATE_HASH),
        replicas=int(spec.get("replicas", 1)),
        updated=int(status.get("updatedReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        total=int(status.get("replicas", 0)),
        is_seen=is_seen,
        is_rolled_out=is_seen and progress.get("reason") == "NewReplicaSetAvailable",
        is_paused=bool(spec.get("paused", False)),
        deadline_message=_told(progress) if progress.get("reason") == "ProgressDeadlineExceeded" else None,
    )


def _sinks(spec: Mapping[str, Any]) -> Iterator[str]:
    for container in spec.get("template", {}).get("spec", {}).get("initContainers") or ():
        if str(container["name"]).startswith(_WRITER_PREFIX):
            yield str(container["name"]).removeprefix(_WRITER_PREFIX)


def _pod(each: Object, words: Words) -> PodState:
    metadata, status = each["metadata"], each.get("status", {})
    labels = metadata.get("labels") or {}
    shard = str(labels.get("feedplane.io/shard", ""))
    collector = words.get(_COLLECTOR)
    return PodState(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        entry=labels.get("feedplane.io/entry", ""),
        shard=int(shard) if shard.isdigit() else -1,
        template_hash=_annotation(metadata, TEMPLATE_HASH),
        symbols_hash=_annotation(metadata, SYMBOLS_HASH),
        is_ready=any(each.get("type") == "Ready" and each.get("status") == "True" for each in _conditions(status)),
        is_ending=metadata.get("deletionTimestamp") is not None,
        problem=_problem(status),
        collector=None if collector is None else _collector(collector),
        sinks=tuple(
            _sink(name.removeprefix(_WRITER_PREFIX), said)
            for name, said in sorted(words.items())
            if name.startswith(_WRITER_PREFIX)
        ),
    )


def _problem(status: Mapping[str, Any]) -> str | None:
    """What a person would look for in `kubectl describe pod`; how often and for how long is left out, since it changes."""
    for each in _conditions(status):
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return _told(each)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for each in containers:
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason")
        if reason == "CrashLoopBackOff":
            last = (each.get("lastState") or {}).get("terminated") or {}
            return f"{each['name']} ends again and again (exit code {last.get('exitCode', 'unknown')})"
        if reason and reason not in _USUAL_WAITS:
            return f"{each['name']}: {_told(waiting)}"
    return str(status["reason"]) if status.get("phase") == "Failed" and status.get("reason") else None


def _told(each: Mapping[str, Any]) -> str:
    reason, message = str(each.get("reason", "")), str(each.get("message", ""))
    return f"{reason}: {message}" if reason and message else reason or message


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(status.get("conditions") or ())


def _annotation(metadata: Mapping[str, Any], name: str) -> str:
    return str((metadata.get("annotations") or {}).get(name, ""))


def _collector(said: Mapping[str, Any]) -> CollectorWord:
    symbols = _mapping(said.get("symbols"))
    feeds = _mapping(said.get("feeds"))
    refused = _mapping(symbols.get("refused"))
    complaint = symbols.get("file_error")
    return CollectorWord(
        followed=_number(said.get("instruments")),
        refused={str(symbol): str(why) for symbol, why in sorted(refused.items())},
        symbols_hash=str(symbols.get("hash", "")),
        complaint=None if complaint is None else str(complaint),
        trouble=_venue_trouble(_mapping(said.get("sockets")), feeds),
        gaps=sum(_number(_mapping(feed).get("gaps")) for feed in feeds.values()),
    )


def _venue_trouble(sockets: Mapping[str, Any], feeds: Mapping[str, Any]) -> str | None:
    states = {name: _mapping(feed).get("state") for name, feed in sorted(feeds.items())}
    silent = [name for name, state in states.items() if state in ("disconnected", "stale")]
    if _number(sockets.get("connected")) < _number(sockets.get("planned")):
        return "sockets are down"
    return f"{', '.join(silent)} bring nothing" if silent else None


def _sink(name: str, said: Mapping[str, Any]) -> SinkWord:
    store, backlog = _mapping(said.get("store")), _mapping(said.get("backlog"))
    trouble = str(store.get("detail") or store.get("code") or "no reason given")
    return SinkWord(
        sink=name,
        trouble=trouble if store.get("ok") is False else None,
        trouble_for_ns=_number(store.get("failing_for_ns")),
        lag_ns=_number(backlog.get("lag_ns")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
