"""Events: what is told once, when a condition comes to another reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from feedplane_operator.conditions import ConditionType, Reason, Verdict, previous_condition, shortened

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class Event:
    """To be posted once, beside the FeedSet."""

    type: EventType
    reason: str
    message: str


ARRIVALS: Final[Mapping[tuple[ConditionType, Reason], tuple[EventType, str]]] = {
    (ConditionType.PROGRESSING, Reason.ROLLING_OUT): ("Normal", "RolloutStarted"),
    (ConditionType.PROGRESSING, Reason.ROLLOUT_COMPLETE): ("Normal", "RolloutComplete"),
    (ConditionType.PROGRESSING, Reason.SINK_UNHEALTHY): ("Warning", "RolloutHeld"),
    (ConditionType.PROGRESSING, Reason.DEADLINE_EXCEEDED): ("Warning", "RolloutStuck"),
    (ConditionType.PROGRESSING, Reason.OBJECTS_REFUSED): ("Warning", "ObjectsRefused"),
    (ConditionType.PROGRESSING, Reason.PAUSED): ("Normal", "Paused"),
    (ConditionType.ACCEPTED, Reason.INVALID): ("Warning", "ConfigRejected"),
    (ConditionType.ACCEPTED, Reason.SYMBOLS_REFUSED): ("Warning", "SymbolsRefused"),
    (ConditionType.SINKS_HEALTHY, Reason.SINK_UNHEALTHY): ("Warning", "SinkUnhealthy"),
}
"""Events by the condition and the reason it comes to. Degraded tells its own reasons, as warnings."""

RECOVERIES: Final[Mapping[ConditionType, str]] = {
    ConditionType.ACCEPTED: "ConfigAccepted",
    ConditionType.SINKS_HEALTHY: "SinkRecovered",
    ConditionType.DEGRADED: "Recovered",
}
"""Events by the condition that is well again."""


def events_of(verdicts: Mapping[ConditionType, Verdict], previous: Mapping[str, Any]) -> Iterator[Event]:
    """`previous` is the status that stands; in the first one nothing recovers."""
    for kind in ConditionType:
        verdict, before = verdicts[kind], previous_condition(previous, kind)
        is_other_refusal = kind is ConditionType.ACCEPTED and before.get("message") != shortened(verdict.message)
        if before.get("reason") == verdict.reason and not (verdict.status == "False" and is_other_refusal):
            continue
        if (kind, verdict.reason) in ARRIVALS:
            yield Event(*ARRIVALS[kind, verdict.reason], verdict.message or "every pod runs the newest settings")
        elif kind is ConditionType.DEGRADED and verdict.status == "True":
            yield Event("Warning", verdict.reason.value, verdict.message)
        elif kind in RECOVERIES and _is_bad(kind, before) and not _is_bad(kind, {"status": verdict.status}):
            yield Event("Normal", RECOVERIES[kind], f"was: {before.get('message', '')}")


def _is_bad(kind: ConditionType, condition: Mapping[str, Any]) -> bool:
    return bool(condition.get("status") == ("True" if kind is ConditionType.DEGRADED else "False"))
