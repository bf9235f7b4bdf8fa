"""What of a FeedSet's objects is no longer wanted. Pure.

Only what bears the FeedSet's label *and* has it as its controller is ever deleted: what a person made, and a claim that
is to outlive its FeedSet, have no such owner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from feedplane_operator.kinds import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    MANAGED,
    REPLICA_SET,
    Key,
    key_of,
    owner_uid,
)
from feedplane_operator.store import version_of
from feedplane_operator.surroundings import Object

REVISIONS_KEPT: Final = 2
"""ConfigMaps of one collector that stay, the current one included, even when no ReplicaSet names them any more."""

_ORDER: Final = [DISRUPTION_BUDGET.kind, DEPLOYMENT.kind]
"""First what runs; what it mounts goes after it."""
_MANAGED: Final = frozenset(kind.kind for kind in MANAGED)


def superfluous(desired: Collection[Key], live: Mapping[Key, Object], uid: str) -> list[Object]:
    """Objects to delete, in that order. A ConfigMap that a ReplicaSet or Deployment may still mount stays."""
    owned = {key: obj for key, obj in live.items() if key[0] in _MANAGED and owner_uid(obj) == uid}
    gone = [obj for key, obj in owned.items() if key not in desired and not _is_ending(obj)]
    mounted = _mounted(live.values())
    kept = {key_of(obj) for obj in _spare_revisions(gone, desired, mounted)}
    unwanted = [
        obj for obj in gone if key_of(obj) not in kept and not (_is_config(obj) and obj["metadata"]["name"] in mounted)
    ]
    return sorted(unwanted, key=lambda obj: (_rank(obj), key_of(obj)))


def is_destructive(obj: Object) -> bool:
    """Whether deleting it ends pods or destroys what they have written."""
    return obj["kind"] in (DEPLOYMENT.kind, CLAIM.kind)


def _rank(obj: Object) -> int:
    return _ORDER.index(obj["kind"]) if obj["kind"] in _ORDER else len(_ORDER)


def _is_ending(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def _is_config(obj: Object) -> bool:
    return bool(obj["kind"] == CONFIG_MAP.kind)


def _mounted(live: Iterable[Object]) -> set[str]:
    """Names of ConfigMaps in the templates of Deployments and ReplicaSets."""
    return {
        volume["configMap"]["name"]
        for obj in live
        if obj["kind"] in (DEPLOYMENT.kind, REPLICA_SET.kind)
        for volume in obj["spec"]["template"]["spec"].get("volumes") or ()
        if "configMap" in volume
    }


def _spare_revisions(gone: Iterable[Object], desired: Collection[Key], mounted: set[str]) -> Iterator[Object]:
    """The newest unmounted ConfigMaps of each collector that still is wanted, up to `REVISIONS_KEPT` in all."""
    bases = {name.rpartition("-")[0] for kind, _, name in desired if kind == CONFIG_MAP.kind}
    by_base: dict[str, list[Object]] = {}
    for obj in gone:
        base, _, _ = obj["metadata"]["name"].rpartition("-")
        if _is_config(obj) and obj.get("immutable") and base in bases:
            by_base.setdefault(base, []).append(obj)
    for revisions in by_base.values():
        others = sum(obj["metadata"]["name"] in mounted for obj in revisions)
        spare = [obj for obj in sorted(revisions, key=version_of) if obj["metadata"]["name"] not in mounted]
        most = max(0, REVISIONS_KEPT - 1 - others)
        yield from spare[len(spare) - most :]
