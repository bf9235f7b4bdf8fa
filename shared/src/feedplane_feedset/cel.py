"""Rules of the CRD that span fields, in CEL. Each says what a validator of the model says; the API server refuses
before anything runs.

A rule is written where its fields are, costs little (every list and text has a bound) and relies on the defaults being
applied.
"""

from __future__ import annotations

from typing import Any, TypedDict

from .exchanges import MAX_SHARDS
from .units import DURATION_PATTERN, NS_PER_UNIT, parse_duration_ns


class Rule(TypedDict, total=False):
    """One item of `x-kubernetes-validations`."""

    rule: str
    message: str
    fieldPath: str


ROOT_RULES: list[Rule] = [
    {
        "rule": "size(self.metadata.name) <= 30 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "message": "metadata.name must be a DNS label of at most 30 characters: it leads the names of its objects",
    }
]

_REQUESTS_FIT_LIMITS: list[Rule] = [
    {
        "rule": "quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0",
        "message": "requests.memory is more than limits.memory",
        "fieldPath": ".requests.memory",
    },
    {
        "rule": "!has(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0",
        "message": "requests.cpu is more than limits.cpu",
        "fieldPath": ".requests.cpu",
    },
]

RULES: dict[tuple[str, ...], list[Rule]] = {
    (): [
        {
            "rule": "self.rollout.strategy != 'MakeBeforeBreak' || self.spool.medium == 'EmptyDir' "
            "|| self.replicas == 2",
            "message": "MakeBeforeBreak on a PersistentVolumeClaim needs replicas: 2; otherwise choose Recreate",
            "fieldPath": ".rollout.strategy",
        },
        {
            "rule": f"self.exchanges.all(e, e.shards * self.replicas <= {MAX_SHARDS})",
            "message": f"shards times replicas may be at most {MAX_SHARDS}",
            "fieldPath": ".exchanges",
        },
        {
            "rule": "self.exchanges.all(e, !has(e.sinks) || "
            "e.sinks.all(s, s == 'redis' ? has(self.sinks.redis) : has(self.sinks.clickhouse)))",
            "message": "an entry names a sink that spec.sinks does not name",
            "fieldPath": ".exchanges",
        },
    ],
    ("exchanges", "[]", "symbols"): [
        {
            "rule": "!has(self.include) || size(self.include) == 0 || !has(self.quotes) || size(self.quotes) == 0",
            "message": "quotes belongs to discovery and says nothing about an include list",
            "fieldPath": ".quotes",
        }
    ],
    ("exchanges", "[]", "resources"): _REQUESTS_FIT_LIMITS,
    ("sinks", "redis", "resources"): _REQUESTS_FIT_LIMITS,
    ("sinks", "clickhouse", "resources"): _REQUESTS_FIT_LIMITS,
    ("spool",): [
        {
            "rule": "self.medium != 'PersistentVolumeClaim' || has(self.storageClassName)",
            "message": "medium PersistentVolumeClaim needs storageClassName",
            "fieldPath": ".storageClassName",
        },
        {
            "rule": "self.medium == oldSelf.medium",
            "message": "medium cannot be changed; apply the FeedSet under another name",
            "fieldPath": ".medium",
        },
        {
            "rule": "self.medium != 'PersistentVolumeClaim' || !has(self.storageClassName) || "
            "!has(oldSelf.storageClassName) || self.storageClassName == oldSelf.storageClassName",
            "message": "storageClassName cannot be changed; apply the FeedSet under another name",
            "fieldPath": ".storageClassName",
        },
        {
            "rule": "self.medium != 'PersistentVolumeClaim' || "
            "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            "message": "size of a claim can only grow; apply the FeedSet under another name",
            "fieldPath": ".size",
        },
    ],
    ("sinks",): [
        {
            "rule": "has(self.redis) || has(self.clickhouse)",
            "message": "names no sink; leave it out for both, or name redis, clickhouse",
        }
    ],
    ("sinks", "redis"): [
        {
            "rule": "self.mode == 'Cluster' || !has(self.endpoints) || size(self.endpoints) <= 1",
            "message": "mode Standalone takes one endpoint; several are the seeds of mode Cluster",
            "fieldPath": ".endpoints",
        }
    ],
    ("rollout",): [
        {
            "rule": "self.progressDeadlineSeconds > self.minReadySeconds",
            "message": "progressDeadlineSeconds must be more than minReadySeconds",
            "fieldPath": ".progressDeadlineSeconds",
        }
    ],
}
"""Rules by the path of the object they stand on, below `spec`; `[]` is the items of a list."""

ENDPOINT_RULE: Rule = {
    "rule": "!self.matches(':[0-9]{1,5}$') || int(self.substring(self.lastIndexOf(':') + 1)) <= 65535",
    "message": "the port is 1..65535",
}


def bounds_rule(bounds: dict[str, Any]) -> Rule:
    """Bounds of a duration or size, which a pattern cannot say. CEL's `duration` knows no days, so they are counted
    apart; no bound here is longer than a day at its lower end.
    """
    least, most = bounds["least"], bounds["most"]
    message = f"must be between {least} and {most}"
    if bounds["kind"] == "size":
        at_least = f"quantity(self).compareTo(quantity('{least}')) >= 0"
        at_most = f"quantity(self).compareTo(quantity('{most}')) <= 0"
        return {"rule": f"!isQuantity(self) || ({at_least} && {at_most})", "message": message}
    within = f"duration(self) >= duration('{_in_hours(least)}') && duration(self) <= duration('{_in_hours(most)}')"
    most_days = parse_duration_ns(most) // NS_PER_UNIT["d"]
    days = f"self.endsWith('d') ? int(self.substring(0, size(self) - 1)) <= {most_days} : "
    # What the pattern has refused is not told twice.
    return {"rule": f"!self.matches('{DURATION_PATTERN}') || ({days}({within}))", "message": message}


def _in_hours(duration: str) -> str:
    return f"{int(duration[:-1]) * 24}h" if duration.endswith("d") else duration
