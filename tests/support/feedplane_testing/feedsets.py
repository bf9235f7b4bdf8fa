"""FeedSets on a cluster, as a user applies them and looks at them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from feedplane_cluster.commands import wait_until
from feedplane_cluster.kubectl import Kubectl

READY_S: Final = 60.0
_SMALL: Final = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
FAST: Final = {"minReadySeconds": 2, "drainSeconds": 10, "progressDeadlineSeconds": 300}
"""A rollout whose waits are short, so that tests see many."""
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def entry(
    exchange: str, symbols: Iterable[str], feeds: Iterable[str] = ("trades", "ob_diffs"), **more: Any
) -> dict[str, Any]:
    """One exchange with little set aside for it."""
    return {
        "name": exchange.replace("_", "-"),
        "exchange": exchange,
        "feeds": list(feeds),
        "symbols": {"include": list(symbols)},
        "resources": _SMALL,
        **more,
    }


@dataclass(frozen=True)
class FeedSets:
    """FeedSets of one namespace."""

    kubectl: Kubectl

    def apply(self, name: str, *entries: Mapping[str, Any], **spec: Any) -> None:
        """By server-side apply; stores are the operator's own."""
        body = {"exchanges": list(entries), "rollout": FAST, **spec}
        self.kubectl.apply(
            {"apiVersion": "feedplane.io/v1alpha1", "kind": "FeedSet", "metadata": {"name": name}, "spec": body}
        )

    def wait_ready(self, name: str, timeout_s: float = READY_S) -> float:
        """Seconds until `kubectl wait --for=condition=Ready` would say so of the present generation."""
        return self.kubectl.wait_for_condition("feedset", name, "Ready", timeout_s=timeout_s)

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.kubectl.get("feedset", name).get("status") or {})

    def reason(self, name: str, condition: str) -> tuple[str, str]:
        """(status, reason) of a condition."""
        found = self.kubectl.conditions("feedset", name).get(condition, {})
        return found.get("status", ""), found.get("reason", "")

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Collectors that are not ending, oldest first."""
        found = self.kubectl.list("pods", f"feedplane.io/feedset={name}")
        alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(alive, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def wait_for_pods(self, name: str, wanted: set[str], timeout_s: float = READY_S) -> float:
        """Seconds until exactly these pods are there."""

        def are_there() -> bool:
            pods = self.kubectl.list("pods", f"feedplane.io/feedset={name}")
            return {pod["metadata"]["name"] for pod in pods} == wanted

        return wait_until(f"pods {wanted}", are_there, timeout_s=timeout_s)

    def tree(self, name: str) -> list[dict[str, Any]]:
        """All that the operator made for it."""
        kinds = "deployments,replicasets,pods,configmaps,serviceaccounts,services,networkpolicies,poddisruptionbudgets,persistentvolumeclaims"
        return list(self.kubectl.list(kinds, f"feedplane.io/feedset={name}"))

    def ask(self, pod: Mapping[str, Any], port: int = 9100, path: str = "/status") -> Any:
        """A pod's own word."""
        with _OPENER.open(f"http://{pod['status']['podIP']}:{port}{path}", timeout=5) as answer:
            return json.loads(answer.read())
