"""The status of a FeedSet: what is, in words that change only when something has. No rates, no counts that run, no times
but those of transitions: an idle FeedSet is never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedplane_feedset.errors import FeedSetError

from feedplane_operator.conditions import (
    ConditionType,
    Reason,
    Verdict,
    previous_condition,
    render_conditions,
)
from feedplane_operator.desired import Desired
from feedplane_operator.health import Health, render_sinks
from feedplane_operator.naming import digest
from feedplane_operator.observed import Observed
from feedplane_operator.rollout import ROLLOUT_ANNOTATION, Decision
from feedplane_operator.transitions import Event, events_of
from feedplane_operator.views import View, render_views

_SHOWN = 6
_REMEDY = (
    f"pods are kept for what they could not store; annotation {ROLLOUT_ANNOTATION}=force replaces them all the same"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The new status, and what to tell of the way there."""

    status: dict[str, Any]
    events: tuple[Event, ...]


def render_status(
    desired: Desired,
    decision: Decision,
    observed: Observed,
    health: Health,
    previous: Mapping[str, Any],
    *,
    generation: int,
    now_ns: int,
    refused: Sequence[str] = (),
) -> Outcome:
    """`previous` is the status as it stands, empty at first; equal looks give an equal status. `refused` tells of
    objects that could not be applied.
    """
    views = render_views(desired, decision, observed, health)
    verdicts = {
        ConditionType.ACCEPTED: _accepted(views),
        ConditionType.PROGRESSING: _progressing(views, decision, refused),
        ConditionType.SINKS_HEALTHY: _sinks_healthy(desired, health),
        ConditionType.DEGRADED: _degraded(views, health),
    }
    verdicts[ConditionType.READY] = _ready(views, decision, verdicts)
    is_rolled_out = all(view.is_rolled_out for view in views)
    rows = _rows(views, previous)
    status = {
        "observedGeneration": generation,
        "appliedVersion": desired.version if is_rolled_out else previous.get("appliedVersion", ""),
        "collectors": {
            "desired": sum(view.collector.copies for view in views),
            "ready": sum(view.ready for view in views),
            "updated": sum(view.updated for view in views),
        },
        "symbols": sum(row["symbols"] for row in rows),
        "exchanges": rows,
    }
    return _outcome(status, verdicts, previous, generation, now_ns)


def render_refused(previous: Mapping[str, Any], error: FeedSetError, *, generation: int, now_ns: int) -> Outcome:
    """The spec cannot be accepted: what ran before runs on, and its rows stay as they are."""
    problems = _few([str(problem) for problem in error.problems])
    verdicts = _verdicts_before(previous) | {
        ConditionType.READY: Verdict("False", Reason.NOT_ACCEPTED, problems),
        ConditionType.ACCEPTED: Verdict("False", Reason.INVALID, problems),
        ConditionType.PROGRESSING: Verdict("False", Reason.NOT_ACCEPTED, problems),
    }
    return _outcome(_rest(previous) | {"observedGeneration": generation}, verdicts, previous, generation, now_ns)


def render_ending(previous: Mapping[str, Any], message: str, *, generation: int, now_ns: int) -> Outcome:
    """The FeedSet is being deleted; `message` says what is waited for."""
    ending = {
        ConditionType.READY: Verdict("False", Reason.TERMINATING, message),
        ConditionType.PROGRESSING: Verdict("True", Reason.TERMINATING, message),
    }
    status = _rest(previous) | {"observedGeneration": generation}
    return _outcome(status, _verdicts_before(previous) | ending, previous, generation, now_ns)


def _rest(previous: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in previous.items() if key != "conditions"}


def _verdicts_before(previous: Mapping[str, Any]) -> dict[ConditionType, Verdict]:
    """As they were; before there was any, what can be said of nothing."""
    verdicts = {
        ConditionType.ACCEPTED: Verdict("True", Reason.VALID),
        ConditionType.SINKS_HEALTHY: Verdict("Unknown", Reason.NOT_REPORTED),
        ConditionType.DEGRADED: Verdict("False", Reason.AS_EXPECTED),
    }
    for kind in ConditionType:
        if before := previous_condition(previous, kind):
            verdicts[kind] = Verdict(before["status"], Reason(before["reason"]), before.get("message", ""))
    return verdicts


def _outcome(
    status: dict[str, Any],
    verdicts: Mapping[ConditionType, Verdict],
    previous: Mapping[str, Any],
    generation: int,
    now_ns: int,
) -> Outcome:
    status["conditions"] = render_conditions(verdicts, previous, generation, now_ns)
    return Outcome(status, tuple(events_of(verdicts, previous)))


# Conditions


def _accepted(views: list[View]) -> Verdict:
    refused = [text for view in views for text in view.refused]
    return Verdict("False", Reason.SYMBOLS_REFUSED, _few(refused)) if refused else Verdict("True", Reason.VALID)


def _progressing(views: list[View], decision: Decision, refused: Sequence[str]) -> Verdict:
    if decision.is_paused:
        return Verdict("False", Reason.PAUSED, "nothing is applied")
    if refused:
        return Verdict("False", Reason.OBJECTS_REFUSED, _few(refused))
    if decision.held:
        held = [f"{name} ({why})" for name, why in sorted(decision.held.items())]
        return Verdict("False", Reason.SINK_UNHEALTHY, f"{_few(held)}; {_REMEDY}")
    late = [f"{view.base}: {view.deadline_message}" for view in views if view.deadline_message]
    if late:
        return Verdict("False", Reason.DEADLINE_EXCEEDED, _few(late))
    rolling = [
        f"{view.base}: {view.updated} of {view.collector.copies} updated" for view in views if not view.is_rolled_out
    ]
    if rolling:
        return Verdict("True", Reason.ROLLING_OUT, _few(rolling))
    if decision.kept:
        return Verdict("True", Reason.ROLLING_OUT, _few(f"{name} stays {why}" for name, why in decision.kept.items()))
    changing = [view.base for view in views if view.is_changing]
    if changing:
        return Verdict("True", Reason.SYMBOLS_CHANGING, _few(changing))
    return Verdict("False", Reason.ROLLOUT_COMPLETE)


