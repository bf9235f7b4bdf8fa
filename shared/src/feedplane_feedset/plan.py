"""What applying one FeedSet over another would touch, told before it is done.

Computed from the rendered settings of both, so the plan cannot differ from what the apply does: a pod whose settings
differ only in symbols takes them up while it runs, one that differs in anything else is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from .errors import Problem
from .exchanges import ExchangeEntry
from .model import FeedSet
from .render import Pod, Stores, render_pods
from .sinks import SinkName
from .workload import PodTemplate, Resources, SpoolMedium

_UNTOLD = Stores(redis_endpoints=("embedded:1",), clickhouse_shards=(("embedded:1",),))
"""Sinks without addresses are the same engine before and after."""


class Action(StrEnum):
    """What happens to an entry or a pod."""

    KEEP = "keep"
    HOT = "hot"  # symbols only: subscriptions change on the running sockets
    ROLL = "roll"  # the pod is replaced
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that differs. `before` or `after` is None where the field is absent."""

    path: str  # entries by name: "spec.exchanges[binance-futures].cadence.l1"
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PodChange:
    """What happens to one collector and its writers. Symbols are known where they are listed, not where they are
    discovered.
    """

    entry: str
    shard: int
    copy: int  # 0, or 1 for the second live copy
    action: Action
    symbols_added: tuple[str, ...] = ()
    symbols_removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryChange:
    """One entry of `spec.exchanges`: its strongest action, and the fields behind it."""

    name: str
    exchange: str
    action: Action
    fields: tuple[FieldChange, ...]
    pods: tuple[PodChange, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an apply would do. `refused` is not empty where the API server would say no."""

    feedset: str
    paused: bool
    fields: tuple[FieldChange, ...]  # outside of spec.exchanges
    entries: tuple[EntryChange, ...]
    refused: tuple[Problem, ...]

    @property
    def is_empty(self) -> bool:
        return not self.fields and all(entry.action is Action.KEEP and not entry.fields for entry in self.entries)

    def count(self, action: Action) -> int:
        """Pods that meet with `action`, live copies included."""
        return sum(1 for entry in self.entries for pod in entry.pods if pod.action is action)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"pods": {action.value: self.count(action) for action in Action}}


@dataclass(frozen=True, slots=True)
class _Slot:
    """A pod as the operator would build it: settings of its processes, and what the pod template adds."""

    pod: Pod
    resources: tuple[Resources, ...]  # of the collector, then of each writer
    template: PodTemplate


class _Side:
    """One of the two FeedSets, by the keys that decide what is the same thing on both sides."""

    def __init__(self, feedset: FeedSet | None) -> None:
        self.entries: dict[str, ExchangeEntry] = {}
        self.slots: dict[tuple[str, int, int], _Slot] = {}  # by entry, shard and live copy
        if feedset is None:
            return
        self.entries = {entry.name: entry for entry in feedset.spec.exchanges}
        for pod in render_pods(feedset, _UNTOLD):
            slot = _Slot(pod, tuple(_resources(feedset, pod)), feedset.spec.template)
            for copy in range(feedset.spec.replicas):
                self.slots[(pod.collector.entry, pod.collector.shard, copy)] = slot


def _resources(feedset: FeedSet, pod: Pod) -> Iterator[Resources]:
    sinks = feedset.spec.sinks
    yield next(entry.resources for entry in feedset.spec.exchanges if entry.name == pod.collector.entry)
    for writer in pod.writers:
        sink = sinks.redis if writer.sink is SinkName.REDIS else sinks.clickhouse
        if sink is not None:
            yield sink.resources


def plan_change(before: FeedSet | None, after: FeedSet) -> Plan:
    """The way from `before` (None: nothing is there) to `after`."""
    old, new = _Side(before), _Side(after)
    names = [*new.entries, *(name for name in old.entries if name not in new.entries)]
    return Plan(
        feedset=after.metadata.name,
        paused=after.spec.paused,
        fields=() if before is None else tuple(_differences("spec", _outer(before), _outer(after))),
        entries=tuple(_entry_change(name, old, new) for name in names),
        refused=tuple(_refusals(before, after)),
    )


def _entry_change(name: str, old: _Side, new: _Side) -> EntryChange:
    keys = sorted({key for key in (*old.slots, *new.slots) if key[0] == name})
    pods = tuple(_pod_change(key, old.slots.get(key), new.slots.get(key)) for key in keys)
    before, after = old.entries.get(name), new.entries.get(name)
    if before is None or after is None:
        entry, action = (after, Action.START) if after is not None else (old.entries[name], Action.STOP)
        return EntryChange(name, entry.exchange, action, (), pods)
    fields = tuple(_differences(f"spec.exchanges[{name}]", _dump(before), _dump(after)))
    return EntryChange(name, after.exchange, _strongest(pods), fields, pods)


_STRENGTH = (Action.KEEP, Action.START, Action.STOP, Action.HOT, Action.ROLL)
"""For an entry that stays: what happens to pods that run counts for more than pods that come or go."""


def _strongest(pods: tuple[PodChange, ...]) -> Action:
    return max((pod.action for pod in pods), key=_STRENGTH.index)


def _pod_change(key: tuple[str, int, int], old: _Slot | None, new: _Slot | None) -> PodChange:
    had, has = _listed(old), _listed(new)
    return PodChange(*key, _pod_action(old, new), tuple(sorted(has - had)), tuple(sorted(had - has)))


def _pod_action(old: _Slot | None, new: _Slot | None) -> Action:
    if old is None:
        return Action.START
    if new is None:
        return Action.STOP
    if (old.pod.pod_hash, old.resources, old.template) != (new.pod.pod_hash, new.resources, new.template):
        return Action.ROLL
    return Action.KEEP if old.pod.config_hash == new.pod.config_hash else Action.HOT


def _listed(slot: _Slot | None) -> set[str]:
    return set() if slot is None else set(slot.pod.collector.symbols.include)


def _dump(entry: ExchangeEntry) -> dict[str, Any]:
    return entry.model_dump(mode="json", by_alias=True, exclude_none=True)


def _outer(feedset: FeedSet) -> dict[str, Any]:
    spec: dict[str, Any] = feedset.as_dict()["spec"]
    return {key: value for key, value in spec.items() if key != "exchanges"}


def _differences(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    """Leaves that differ. Lists of plain values are sets to a reader: their order is no change."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(f"{path}.{key}", before.get(key), after.get(key))
    elif _unordered(before) != _unordered(after):
        yield FieldChange(path, before, after)


def _unordered(value: Any) -> Any:
    is_plain = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return sorted(value) if is_plain else value


def _refusals(before: FeedSet | None, after: FeedSet) -> Iterator[Problem]:
    """What the API server says no to: transition rules of the CRD."""
    if before is None:
        return
    old, new = before.spec.spool, after.spec.spool
    remedy = "; apply the FeedSet under another metadata.name"
    if old.medium is not new.medium:
        yield Problem("spec.spool.medium", f"cannot be changed on a FeedSet that exists{remedy}")
    elif new.medium is SpoolMedium.PERSISTENT_VOLUME_CLAIM:
        if old.storage_class_name != new.storage_class_name:
            yield Problem("spec.spool.storageClassName", f"cannot be changed on a FeedSet that exists{remedy}")
        if new.size_bytes < old.size_bytes:
            yield Problem("spec.spool.size", f"of a claim can only grow{remedy}")
