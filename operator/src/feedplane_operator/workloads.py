"""Deployments of one collector, their claims and their disruption budget.

On an emptyDir one Deployment holds all live copies and replaces them make-before-break. A ReadWriteOnce claim cannot be
mounted by the old and the new pod at once, so there each live copy (slot `a`, `b`) is a Deployment of its own with its
own claim, and the slots are replaced one after the other.
"""

from __future__ import annotations

from dataclasses import replace

from feedplane_feedset.model import FeedSet
from feedplane_feedset.units import format_size
from feedplane_feedset.workload import ReclaimPolicy, RolloutStrategy

from feedplane_operator.naming import Namer, fitted
from feedplane_operator.pods import PodParts, is_claimed, render_template, volume_bytes
from feedplane_operator.surroundings import Object

REVISIONS_KEPT = 2
"""ReplicaSets (and with them ConfigMaps) that can be gone back to."""
_SLOTS = ("a", "b")


def render_workloads(namer: Namer, base: str, parts: PodParts) -> list[Object]:
    """Claims, disruption budget and Deployments, in the order in which they are applied."""
    copies = parts.feedset.spec.replicas
    objects: list[Object] = []
    if copies > 1:
        objects.append(_disruption_budget(namer, base, parts))
    if not is_claimed(parts.feedset):
        return [*objects, _deployment(namer, base, parts, copies, None)]
    for slot in _SLOTS[:copies]:
        name = fitted(base, slot)
        of_slot = replace(parts, labels=parts.labels | {"slot": slot})
        objects.append(_claim(namer, name, of_slot))
        objects.append(_deployment(namer, name, of_slot, 1, name))
    return objects


def _deployment(namer: Namer, name: str, parts: PodParts, replicas: int, claim: str | None) -> Object:
    rollout = parts.feedset.spec.rollout
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": namer.metadata(name, parts.labels),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": REVISIONS_KEPT,
            "minReadySeconds": rollout.min_ready_seconds,
            "progressDeadlineSeconds": rollout.progress_deadline_seconds,
            "strategy": _strategy(parts.feedset, claim),
            "selector": {"matchLabels": namer.selector(_identity(parts))},
            "template": render_template(namer, parts, claim),
        },
    }


def _strategy(feedset: FeedSet, claim: str | None) -> Object:
    if claim is not None or feedset.spec.rollout.strategy is RolloutStrategy.RECREATE:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _identity(parts: PodParts) -> dict[str, str]:
    return {key: parts.labels[key] for key in ("entry", "shard", "slot") if key in parts.labels}


def _claim(namer: Namer, name: str, parts: PodParts) -> Object:
    """With reclaimPolicy Retain it has no owner: what was not drained is taken up by the next FeedSet of this name."""
    spool = parts.feedset.spec.spool
    is_owned = spool.reclaim_policy is ReclaimPolicy.DELETE
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": namer.metadata(name, parts.labels, is_owned=is_owned),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": spool.storage_class_name,
            "resources": {"requests": {"storage": format_size(volume_bytes(parts.feedset))}},
        },
    }


def _disruption_budget(namer: Namer, base: str, parts: PodParts) -> Object:
    """Only where two live copies exist: over a single one it would block every drain of its node."""
    identity = {key: value for key, value in _identity(parts).items() if key != "slot"}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": namer.metadata(base, parts.labels),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that never got ready must not keep its node
            "selector": {"matchLabels": namer.selector(identity)},
        },
    }
