"""What all channels share: the envelope, units, and sizes as text or as integers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import orjson
from feedplane_core.dialect import Happening, Market, Message, Venue, Want
from feedplane_core.events import MarketEvent
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .listing import SPOT

INTERVALS_S = {
    "10s": 10,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "4h": 14400,
    "8h": 28800,
    "1d": 86400,
    "7d": 604800,
}
PUSH_DELAY_MS = 3
"""`time_ms` of a frame is so much after what it tells of."""


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


class Asked:
    """What a topic is of: the instrument, the channel without its market, its parameters, and whether contract sizes are texts (`X-Gate-Size-Decimal: 1`)."""

    def __init__(self, venue: Venue, market: Market, channel: str, parameters: Sequence[str], has_texts: bool) -> None:
        self.venue = venue
        self.market = market
        self.channel = channel
        self.parameters = tuple(parameters)
        self.has_texts = has_texts

    @property
    def is_spot(self) -> bool:
        return self.market.listing.market_type is SPOT

    def size(self, text: str) -> object:
        """As the venue writes it: spot amounts and, where asked for, contracts as text; contracts else as integers."""
        return text if self.is_spot or self.has_texts else int(text)


class BaseStream(ABC):
    """A channel of one instrument; none of this venue carries a checksum."""

    feeds: frozenset[Feed] = frozenset()
    name = ""

    def __init__(self, asked: Asked, *wants: Want) -> None:
        self._asked = asked
        self._market = asked.market
        self.instrument = asked.market.listing.instrument
        self.wants = wants

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None

    def _message(self, at_ns: int, result: object, *events: MarketEvent) -> Message:
        """Sent a little after `at_ns`."""
        return Message(payload=orjson.dumps(envelope(self._asked.channel, pushed_ms(at_ns), result)), events=events)


def pushed_ms(at_ns: int) -> int:
    return ms(at_ns) + PUSH_DELAY_MS


def envelope(channel: str, at_ms: int, result: object) -> dict[str, object]:
    return {
        "time": at_ms * NS_PER_MS // NS_PER_S,
        "time_ms": at_ms,
        "channel": channel,
        "event": "update",
        "result": result,
    }
