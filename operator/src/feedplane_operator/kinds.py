"""The kinds of objects the operator reads or writes, and where the API server keeps them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Kind:
    """A namespaced kind of object."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of a collection (`name` absent) or of one object; namespace None is the whole cluster."""
        parts = ["apis" if self.group else "api", *self.api_version.split("/")]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/" + "/".join(quote(part, safe="") for part in parts)


FEEDSET: Final = Kind("feedplane.io/v1alpha1", "FeedSet", "feedsets")
POD: Final = Kind("v1", "Pod", "pods")
EVENT: Final = Kind("v1", "Event", "events")
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps")
SERVICE: Final = Kind("v1", "Service", "services")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
CLAIM: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET: Final = Kind("apps/v1", "ReplicaSet", "replicasets")
NETWORK_POLICY: Final = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET: Final = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")

MANAGED: Final = (SERVICE_ACCOUNT, CONFIG_MAP, NETWORK_POLICY, SERVICE, CLAIM, DISRUPTION_BUDGET, DEPLOYMENT)
"""What the operator makes, in the order in which it is applied."""

WATCHED: Final = (*MANAGED, REPLICA_SET, POD)
"""What the operator holds a copy of."""

_BY_TYPE: Final = {(kind.api_version, kind.kind): kind for kind in (*WATCHED, FEEDSET, EVENT)}

Key = tuple[str, str, str]
"""Kind, namespace and name of an object."""


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """The kind an object says it is.

    Raises:
        KeyError: not one of the operator's kinds.
    """
    return _BY_TYPE[obj["apiVersion"], obj["kind"]]


def key_of(obj: Mapping[str, Any]) -> Key:
    """What tells an object from all others at one time."""
    metadata = obj["metadata"]
    return obj["kind"], metadata.get("namespace", ""), metadata["name"]


def label_of(obj: Mapping[str, Any], label: str) -> str:
    """Value of a label, empty where there is none."""
    return str((obj["metadata"].get("labels") or {}).get(label, ""))


def owner_uid(obj: Mapping[str, Any]) -> str | None:
    """uid of the controller an object belongs to."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None
