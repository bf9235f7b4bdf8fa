"""The operator's copy of what the cluster holds for its FeedSets, kept by watches and by its own writes. No I/O.

It only ever moves forward: an event that is older than what is held (a watch that lags behind our own write) changes
nothing, so a pass never repairs what it has just applied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from feedplane_operator.kinds import DEPLOYMENT, POD, REPLICA_SET, Key, Kind, key_of, label_of
from feedplane_operator.naming import FEEDSET_LABEL
from feedplane_operator.surroundings import Object

FeedSetKey = tuple[str, str]
"""Namespace and name of a FeedSet."""


def version_of(obj: Mapping[str, Any]) -> int:
    """Resource versions are numbers that grow, documented as comparable since Kubernetes 1.35 and always so in etcd."""
    text = str(obj["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def slim(obj: Object) -> Object:
    """What is needed of an object: of pods and ReplicaSets, which are many and not ours to compare, little."""
    if obj["kind"] == POD.kind:
        return _without_fields(obj) | {"spec": {"nodeName": obj.get("spec", {}).get("nodeName")}}
    if obj["kind"] == REPLICA_SET.kind:
        spec = obj.get("spec", {})
        template = spec.get("template", {})
        kept = {"volumes": template.get("spec", {}).get("volumes", [])}
        return _without_fields(obj) | {
            "spec": {
                "replicas": spec.get("replicas"),
                "template": {"metadata": template.get("metadata", {}), "spec": kept},
            }
        }
    return obj


def _without_fields(obj: Object) -> Object:
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


class Store:
    """Objects by key and by the FeedSet that their label names."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._by_feedset: defaultdict[FeedSetKey, set[Key]] = defaultdict(set)
        self.on_change: Callable[[FeedSetKey], None] = lambda _: None
        """Told whose objects changed."""

    def put(self, obj: Object, *, is_own_write: bool = False) -> None:
        """Take the object unless what is held is as new. Own writes are no news to whoever made them."""
        key = key_of(obj)
        held = self._objects.get(key)
        if held is not None and version_of(held) >= version_of(obj):
            return
        if held is not None and _feedset(held) != _feedset(obj):
            self._forget(key, held)
        self._objects[key] = slim(obj)
        self._by_feedset[_feedset(obj)].add(key)
        if not is_own_write:
            self.on_change(_feedset(obj))

    def drop(self, obj: Object) -> None:
        """The object is gone; one that took its name since stays."""
        held = self._objects.get(key_of(obj))
        if held is not None and held["metadata"].get("uid") == obj["metadata"].get("uid"):
            self._forget(key_of(obj), held)
            self.on_change(_feedset(held))

    def replace(self, kind: Kind, namespace: str | None, items: Iterable[Object], resource_version: str) -> None:
        """Take a whole list: what it does not name is gone, unless we wrote it after the list was made."""
        listed = set()
        for item in items:
            listed.add(key_of(item))
            self.put(item)
        listed_at = int(resource_version) if resource_version.isdigit() else 0
        for key, held in list(self._objects.items()):
            is_of_list = key[0] == kind.kind and namespace in (None, key[1])
            if is_of_list and key not in listed and version_of(held) <= listed_at:
                self.drop(held)

    def of(self, feedset: FeedSetKey) -> dict[Key, Object]:
        """All objects that bear this FeedSet's label, whoever owns them."""
        return {key: self._objects[key] for key in self._by_feedset.get(feedset, ())}

    def all(self) -> list[Object]:
        """Everything that is held."""
        return list(self._objects.values())

    def counts(self) -> dict[tuple[str, ...], float]:
        """Objects held, by kind."""
        held: dict[tuple[str, ...], float] = {(DEPLOYMENT.kind,): 0}
        for kind, _, _ in self._objects:
            held[(kind,)] = held.get((kind,), 0) + 1
        return held

    def _forget(self, key: Key, held: Object) -> None:
        del self._objects[key]
        keys = self._by_feedset[_feedset(held)]
        keys.discard(key)
        if not keys:
            del self._by_feedset[_feedset(held)]


def _feedset(obj: Object) -> FeedSetKey:
    return obj["metadata"].get("namespace", ""), label_of(obj, FEEDSET_LABEL)
