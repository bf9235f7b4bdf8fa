"""Health of stores and venues as pods tell it, with patience: one bad answer is no outage, one good answer no recovery.

Silence says nothing: a pod that does not answer neither raises nor clears anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from feedplane_core.names import NS_PER_S
from feedplane_feedset.sinks import SinkName

from feedplane_operator.observed import Observed, PodState, SinkWord

SINK_BAD_AFTER_NS: Final = 10 * NS_PER_S
SINK_WELL_AFTER_NS: Final = 15 * NS_PER_S
_SINK_PATIENCE: Final = (SINK_BAD_AFTER_NS, SINK_WELL_AFTER_NS)
SINK_LAG_NS: Final = 90 * NS_PER_S
"""A batch may wait for a minute by its settings."""
VENUE_BAD_AFTER_NS: Final = 30 * NS_PER_S
VENUE_WELL_AFTER_NS: Final = 30 * NS_PER_S
_VENUE_PATIENCE: Final = (VENUE_BAD_AFTER_NS, VENUE_WELL_AFTER_NS)
GAPS_REMEMBERED_NS: Final = 900 * NS_PER_S

_SINKS: Final = "|".join(SinkName)
_Place = tuple[str, int]
"""Entry and shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The verdict of one look."""

    sinks: Mapping[str, str | None]  # sink -> why it takes no data, None where it does; absent: nobody has told
    venues: Mapping[_Place, str]  # collectors whose venue has brought nothing for a while, in all live copies -> why
    gaps: frozenset[str]  # entries that declared a gap in the last 15 minutes


@dataclass(slots=True)
class _Belief:
    """What is held to be so, and since when looks have said otherwise."""

    bad_reason: str | None  # as told when it turned bad: other words for the same outage are no news
    doubted_since_ns: int | None = None


@dataclass(slots=True)
class Memory:
    """What has to be remembered of one FeedSet between looks. An operator that starts anew believes the conditions it
    finds until its own looks have said otherwise for long enough.
    """

    beliefs: dict[str, _Belief] = field(default_factory=dict)
    gap_counts: dict[str, int] = field(default_factory=dict)  # by uid of pod
    gaps_until_ns: dict[str, int] = field(default_factory=dict)  # by entry

    def judge(self, observed: Observed, previous: Mapping[str, Any], now_ns: int) -> Health:
        """Take one look into account. `previous` is the FeedSet's status as it stands."""
        return Health(
            sinks=self._judge_sinks(observed, previous, now_ns),
            venues=self._judge_venues(observed, now_ns),
            gaps=self._judge_gaps(observed.pods, now_ns),
        )

    def _judge_sinks(self, observed: Observed, previous: Mapping[str, Any], now_ns: int) -> dict[str, str | None]:
        heard: dict[str, list[SinkWord]] = {}
        for pod in observed.pods:
            for word in pod.sinks:
                heard.setdefault(word.sink, []).append(word)
        for sink, words in heard.items():
            before = _bad_before(previous, sink)
            since_ns = now_ns - max((word.trouble_for_ns for word in words if word.trouble), default=0)
            self._look(f"sink {sink}", _sink_trouble(words), since_ns, now_ns, _SINK_PATIENCE, before)
        known = [key.removeprefix("sink ") for key in self.beliefs if key.startswith("sink ")]
        return {sink: self.beliefs[f"sink {sink}"].bad_reason for sink in sorted(known)}

    def _judge_venues(self, observed: Observed, now_ns: int) -> dict[_Place, str]:
        """A venue is away from a collector when it is from every live copy that tells."""
        told: dict[_Place, list[str | None]] = {}
        for pod in observed.pods:
            if pod.collector is not None and pod.is_ready and not pod.is_ending:
                told.setdefault((pod.entry, pod.shard), []).append(pod.collector.trouble)
        found = {}
        for (entry, shard), troubles in sorted(told.items()):
            key = f"venue {entry} {shard}"
            trouble = troubles[0] if all(troubles) else None
            self._look(key, trouble, now_ns, now_ns, _VENUE_PATIENCE, None)
            if (reason := self.beliefs[key].bad_reason) is not None:
                found[(entry, shard)] = reason
        return found

    def _judge_gaps(self, pods: tuple[PodState, ...], now_ns: int) -> frozenset[str]:
        """Gaps that were there when a pod was first heard are no news."""
        for pod in pods:
            if pod.collector is None:
                continue
            if pod.collector.gaps > self.gap_counts.get(pod.uid, pod.collector.gaps):
                self.gaps_until_ns[pod.entry] = now_ns + GAPS_REMEMBERED_NS
            self.gap_counts[pod.uid] = pod.collector.gaps
        alive = {pod.uid for pod in pods}
        self.gap_counts = {uid: count for uid, count in self.gap_counts.items() if uid in alive}
        self.gaps_until_ns = {entry: until for entry, until in self.gaps_until_ns.items() if until > now_ns}
        return frozenset(self.gaps_until_ns)

    def _look(
        self, key: str, trouble: str | None, since_ns: int, now_ns: int, patience: tuple[int, int], before: str | None
    ) -> None:
        """`since_ns` is when the trouble began, `before` what was believed when this memory began."""
        belief = self.beliefs.setdefault(key, _Belief(before))
        is_bad = belief.bad_reason is not None
        if (trouble is not None) == is_bad:
            belief.doubted_since_ns = None
            return
        begun_ns = now_ns if is_bad else since_ns
        belief.doubted_since_ns = min(begun_ns, now_ns if belief.doubted_since_ns is None else belief.doubted_since_ns)
        bad_after_ns, well_after_ns = patience
        if now_ns - belief.doubted_since_ns >= (well_after_ns if is_bad else bad_after_ns):
            self.beliefs[key] = _Belief(trouble)


def _sink_trouble(words: list[SinkWord]) -> str | None:
    """The first trouble any writer tells, else that one is far behind: a store that answers and takes nothing."""
    troubles = sorted(word.trouble for word in words if word.trouble)
    if troubles:
        return troubles[0]
    return "writers are far behind" if any(word.lag_ns > SINK_LAG_NS for word in words) else None


def render_sinks(sinks: Mapping[str, str | None]) -> str:
    """The message of SinksHealthy; a new operator reads it back."""
    return "; ".join(f"{sink}: {reason}" for sink, reason in sinks.items() if reason is not None)


def _bad_before(previous: Mapping[str, Any], sink: str) -> str | None:
    for condition in previous.get("conditions") or ():
        if condition.get("type") == "SinksHealthy" and condition.get("status") == "False":
            told = re.search(rf"(?:^|; ){sink}: (.*?)(?=; (?:{_SINKS}): |$)", str(condition.get("message", "")))
            return None if told is None else told[1]
    return None
