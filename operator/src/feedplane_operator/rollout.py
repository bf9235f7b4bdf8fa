"""Which of the desired objects may be applied now, and which that are not desired any more have to stay for a while.

What ends no pod may be applied at any time. What ends one waits

- while its sink takes no data (`rollout.holdWhenSinkUnhealthy`): the pod's journal may be the only copy,
- for its turn: one collector of an exchange at a time, since venues count connections per address and the overlap needs
  twice as many; so settings that do not work stop at the first collector,
- with claims, for the other live copy of the same collector,
- when it is not wanted any more, for the collectors of the same exchange that take over what it followed.

The symbols of a collector that is to be replaced change with it: where shards are added, no symbol is dropped before the
shard that gets it follows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from feedplane_feedset.model import FeedSet

from feedplane_operator.desired import Collector, Desired
from feedplane_operator.health import Health
from feedplane_operator.observed import DeploymentState, Observed
from feedplane_operator.surroundings import Object

PAUSE_ANNOTATION: Final = "feedplane.io/reconcile"  # "disabled": as spec.paused
ROLLOUT_ANNOTATION: Final = "feedplane.io/rollout"  # "force": no hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What may be done now."""

    is_paused: bool = False
    apply: tuple[Object, ...] = ()  # in this order
    held: Mapping[str, str] = field(default_factory=dict)  # name of a Deployment -> the sink's trouble
    waiting: tuple[str, ...] = ()  # Deployments that wait for their turn
    kept: Mapping[str, str] = field(default_factory=dict)  # Deployments not wanted any more that stay for now -> why
    kept_places: frozenset[tuple[str, str]] = frozenset()  # entry and shard of those

    def keeps(self, live: Object) -> bool:
        """Whether an object that is not desired has to stay: such a Deployment, and what belongs to it."""
        if self.is_paused:
            return True
        metadata = live["metadata"]
        if live["kind"] == "Deployment":
            return metadata["name"] in self.kept
        labels = metadata.get("labels") or {}
        return (labels.get("feedplane.io/entry"), labels.get("feedplane.io/shard")) in self.kept_places


def is_paused(feedset: FeedSet, annotations: Mapping[str, str]) -> bool:
    """Whether everything is to be left as it is."""
    return feedset.spec.paused or annotations.get(PAUSE_ANNOTATION) == "disabled"


def decide(
    feedset: FeedSet, desired: Desired, observed: Observed, health: Health, annotations: Mapping[str, str]
) -> Decision:
    """`annotations` are those of the FeedSet object."""
    if is_paused(feedset, annotations):
        return Decision(is_paused=True)
    is_forced = annotations.get(ROLLOUT_ANNOTATION) == "force"
    is_holding = feedset.spec.rollout.hold_when_sink_unhealthy and not is_forced
    troubles = {sink: why for sink, why in health.sinks.items() if why is not None} if is_holding else {}
    turns = frozenset(_turns(desired, observed))
    steps = [_step(collector, observed, troubles, turns) for collector in desired.collectors]
    kept = {} if is_forced else dict(_kept(desired, observed, troubles))
    return Decision(
        apply=(*desired.shared, *(each for step in steps for each in step.apply)),
        held={name: why for step in steps for name, why in step.held.items()},
        waiting=tuple(name for step in steps for name in step.waiting),
        kept=kept,
        kept_places=frozenset(observed.deployments[name].place for name in kept),
    )


@dataclass(slots=True)
class _Step:
    """What becomes of one collector's objects."""

    apply: list[Object] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


