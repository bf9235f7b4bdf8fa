"""What all channels share: names, times, and the shape of a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from feedplane_core.dialect import Happening, Market, Message, Venue, Want
from feedplane_core.names import NS_PER_MS, Feed

EXCHANGE = "htx"
PERIOD_S = {
    "1min": 60,
    "5min": 300,
    "15min": 900,
    "30min": 1_800,
    "60min": 3_600,
    "4hour": 14_400,
    "1day": 86_400,
    "1week": 604_800,
}
PUSH_DELAY_MS = 2
"""Outer `ts` is so much after the time inside."""


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


class BaseStream(ABC):
    """What every channel shares: its place, its feeds, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, topic: str, instrument: str, *wants: Want) -> None:
        self.topic = topic
        self.instrument = instrument
        self.wants = tuple(wants)
        self._venue = venue

    def _market(self, name: str) -> Market:
        return self._venue.markets[name]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None
