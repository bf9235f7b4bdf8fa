"""Conditions of a FeedSet and every reason they can have, in words for people. The reference page is held to this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from feedplane_core.names import NS_PER_S

MESSAGE_CHARS: Final = 1_000


class ConditionType(StrEnum):
    """In the order in which they stand in the status."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    PROGRESSING = "Progressing"
    SINKS_HEALTHY = "SinksHealthy"
    DEGRADED = "Degraded"


class Reason(StrEnum):
    """Why a condition is as it is."""

    ALL_COLLECTORS_READY = "AllCollectorsReady"
    NOT_ACCEPTED = "NotAccepted"
    SYMBOLS_REFUSED = "SymbolsRefused"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_HELD = "RolloutHeld"
    SYMBOLS_CHANGING = "SymbolsChanging"
    COLLECTORS_NOT_READY = "CollectorsNotReady"
    COLLECTORS_FAILING = "CollectorsFailing"
    VENUE_SILENT = "VenueSilent"
    SINK_UNHEALTHY = "SinkUnhealthy"
    PAUSED = "Paused"
    TERMINATING = "Terminating"
    VALID = "Valid"
    INVALID = "Invalid"
    OBJECTS_REFUSED = "ObjectsRefused"
    ROLLOUT_COMPLETE = "RolloutComplete"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    HEALTHY = "Healthy"
    NOT_REPORTED = "NotReported"
    COLLECTORS_MISSING = "CollectorsMissing"
    SETTINGS_REJECTED = "SettingsRejected"
    RECENT_GAPS = "RecentGaps"
    AS_EXPECTED = "AsExpected"


MEANINGS: Final[Mapping[ConditionType, tuple[tuple[str, Reason, str], ...]]] = {
    ConditionType.READY: (
        ("True", Reason.ALL_COLLECTORS_READY, "All that is wanted is rolled out, streams, and is taken by the sinks."),
        ("False", Reason.TERMINATING, "The FeedSet is being deleted; writers drain what is left."),
        ("False", Reason.NOT_ACCEPTED, "The newest spec is refused (see Accepted); the last good one keeps running."),
        ("False", Reason.OBJECTS_REFUSED, "The newest spec is not applied in full (see Progressing)."),
        ("False", Reason.COLLECTORS_FAILING, "A pod does not run: image, secret, node, crash. The message names it."),
        ("False", Reason.ROLLOUT_HELD, "The newest spec waits for a sink to take data again."),
        ("False", Reason.PAUSED, "Paused, and what runs is not what the spec says."),
        ("False", Reason.ROLLING_OUT, "Pods are being started or replaced."),
        ("False", Reason.COLLECTORS_NOT_READY, "A pod is missing, or has not subscribed and synced all books yet."),
        ("False", Reason.SYMBOLS_CHANGING, "Running collectors are taking up other symbols."),
        ("False", Reason.SYMBOLS_REFUSED, "The exchange lists no such symbols; all others stream."),
        ("False", Reason.VENUE_SILENT, "An exchange has brought nothing for 30 s on some feeds."),
        ("False", Reason.SINK_UNHEALTHY, "A sink takes no data; the journals keep it meanwhile."),
    ),
    ConditionType.ACCEPTED: (
        ("True", Reason.VALID, "The spec passed all checks."),
        ("False", Reason.INVALID, "The spec contradicts itself or what exchanges offer; the message names each field."),
        ("False", Reason.SYMBOLS_REFUSED, "Included symbols that the exchange does not list; all others stream."),
    ),
    ConditionType.PROGRESSING: (
        ("True", Reason.ROLLING_OUT, "Pods are being started or replaced, one collector of an exchange at a time."),
        ("True", Reason.SYMBOLS_CHANGING, "Running collectors are taking up other symbols; no pod is replaced."),
        ("True", Reason.TERMINATING, "The FeedSet is being deleted."),
        (
            "False",
            Reason.OBJECTS_REFUSED,
            "The API server refuses an object, or its name is taken by one that is not the FeedSet's.",
        ),
        ("False", Reason.ROLLOUT_COMPLETE, "Every pod runs the newest settings."),
        (
            "False",
            Reason.SINK_UNHEALTHY,
            "Held: no pod is ended while a sink takes no data, its journal may be the only copy.",
        ),
        (
            "False",
            Reason.DEADLINE_EXCEEDED,
            "No progress for `rollout.progressDeadlineSeconds`; the old pods keep running.",
        ),
        ("False", Reason.PAUSED, "`spec.paused`, or annotation `feedplane.io/reconcile: disabled`."),
        ("False", Reason.NOT_ACCEPTED, "The newest spec is refused; nothing is rolled out."),
    ),
    ConditionType.SINKS_HEALTHY: (
        ("True", Reason.HEALTHY, "Every writer stores what it reads."),
        ("False", Reason.SINK_UNHEALTHY, "A sink has taken no data for 10 s, or writers are 90 s behind."),
        ("Unknown", Reason.NOT_REPORTED, "No writer has told yet."),
    ),
    ConditionType.DEGRADED: (
        ("True", Reason.COLLECTORS_FAILING, "A pod does not run."),
        ("True", Reason.COLLECTORS_MISSING, "Pods that had been rolled out are lost or not ready."),
        ("True", Reason.VENUE_SILENT, "An exchange has brought nothing for 30 s on some feeds."),
        ("True", Reason.SETTINGS_REJECTED, "A running collector cannot read its new symbols and keeps the last ones."),
        ("True", Reason.RECENT_GAPS, "Gaps were declared in the last 15 minutes."),
        ("False", Reason.AS_EXPECTED, "Nothing is lost."),
    ),
}
"""Per condition: status, reason, meaning; of several that hold, the first is told (in the order of `status.py`)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition is now."""

    status: str  # "True", "False", "Unknown"
    reason: Reason
    message: str = ""


def render_conditions(
    verdicts: Mapping[ConditionType, Verdict], previous: Mapping[str, Any], generation: int, now_ns: int
) -> list[dict[str, Any]]:
    """As they stand in the status. The time of transition stays while the status does."""
    return [
        _condition(kind, verdicts[kind], previous_condition(previous, kind), generation, now_ns)
        for kind in ConditionType
    ]


def _condition(
    kind: ConditionType, verdict: Verdict, before: Mapping[str, Any], generation: int, now_ns: int
) -> dict[str, Any]:
    is_same = before.get("status") == verdict.status and "lastTransitionTime" in before
    return {
        "type": kind.value,
        "status": verdict.status,
        "reason": verdict.reason.value,
        "message": shortened(verdict.message),
        "lastTransitionTime": before["lastTransitionTime"] if is_same else _rfc3339(now_ns),
        "observedGeneration": generation,
    }


def previous_condition(status: Mapping[str, Any], kind: ConditionType) -> Mapping[str, Any]:
    """Empty where the status has none of this type."""
    found: Mapping[str, Any]
    for found in status.get("conditions") or ():
        if found.get("type") == kind:
            return found
    return {}


def shortened(message: str) -> str:
    """Cut to what a person reads."""
    return message if len(message) <= MESSAGE_CHARS else message[: MESSAGE_CHARS - 4] + " ..."


def _rfc3339(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // NS_PER_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
