"""Which subscriptions of a spot socket the venue has acknowledged: it does so by symbol, and drops requests above a rate that it does not publish."""

from __future__ import annotations

from collections.abc import Iterable

from feedplane_core.adapter import Channel, Frame
from feedplane_core.names import NS_PER_S

from .plan import SPOT, frames

PATIENCE_NS = 10 * NS_PER_S
"""Since the last answer: what has none by then was dropped."""
MAX_REMINDERS = 5
NEVER = 1 << 63


class Acks:
    """What is owed. `due_ns` is when to ask again: by the receive times of frames, so that a recording gives the same."""

    def __init__(self, channels: Iterable[Channel], book_depth: int) -> None:
        self._book_depth = book_depth
        self._owed: dict[tuple[str, str], Channel] = {(c.name, c.instrument): c for c in channels}
        self._reminders = 0
        self.due_ns = 0 if self._owed else NEVER  # 0: the first frame starts the clock

    @property
    def owed(self) -> int:
        return len(self._owed)

    def on_answer(self, name: str, symbol: str, recv_ns: int) -> None:
        """The venue has taken this channel of a symbol."""
        self._owed.pop((name, symbol), None)
        self._wait(recv_ns)

    def on_refusal(self, symbol: str, recv_ns: int) -> None:
        """The venue will have none of this symbol: asking again does not change it."""
        self._owed = {key: channel for key, channel in self._owed.items() if key[1] != symbol}
        self._wait(recv_ns)

    def _wait(self, recv_ns: int) -> None:
        self.due_ns = recv_ns + PATIENCE_NS if self._owed and self._reminders < MAX_REMINDERS else NEVER

    def remind(self, recv_ns: int) -> list[Frame]:
        """What to ask for again now, at `due_ns` or later."""
        is_first = not self.due_ns
        if not is_first:
            self._reminders += 1
        self.due_ns = recv_ns + PATIENCE_NS if self._reminders < MAX_REMINDERS else NEVER
        return [] if is_first else frames(SPOT, "subscribe", self._owed.values(), self._book_depth)
