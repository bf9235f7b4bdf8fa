"""Names, labels and metadata of what belongs to a FeedSet. Explicit and stable: a name never depends on what else is
there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from feedplane_operator.surroundings import Object, Owner, Surroundings

NAME_CHARS: Final = 63
_SUFFIX_CHARS: Final = 8

CONFIG_HASH: Final = "feedplane.io/config-hash"
TEMPLATE_HASH: Final = "feedplane.io/template-hash"
SYMBOLS_HASH: Final = "feedplane.io/symbols-hash"
"""On running pods, patched when the symbols change: the kubelet then brings the mounted file up to date at once."""

MANAGED_BY: Final = "feedplane-operator"
FEEDSET_LABEL: Final = "feedplane.io/feedset"
_NONE: Final[Mapping[str, str]] = {}

_NOT_PASSED_ON = re.compile(
    r"^([^/]*\.)?(kubernetes\.io|k8s\.io|helm\.sh|argocd\.argoproj\.io|fluxcd\.io|feedplane\.io)/"
)
"""Labels by which a tool knows its own objects: on ours it would take them for its own, and prune them."""


def fitted(*parts: str, most: int = NAME_CHARS) -> str:
    """The parts joined by `-`; a longer name is cut and ends in 8 hex digits of the whole, so that it stays unique."""
    full = "-".join(parts)
    if len(full) <= most:
        return full
    suffix = sha256(full.encode()).hexdigest()[:_SUFFIX_CHARS]
    return f"{full[: most - _SUFFIX_CHARS - 1].rstrip('-')}-{suffix}"


def digest(value: Any, chars: int = 16) -> str:
    """Hex digits of the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(canonical.encode()).hexdigest()[:chars]


@dataclass(frozen=True, slots=True)
class Namer:
    """Writes the metadata of one FeedSet's objects."""

    owner: Owner
    surroundings: Surroundings
    own_labels: Mapping[str, str]  # of the FeedSet object itself

    def labels(self, more: Mapping[str, str] = _NONE) -> dict[str, str]:
        """Recommended labels and ours; `more` are `feedplane.io/<key>`."""
        return {
            "app.kubernetes.io/name": "feedplane",
            "app.kubernetes.io/instance": self.owner.name,
            "app.kubernetes.io/component": "collector",
            "app.kubernetes.io/part-of": "feedplane",
            "app.kubernetes.io/managed-by": MANAGED_BY,
            "app.kubernetes.io/version": self.surroundings.version,
            FEEDSET_LABEL: self.owner.name,
        } | {f"feedplane.io/{key}": value for key, value in more.items()}

    def selector(self, more: Mapping[str, str] = _NONE) -> dict[str, str]:
        """The immutable subset of `labels` that finds pods."""
        return {
            "app.kubernetes.io/name": "feedplane",
            "app.kubernetes.io/component": "collector",
            FEEDSET_LABEL: self.owner.name,
        } | {f"feedplane.io/{key}": value for key, value in more.items()}

    def metadata(self, name: str, labels: Mapping[str, str] = _NONE, *, is_owned: bool = True) -> Object:
        """Metadata of a top-level object, with the FeedSet as its controller unless it has to outlive it."""
        passed_on = {key: value for key, value in self.own_labels.items() if not _NOT_PASSED_ON.match(key)}
        metadata: Object = {
            "name": name,
            "namespace": self.owner.namespace,
            "labels": passed_on | self.labels(labels),
        }
        return metadata | ({"ownerReferences": [self._reference()]} if is_owned else {})

    def _reference(self) -> Object:
        return {
            "apiVersion": "feedplane.io/v1alpha1",
            "kind": "FeedSet",
            "name": self.owner.name,
            "uid": self.owner.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
