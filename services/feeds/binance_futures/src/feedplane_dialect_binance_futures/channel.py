"""What all channels share: names, units, and the shape of a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from feedplane_core.dialect import (
    Happening,
    Market,
    Message,
    Venue,
    Want,
)
from feedplane_core.names import NS_PER_MS, Feed, MarketType

EXCHANGE = "binance_futures"
INTERVALS_S = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "6h": 21600,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
}
FUNDING_INTERVAL_S = 8 * 3600
PUSH_DELAY_MS = 2
"""Push time `E` is so much after engine time `T`."""
LINEAR = MarketType.PERP_LINEAR


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


class BaseStream(ABC):
    """What every channel shares: its place, its feeds, and that no channel of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, wants: Sequence[Want]) -> None:
        self.instrument = instrument
        self.wants = tuple(wants)
        self._venue = venue

    def _market(self, happening: Happening) -> Market:
        return self._venue.markets[happening.instrument]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None
