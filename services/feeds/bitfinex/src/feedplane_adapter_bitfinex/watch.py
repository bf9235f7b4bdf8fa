"""What one socket is owed and has counted: acknowledgements, the numbers of its frames, the heartbeats of its channels."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from feedplane_core.names import NS_PER_S

ACK_WITHIN_NS = 10 * NS_PER_S
"""Since the last answer: a subscription without one by then was dropped."""
MAX_REMINDERS = 5
SILENT_NS = 35 * NS_PER_S
"""Each channel says something every 15 s, if only `hb`."""
NEVER = 1 << 63


class Place(Enum):
    """Where a frame stands in the numbers of its socket."""

    NEXT = "next"
    REPEATED = "repeated"
    AFTER_LOSS = "after_loss"


class Numbers:
    """One counter a socket over every array frame of every channel, so that a lost frame is known, if not whose it was.

    Source: v2 docs, WS general, SEQ_ALL; no gap in some 3,800 frames of 2021 and 2026.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def take(self, number: int) -> Place:
        last = self._last
        if last is not None and number <= last:
            return Place.REPEATED
        self._last = number
        return Place.NEXT if last is None or number == last + 1 else Place.AFTER_LOSS


class Acks:
    """Subscriptions without an answer. `due_ns` is when to ask again: by the receive times of frames, so that a recording gives the same."""

    def __init__(self, names: Iterable[str]) -> None:
        self._owed: dict[str, None] = dict.fromkeys(names)
        self._reminders = 0
        self.due_ns = 0 if self._owed else NEVER  # 0: the first frame starts the clock

    def on_answer(self, name: str, recv_ns: int) -> None:
        """Taken, or refused for good."""
        self._owed.pop(name, None)
        self._wait(recv_ns)

    def _wait(self, recv_ns: int) -> None:
        self.due_ns = recv_ns + ACK_WITHIN_NS if self._owed and self._reminders < MAX_REMINDERS else NEVER

    def remind(self, recv_ns: int) -> list[str]:
        """What to ask for again now, at `due_ns` or later. A repeat that was not needed is answered `dup`, with the id."""
        is_first = not self.due_ns
        if not is_first:
            self._reminders += 1
        self._wait(recv_ns)
        return [] if is_first else list(self._owed)


class Heartbeats:
    """When each channel spoke last."""

    def __init__(self) -> None:
        self._heard_ns: dict[int, int] = {}

    def on_frame(self, chan_id: int, recv_ns: int) -> None:
        self._heard_ns[chan_id] = recv_ns

    def forget(self, chan_id: int) -> None:
        self._heard_ns.pop(chan_id, None)

    def found_silent(self, recv_ns: int) -> bool:
        """Whether some channel has been silent for too long while others spoke; told once, then they begin anew."""
        if not any(recv_ns - heard_ns > SILENT_NS for heard_ns in self._heard_ns.values()):
            return False
        self._heard_ns.clear()
        return True
