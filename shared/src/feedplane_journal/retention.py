"""Which segments go, and when the collector has to shed: pure decisions over sizes, ages and cursors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Budget(NamedTuple):
    """What a journal may take: bytes on disk in all, and how long a segment that every sink has passed is kept."""

    max_bytes: int
    retention_ns: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed segment as retention sees it. `closed_ns`: when the next one was created."""

    index: int
    size_bytes: int
    closed_ns: int
    is_passed: bool


class Plan(NamedTuple):
    """Segment indices, oldest first. `delete`: passed by every sink. `drop`: not, so that what is in them must be declared as gaps."""

    delete: tuple[int, ...]
    drop: tuple[int, ...]


class Pressure(StrEnum):
    """How near the cap the unread data is. At `high` the collector sheds book diffs before encoding, at `full` also L1; trades go last."""

    NONE = "none"
    HIGH = "high"
    FULL = "full"


_HIGH = 0.70
_FULL = 0.90


def plan(
    sealed: Sequence[Sealed], total_bytes: int, budget: Budget, free_bytes: int, reserve_bytes: int, now_ns: int
) -> Plan:
    """What to remove so that `total_bytes` (all segments and the group to be written) fits the budget.

    Passed segments go when they are older than the retention, and sooner where the budget or the disk (`free_bytes` under `reserve_bytes`) is short. Unread ones
    go for the budget only, oldest first: a disk that somebody else filled must not cost data that is already safe.
    """
    over = max(total_bytes - budget.max_bytes, 0)
    wanted = max(over, reserve_bytes - free_bytes)
    delete: list[int] = []
    for segment in sealed:
        if not segment.is_passed:
            break
        if now_ns - segment.closed_ns < budget.retention_ns and wanted <= 0:
            break
        delete.append(segment.index)
        wanted -= segment.size_bytes
        over -= segment.size_bytes
    drop: list[int] = []
    for segment in sealed[len(delete) :]:
        if over <= 0:
            break
        drop.append(segment.index)
        over -= segment.size_bytes
    return Plan(tuple(delete), tuple(drop))


def pressure(unread_bytes: int, budget: Budget, free_bytes: int, reserve_bytes: int) -> Pressure:
    """How hard the collector must shed, by what cannot be removed (`unread_bytes`) and by the room left on the disk."""
    if unread_bytes >= _FULL * budget.max_bytes or free_bytes < reserve_bytes:
        return Pressure.FULL
    if unread_bytes >= _HIGH * budget.max_bytes or free_bytes < 2 * reserve_bytes:
        return Pressure.HIGH
    return Pressure.NONE
