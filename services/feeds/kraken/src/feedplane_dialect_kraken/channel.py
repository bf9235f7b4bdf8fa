"""What all channels share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import orjson
from feedplane_core.dialect import Happening, Market, Message, Venue, Want
from feedplane_core.names import Feed


class BaseStream(ABC):
    """What every channel shares: its place, and that no channel but `book` carries a checksum."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, *wants: Want) -> None:
        self.instrument = instrument
        self.wants = wants
        self._now: Callable[[], int] = venue.now_ns
        self._market: Market = venue.markets[instrument]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


def frame_of(channel: str, kind: str, data: object, **more: object) -> bytes:
    return orjson.dumps({"channel": channel, "type": kind, **more, "data": data})
