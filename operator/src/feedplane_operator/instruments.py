"""The operator's own metrics, `feedplane_operator_*`. Labels come from small sets: never a FeedSet's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from feedplane_ops.metrics import LatencyFamily, Metrics, Tally

from feedplane_operator.conditions import ConditionType, previous_condition
from feedplane_operator.store import FeedSetKey, Store


class Instruments:
    """Everything the operator counts; declared once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.reconciles: Tally = metrics.counter(
            "reconciles_total", "Passes over a FeedSet, by how they ended.", ["result"]
        )
        self.reconcile_latency: LatencyFamily = metrics.latency("reconcile_seconds", "Duration of one pass.")
        self.api_calls: Tally = metrics.counter(
            "api_calls_total", "Calls to the API server, by verb and by status code or error.", ["verb", "code"]
        )
        self.writes: Tally = metrics.counter(
            "writes_total", "Objects applied, patched or deleted, by kind and why.", ["kind", "reason"]
        )
        self._standing: dict[FeedSetKey, tuple[str, str]] = {}
        metrics.observe_gauge("feedsets", "FeedSets, by their Ready condition.", ["ready"], lambda: self._counted(0))
        metrics.observe_gauge(
            "rollouts", "FeedSets, by the reason of their Progressing condition.", ["reason"], lambda: self._counted(1)
        )

    def stand(self, feedset: FeedSetKey, status: Mapping[str, Any]) -> None:
        """Note how a FeedSet stands."""
        ready = previous_condition(status, ConditionType.READY).get("status", "Unknown")
        progressing = previous_condition(status, ConditionType.PROGRESSING)
        self._standing[feedset] = (ready, progressing.get("reason", "Unknown"))

    def forget(self, feedset: FeedSetKey) -> None:
        """The FeedSet is gone."""
        self._standing.pop(feedset, None)

    def watch_store(self, store: Store) -> None:
        """Count what is held of each kind at scrape time."""
        self._metrics.observe_gauge("managed_objects", "Objects held in the copy, by kind.", ["kind"], store.counts)

    def count_call(self, verb: str, code: str) -> None:
        """One call to the API server."""
        self.api_calls.add((verb, code))

    def _counted(self, part: int) -> dict[tuple[str, ...], float]:
        counts = Counter(standing[part] for standing in self._standing.copy().values())
        return {(label,): count for label, count in counts.items()}
