"""The operator's own metrics, `feedplane_operator_*`. Labels come from small sets: never a FeedSet's name."""

from __future__ import annotations

from collections.abc import Mapping

from feedplane_ops.metrics import LatencyFamily, Level, Metrics, Tally

from feedplane_operator.store import Store


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
        self.events: Tally = metrics.counter("events_total", "Events posted, by reason.", ["reason"])
        self.feedsets: Level = metrics.gauge("feedsets", "FeedSets, by the status of their Ready condition.", ["ready"])
        self.held: Level = metrics.gauge("held_rollouts", "FeedSets whose rollout is held, by reason.", ["reason"])

    def watch_store(self, store: Store) -> None:
        """Count what is held of each kind at scrape time."""
        self._metrics.observe_gauge("managed_objects", "Objects held in the copy, by kind.", ["kind"], store.counts)

    def count_call(self, verb: str, code: str) -> None:
        """One call to the API server."""
        self.api_calls.add((verb, code))

    def put_levels(self, ready: Mapping[str, int], held: Mapping[str, int]) -> None:
        """Replace the counts of FeedSets by condition; a reason that is over goes back to 0."""
        for level, counts in ((self.feedsets, ready), (self.held, held)):
            for labels in list(level):
                level.put(labels, counts.get(labels[0], 0))
            for label, count in counts.items():
                level.put((label,), count)
