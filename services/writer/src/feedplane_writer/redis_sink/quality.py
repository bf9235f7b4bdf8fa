"""How far a value can be trusted, from what the journal says of its feed. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from feedplane_core.names import Feed, Mode, State


class Quality(IntEnum):
    """Worst last."""

    GOOD = 0
    RESYNC = 1  # the book is being rebuilt, or a hole is open: the value was true and is old
    STALE = 2  # nobody looks after the value


STOPPED: Final = "stopped"
"""A collector's last word on every instrument."""

_OF_STATUS: Final = {
    "stale": Quality.STALE,
    "disconnected": Quality.STALE,
    STOPPED: Quality.STALE,
    "unsubscribed": Quality.STALE,
    "delisted": Quality.STALE,
    "resync": Quality.RESYNC,
    "fresh": Quality.GOOD,
    "connected": Quality.GOOD,
    "synced": Quality.GOOD,
}
_HEARD: Final = frozenset({"fresh", "connected"})
"""Say that a channel speaks again, not that the book is right."""


def of_status(status: str) -> Quality | None:
    """`None` for a status that says nothing of values: listed, halted, ..."""
    return _OF_STATUS.get(status)


def only_heard(status: str) -> bool:
    """Whether the status lifts `STALE` but not `RESYNC`."""
    return status in _HEARD


def of_gap(feed: str, state: str) -> Quality:
    """An open hole is a feed that is interrupted now; closed or repaired, it goes on."""
    if state != "open":
        return Quality.GOOD
    return Quality.RESYNC if feed == Feed.OB_DIFFS else Quality.STALE


_TEXTS: Final = {
    Mode.LIVE: (State.SYNCED.value, State.RESYNC.value, State.STALE.value),
    Mode.SIM: (State.SIM.value, f"{State.SIM}-{State.RESYNC}", f"{State.SIM}-{State.STALE}"),
    Mode.REPLAY: (State.REPLAY.value, f"{State.REPLAY}-{State.RESYNC}", f"{State.REPLAY}-{State.STALE}"),
}


def state_text(mode: Mode, quality: Quality) -> str:
    """The `state` field. Simulated and replayed data are never `synced`, and a reader that looks for `stale` alone must not take them for live either."""
    return _TEXTS[mode][quality]
