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

from feedplane_operator.observed import CollectorWord, Observed, PodState, SinkWord

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
    words: Mapping[str, CollectorWord]  # the last ones of each pod, by its uid


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
    words: dict[str, CollectorWord] = field(default_factory=dict)  # by uid of pod
    gaps_until_ns: dict[str, int] = field(default_factory=dict)  # by entry

    def judge(self, observed: Observed, previous: Mapping[str, Any], now_ns: int) -> Health:
        """Take one look into account. `previous` is the FeedSet's status as it stands."""
        sinks = self._judge_sinks(observed, previous, now_ns)
        venues = self._judge_venues(observed, now_ns)
        gaps = self._judge_gaps(observed.pods, now_ns)
        spoken = {pod.uid: pod.collector for pod in observed.pods if pod.collector is not None}
        alive = {pod.uid for pod in observed.pods}
        self.words = {uid: word for uid, word in (self.words | spoken).items() if uid in alive}
        return Health(sinks=sinks, venues=venues, gaps=gaps, words=dict(self.words))

    def _judge_sinks(self, observed: Observed, previous: Mapping[str, Any], now_ns: int) -> dict[str, str | None]:
        heard: dict[str, list[SinkWord]] = {}
        for pod in observed.pods:
            for word in pod.sinks:
                heard.setdefault(word.sink, []).append(word)
        for name in SinkName:
            if (before := _bad_before(previous, name)) is not None:
                self.beliefs.setdefault(f"sink {name}", _Belief(before))
        for sink, words in heard.items():
            since_ns = now_ns - max((word.trouble_for_ns for word in words if word.trouble), default=0)
            self._look(f"sink {sink}", _sink_trouble(words), since_ns, now_ns, _SINK_PATIENCE)
        known = {sink.value: self.beliefs.get(f"sink {sink}") for sink in sorted(SinkName)}
        return {sink: belief.bad_reason for sink, belief in known.items() if belief is not None}

    def _judge_venues(self, observed: Observed, now_ns: int) -> dict[_Place, str]:
        """A venue is away from a collector when it is from every live copy that tells."""
        told: dict[_Place, list[str | None]] = {}
        for pod in observed.pods:
            if pod.collector is not None and pod.is_ready and not pod.is_ending:
                told.setdefault((pod.entry, pod.shard), []).append(pod.collector.trouble)
        for (entry, shard), troubles in told.items():
            trouble = troubles[0] if all(troubles) else None
            self._look(f"venue {entry} {shard}", trouble, now_ns, now_ns, _VENUE_PATIENCE)
        places = sorted({(pod.entry, pod.shard) for pod in observed.pods})
        known = {place: self.beliefs.get(f"venue {place[0]} {place[1]}") for place in places}
        return {place: belief.bad_reason for place, belief in known.items() if belief and belief.bad_reason}

    def _judge_gaps(self, pods: tuple[PodState, ...], now_ns: int) -> frozenset[str]:
        """Gaps that were there when a pod was first heard are no news."""
        for pod in pods:
            if pod.collector is None:
                continue
            before = self.words.get(pod.uid, pod.collector)
            if pod.collector.gaps > before.gaps:
                self.gaps_until_ns[pod.entry] = now_ns + GAPS_REMEMBERED_NS
        self.gaps_until_ns = {entry: until for entry, until in self.gaps_until_ns.items() if until > now_ns}
        return frozenset(self.gaps_until_ns)

    def _look(self, key: str, trouble: str | None, since_ns: int, now_ns: int, patience: tuple[int, int]) -> None:
        """`since_ns` is when the trouble began."""
        belief = self.beliefs.setdefault(key, _Belief(None))
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
