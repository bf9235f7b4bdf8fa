"""What gives way when the journal cannot take everything: order book diffs first, then L1, trades last; each range a `Gap`."""

from __future__ import annotations

from enum import IntEnum

import msgspec
from feedplane_core.events import DepthDiff, Event, Gap, Trade
from feedplane_core.identity import raw_hash
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed


class Pressure(IntEnum):
    """How full the way to the disk is."""

    NONE = 0
    HIGH = 1
    HIGHER = 2
    FULL = 3


_SHED_FROM = {
    Feed.OB_DIFFS: Pressure.HIGH,
    Feed.OB_TOP5: Pressure.HIGH,
    Feed.OB_TOP20: Pressure.HIGH,
    Feed.ADVANCED: Pressure.HIGH,
    Feed.L1: Pressure.HIGHER,
}


def sheds(pressure: Pressure, feed: Feed) -> bool:
    """Whether `feed` gives way at this pressure; feeds that are not named give way last, with the trades."""
    return pressure >= _SHED_FROM.get(feed, Pressure.FULL)


class ShedRange(msgspec.Struct):
    """A run of events of one feed of one instrument that were let go."""

    instrument: Instrument
    feed: Feed
    from_ns: int
    to_ns: int
    first_seq: int | None
    last_seq: int | None
    rows: int = 1


class ShedLedger:
    """Ranges that are being shed; closed into gap rows once a second and when pressure falls."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[str, Feed], ShedRange] = {}

    def add(self, instrument: Instrument, feed: Feed, event: Event) -> None:
        first, last = _sequence(event)
        at_ns = event.ts_recv_ns if event.ts_event_ns is None else min(event.ts_event_ns, event.ts_recv_ns)
        held = self._ranges.get((instrument.instrument, feed))
        if held is None:
            self._ranges[instrument.instrument, feed] = ShedRange(
                instrument, feed, at_ns, event.ts_recv_ns, first, last
            )
            return
        held.from_ns = min(held.from_ns, at_ns)
        held.to_ns = max(held.to_ns, event.ts_recv_ns)
        held.first_seq = first if held.first_seq is None else held.first_seq
        held.last_seq = last if last is not None else held.last_seq
        held.rows += 1

    def take(self) -> list[Gap]:
        """Gap rows of all ranges, which start anew."""
        ranges, self._ranges = self._ranges, {}
        return [shed_gap(r) for r in ranges.values()]


def shed_gap(r: ShedRange) -> Gap:
    """A shed range as a hole: both ends lie inside it."""
    return Gap(
        exchange=r.instrument.exchange,
        market_type=r.instrument.market_type,
        instrument=r.instrument.instrument,
        ts_event_ns=None,
        ts_recv_ns=r.to_ns,
        gap_id=raw_hash(r.instrument.exchange, r.instrument.instrument, r.feed, "shed", r.from_ns, r.first_seq),
        gap_feed=r.feed,
        from_ns=r.from_ns,
        to_ns=r.to_ns,
        from_seq=r.first_seq,
        to_seq=r.last_seq,
        reason="shed",
        state="closed",
    )


def _sequence(event: Event) -> tuple[int | None, int | None]:
    if isinstance(event, DepthDiff):
        return event.first_seq, event.last_seq
    if isinstance(event, Trade) and event.trade_id.isdigit():
        number = int(event.trade_id)
        return number, number
    return None, None