def _step(collector: Collector, observed: Observed, troubles: Mapping[str, str], turns: frozenset[str]) -> _Step:
    """A sink counts that the running pods write to and that still is wanted: what is for no other is not worth a wait."""
    behind = _behind(collector, observed)
    step = _Step()
    for each in (each for each in collector.objects if each["kind"] == "Deployment"):
        name = each["metadata"]["name"]
        live = observed.deployments.get(name)
        trouble = None if live is None else _trouble(live.sinks.intersection(collector.sinks), troubles)
        _replace(step, each, live, name in behind, trouble, name in turns)
    is_left = bool(behind) and all(each["metadata"]["name"] not in behind for each in step.apply)
    others = (each for each in collector.objects if each["kind"] != "Deployment")
    step.apply[:0] = [each for each in others if not (is_left and each["metadata"]["name"] == collector.symbols_map)]
    return step


def _replace(
    step: _Step, wanted: Object, live: DeploymentState | None, is_behind: bool, trouble: str | None, is_its_turn: bool
) -> None:
    name = wanted["metadata"]["name"]
    if trouble is not None and live is not None and (is_behind or live.is_rolling):
        step.held[name] = trouble
        if not is_behind:  # its rollout is on its way: it stands still, and the pods that run go on running
            step.apply.append(wanted | {"spec": wanted["spec"] | {"paused": True}})
    elif is_behind and not is_its_turn:
        step.waiting.append(name)
    else:
        step.apply.append(wanted)


def _trouble(sinks: Collection[str], troubles: Mapping[str, str]) -> str | None:
    return "; ".join(f"{sink}: {troubles[sink]}" for sink in sorted(sinks) if sink in troubles) or None


def _kept(desired: Desired, observed: Observed, troubles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    wanted = {name for collector in desired.collectors for name in collector.deployments}
    sinks = {sink for collector in desired.collectors for sink in collector.sinks}
    for name, state in sorted(observed.deployments.items()):
        if name in wanted:
            continue
        heirs = [collector for collector in desired.collectors if collector.exchange == state.exchange]
        late = [heir.base for heir in heirs if not is_complete(heir, observed)]
        if (trouble := _trouble(state.sinks & sinks, troubles)) is not None:
            yield name, trouble
        elif late:
            yield name, f"until {', '.join(late)} has taken over"


def is_complete(collector: Collector, observed: Observed) -> bool:
    """Whether all its pods are of the newest template and ready, and no other is left."""
    states = [observed.deployments.get(name) for name in collector.deployments]
    return not _behind(collector, observed) and all(state is not None and state.is_complete for state in states)


def is_rolled_out(collector: Collector, observed: Observed) -> bool:
    """Whether its newest template has once run completely; pods that were lost since are no rollout."""
    states = [observed.deployments.get(name) for name in collector.deployments]
    return not _behind(collector, observed) and all(state is not None and state.is_rolled_out for state in states)


def _behind(collector: Collector, observed: Observed) -> list[str]:
    """Its Deployments that are there and have to replace or end pods. What is missing is made at once."""
    copies = collector.copies // len(collector.deployments)
    return [
        name
        for name, wanted in zip(collector.deployments, collector.template_hashes, strict=True)
        if (state := observed.deployments.get(name)) is not None
        and (state.template_hash != wanted or state.replicas > copies)
    ]


def _busy(collector: Collector, observed: Observed) -> list[str]:
    """Its Deployments that are missing or on their way."""
    states = {name: observed.deployments.get(name) for name in collector.deployments}
    return [name for name, state in states.items() if state is None or not state.is_complete]


def _turns(desired: Desired, observed: Observed) -> Iterator[str]:
    """Deployments whose pods may be replaced now: what is on its way already goes first, whatever it is on its way to;
    else the first that is behind, exchange by exchange and live copy by live copy.
    """
    by_exchange: dict[str, list[Collector]] = {}
    for collector in desired.collectors:
        by_exchange.setdefault(collector.exchange, []).append(collector)
    for collectors in by_exchange.values():
        behind = [name for collector in collectors for name in _behind(collector, observed)]
        busy = [name for collector in collectors for name in _busy(collector, observed)]
        yield from [name for name in behind if name in busy] or (behind[:1] if not busy else [])