def _sinks_healthy(desired: Desired, health: Health) -> Verdict:
    used = {sink for collector in desired.collectors for sink in collector.sinks}
    sinks = {sink: why for sink, why in health.sinks.items() if sink in used}
    if message := render_sinks(sinks):
        return Verdict("False", Reason.SINK_UNHEALTHY, message)
    return (
        Verdict("True", Reason.HEALTHY) if sinks else Verdict("Unknown", Reason.NOT_REPORTED, "no writer has told yet")
    )


def _degraded(views: list[View], health: Health) -> Verdict:
    """The first loss names the reason, the message names all. Pods that a rollout has not started yet are no loss."""
    losses = [
        (Reason.COLLECTORS_FAILING, [problem for view in views for problem in view.problems]),
        (Reason.COLLECTORS_MISSING, [_count(view) for view in views if view.is_rolled_out and _is_short(view)]),
        (Reason.VENUE_SILENT, [f"{view.base}: {view.venue_trouble}" for view in views if view.venue_trouble]),
        (Reason.SETTINGS_REJECTED, [f"{view.base}: {view.complaint}" for view in views if view.complaint]),
        (Reason.RECENT_GAPS, [f"{entry}: gaps were declared" for entry in sorted(health.gaps)]),
    ]
    found = [(reason, texts) for reason, texts in losses if texts]
    if not found:
        return Verdict("False", Reason.AS_EXPECTED)
    return Verdict("True", found[0][0], _few(text for _, texts in found for text in texts))


def _ready(views: list[View], decision: Decision, others: Mapping[ConditionType, Verdict]) -> Verdict:
    """The first obstacle, in the order in which a person would look."""
    progressing, sinks = others[ConditionType.PROGRESSING], others[ConditionType.SINKS_HEALTHY]
    accepted = others[ConditionType.ACCEPTED]
    problems = [problem for view in views for problem in view.problems]
    silent = [f"{view.base}: {view.venue_trouble}" for view in views if view.venue_trouble]
    obstacles = [
        (Reason.OBJECTS_REFUSED, [progressing.message] if progressing.reason is Reason.OBJECTS_REFUSED else []),
        (Reason.COLLECTORS_FAILING, problems),
        (Reason.ROLLOUT_HELD, [progressing.message] if decision.held else []),
        (Reason.PAUSED, [view.base for view in views if decision.is_paused and not view.is_rolled_out]),
        (Reason.ROLLING_OUT, [progressing.message] if progressing.reason is Reason.ROLLING_OUT else []),
        (Reason.ROLLING_OUT, [progressing.message] if progressing.reason is Reason.DEADLINE_EXCEEDED else []),
        (Reason.COLLECTORS_NOT_READY, [_count(view) for view in views if _is_short(view)]),
        (Reason.SYMBOLS_CHANGING, [view.base for view in views if view.is_changing]),
        (Reason.SYMBOLS_REFUSED, [accepted.message] if accepted.status == "False" else []),
        (Reason.VENUE_SILENT, silent),
        (Reason.SINK_UNHEALTHY, [sinks.message] if sinks.status == "False" else []),
    ]
    for reason, texts in obstacles:
        if texts:
            return Verdict("False", reason, _few(texts))
    wanted = sum(view.collector.copies for view in views)
    return Verdict("True", Reason.ALL_COLLECTORS_READY, f"{wanted}/{wanted} collectors ready")


def _is_short(view: View) -> bool:
    return view.ready < view.collector.copies


def _count(view: View) -> str:
    return f"{view.base}: {view.ready} of {view.collector.copies} ready"


# Rows


def _rows(views: list[View], previous: Mapping[str, Any]) -> list[dict[str, Any]]:
    before = {row["name"]: row for row in previous.get("exchanges") or ()}
    return [_row(name, group, before.get(name, {})) for name, group in _by_entry(views).items()]


def _row(name: str, group: list[View], before: Mapping[str, Any]) -> dict[str, Any]:
    """Discovered symbols are known when every collector has told; until then the number that was told before stands."""
    symbols = [view.symbols for view in group]
    known = [count for count in symbols if count is not None]
    return {
        "name": name,
        "desired": sum(view.collector.copies for view in group),
        "ready": sum(view.ready for view in group),
        "symbols": sum(known) if len(known) == len(symbols) else before.get("symbols", 0),
        "configHash": digest([view.collector.config_hash for view in group]),
        "reason": next((view.word for view in group if view.word != "Streaming"), "Streaming"),
    }


def _by_entry(views: list[View]) -> dict[str, list[View]]:
    groups: dict[str, list[View]] = {}
    for view in views:
        groups.setdefault(view.collector.entry, []).append(view)
    return groups


def _few(texts: Iterable[str]) -> str:
    """The first of them; how many more there are."""
    listed = list(dict.fromkeys(texts))
    more = f"; and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return "; ".join(listed[:_SHOWN]) + more
