"""Books: `obu` of the UTA system with its snapshot on the socket, `level2` of the classic one on top of a REST snapshot, and the rules that join them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels, scaled
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent

from .quotes import quote
from .symbols import data_of
from .units import Units
from .wire import (
    EXCHANGE,
    Seq,
    Stamp,
    Symbol,
    decoding,
    integer_of,
    ns_of,
    number_text,
    pairs_of,
    priced_levels,
)

OBU, LEVEL2, LEVEL2_FUTURES, PARTIAL, SNAPSHOT = "obu", "level2", "contractLevel2", "level2Depth", "snapshot"
UTA_DEPTH = 500
"""Levels per side that `obu` maintains; what is pushed beyond is reported with size 0."""
SPOT_REST_DEPTH = 100
"""The deepest spot snapshot that needs no key."""

_PARTIAL_DEPTHS = {"5": 5, "50": 50}


class ObuData(msgspec.Struct, frozen=True, gc=False):
    s: Symbol
    O: Seq  # noqa: E741 (the venue's name)
    C: Seq
    M: Stamp
    a: list[tuple[str, str]]
    b: list[tuple[str, str]]


class Obu(msgspec.Struct, frozen=True, gc=False):
    """`{"T":"obu.SPOT","dp":"increment@10ms","t":"delta","P":...,"d":{"C":33629695393,"M":1781672136333000000,"O":33629695388,"a":[],"b":[["65928.9","0"]],"s":"BTC-USDT"}}`."""

    dp: str
    t: str
    d: ObuData


class WideObuData(msgspec.Struct, frozen=True, gc=False):
    """With `rpiFilter` 1 a row of futures is `[price, size without RPI, RPI size]`."""

    s: Symbol
    O: Seq  # noqa: E741
    C: Seq
    M: Stamp
    a: list[list[str]]
    b: list[list[str]]


class WideObu(msgspec.Struct, frozen=True, gc=False):
    dp: str
    t: str
    d: WideObuData


class Changes(msgspec.Struct, frozen=True, gc=False):
    """Rows of `[price, size, sequence]`; a row of price "0" changes no level."""

    asks: list[tuple[str, str, str]]
    bids: list[tuple[str, str, str]]


class Level2(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/market/level2`, without `time` in 2021.

    `{"changes":{"asks":[["18906","0.00331","14103845"]],"bids":[]},"sequenceEnd":14103847,"sequenceStart":14103844,"symbol":"BTC-USDT","time":1663747970273}`
    """

    symbol: Symbol
    changes: Changes
    sequenceStart: Seq
    sequenceEnd: Seq
    time: Stamp | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/contractMarket/level2`: `{"sequence":1705411242393,"change":"0.20645,buy,1","timestamp":1705708800010}`: price, side, new size."""

    sequence: Seq
    change: str
    timestamp: Stamp | None = None


class Partial(msgspec.Struct, frozen=True, gc=False):
    """`data` of `level2Depth5|50` of both markets; spot numbers none of them."""

    asks: list[tuple[msgspec.Raw, msgspec.Raw]]
    bids: list[tuple[msgspec.Raw, msgspec.Raw]]
    timestamp: Stamp
    sequence: Seq | None = None


class SnapshotBody(msgspec.Struct, frozen=True, gc=False):
    """`data` of `level2_100` (spot: text, `time` in ms) and `level2/snapshot` (futures: numbers, `ts` in ns)."""

    sequence: str | int
    asks: list[tuple[msgspec.Raw, msgspec.Raw]] | None
    bids: list[tuple[msgspec.Raw, msgspec.Raw]] | None
    time: Stamp | None = None
    ts: Stamp | None = None


_snapshot = msgspec.json.Decoder(SnapshotBody)


def narrow(raw: WideObu) -> Obu:
    """Prices and sizes alone, RPI orders left out. Raises: DecodeError."""
    d = raw.d
    data = ObuData(s=d.s, O=d.O, C=d.C, M=d.M, a=pairs_of(d.a, OBU), b=pairs_of(d.b, OBU))
    return Obu(dp=raw.dp, t=raw.t, d=data)


def decode_obu(raw: Obu, units: Units, recv_ns: int) -> MarketEvent:
    """A snapshot, a delta of absolute sizes, or at depth 1 the best bid and ask. Source: UTA docs, "Orderbook", and frames of 2026-09-22."""
    d = raw.d
    if d.O > d.C:
        raise DecodeError(OBU, "schema", f"O {d.O} is above C {d.C}")
    ts_event_ns = ns_of(d.M, OBU)
    if raw.dp == "1":
        (bid, bid_size), (ask, ask_size) = _best(d.b), _best(d.a)
        return quote(units, (bid, bid_size, ask, ask_size), d.C, ts_event_ns, recv_ns, OBU)
    bids, asks = units.levels(priced_levels(d.b, OBU), OBU), units.levels(priced_levels(d.a, OBU), OBU)
    if raw.t == "delta":
        return _diff(units, bids, asks, d.O, d.C, ts_event_ns, recv_ns)
    depth = UTA_DEPTH if raw.dp.startswith("increment") else _PARTIAL_DEPTHS.get(raw.dp)
    if raw.t != "snapshot" or depth is None:
        raise DecodeError(OBU, "unknown_channel", f"depth {raw.dp[:16]!r}, type {raw.t[:16]!r}")
    return _whole(units, bids, asks, d.C, depth, ts_event_ns, recv_ns)


def decode_level2(raw: Level2, units: Units, recv_ns: int) -> DepthDiff:
    """Absolute sizes of the sequences from start to end. A message without a priced row still advances the sequence, so it is an event too."""
    if raw.sequenceStart > raw.sequenceEnd:
        raise DecodeError(LEVEL2, "schema", f"starts at {raw.sequenceStart}, ends at {raw.sequenceEnd}")
    return _diff(
        units,
        priced_levels(_in_order(raw.changes.bids), LEVEL2),
        priced_levels(_in_order(raw.changes.asks), LEVEL2),
        raw.sequenceStart,
        raw.sequenceEnd,
        None if raw.time is None else ns_of(raw.time, LEVEL2),
        recv_ns,
    )


def _in_order(rows: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Rows as pairs; where a price is named twice the row of the higher sequence comes last, for rows are not sorted by sequence."""
    if len(rows) > 1 and len({row[0] for row in rows}) < len(rows):
        rows = sorted(rows, key=lambda row: integer_of(row[2], LEVEL2, "sequence"))
    return [(price, size) for price, size, _ in rows]


def decode_change(raw: Change, units: Units, recv_ns: int) -> DepthDiff:
    """One level: `price,side,size`. The third item is the new size, although the prose of the documents calls it a sequence."""
    parts = raw.change.split(",")
    if len(parts) != 3 or parts[1] not in ("buy", "sell"):
        raise DecodeError(LEVEL2_FUTURES, "schema", "change is not price,side,size")
    levels = units.levels(priced_levels([(parts[0], parts[2])], LEVEL2_FUTURES), LEVEL2_FUTURES)
    bids, asks = (levels, []) if parts[1] == "buy" else ([], levels)
    ts_event_ns = None if raw.timestamp is None else ns_of(raw.timestamp, LEVEL2_FUTURES)
    return _diff(units, bids, asks, raw.sequence, raw.sequence, ts_event_ns, recv_ns)


def decode_partial(raw: Partial, units: Units, depth: int, recv_ns: int) -> BookSnapshot:
    """The best 5 or 50 levels. Never subscribed: they are not mixed with diffs."""
    bids, asks = _best_first(raw.bids, units, PARTIAL, -1), _best_first(raw.asks, units, PARTIAL, +1)
    return _whole(units, bids, asks, raw.sequence, depth, ns_of(raw.timestamp, PARTIAL), recv_ns)


def decode_snapshot(body: bytes, units: Units, depth: int | None, recv_ns: int) -> BookSnapshot:
    """Body of a REST snapshot, levels best first.

    Raises: DecodeError, `venue_error` also for the answer without data that an overloaded venue gives.
    """
    raw = decoding(SNAPSHOT, _snapshot.decode, data_of(body, SNAPSHOT))
    bids = _best_first(raw.bids or [], units, SNAPSHOT, -1)
    asks = _best_first(raw.asks or [], units, SNAPSHOT, +1)
    stamp = raw.ts if raw.ts is not None else raw.time
    ts_event_ns = None if stamp is None else ns_of(stamp, SNAPSHOT)
    return _whole(units, bids, asks, integer_of(raw.sequence, SNAPSHOT, "sequence"), depth, ts_event_ns, recv_ns)


def _best_first(rows: list[tuple[msgspec.Raw, msgspec.Raw]], units: Units, channel: str, sign: int) -> Levels:
    """Numbers or texts as levels in base units, in order: old examples have asks unsorted."""
    levels = priced_levels([(number_text(price), number_text(size)) for price, size in rows], channel)
    return units.levels(sorted(levels, key=lambda level: sign * scaled(level[0])), channel)


def _best(levels: list[tuple[str, str]]) -> tuple[str | None, str | None]:
    return levels[0] if levels else (None, None)


def _diff(
    units: Units, bids: Levels, asks: Levels, first: int, last: int, ts_event_ns: int | None, recv_ns: int
) -> DepthDiff:
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        bids=bids,
        asks=asks,
        first_seq=first,
        last_seq=last,
    )


def _whole(
    units: Units,
    bids: Levels,
    asks: Levels,
    last: int | None,
    depth: int | None,
    ts_event_ns: int | None,
    recv_ns: int,
) -> BookSnapshot:
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        bids=bids,
        asks=asks,
        last_seq=last,
        depth=depth,
    )


class Rule:
    """Sequences without a hole, for both systems: the next message begins at or before the last applied sequence plus one, and ends after it.

    Sources: UTA docs, "Orderbook" (`O == last C + 1` on each of 8,650 deltas of 2026-09-22); classic docs, "Level-2 market data" (calibration: `sequenceStart <=
    S + 1`), and of futures, where a message is one sequence, so that this is `previous + 1` exactly; read 2026-11-20.
    """

    sequenced = True

    def __init__(self, source: SnapshotSource, snapshot_depth: int | None, max_depth: int | None) -> None:
        self.source = source
        self.snapshot_depth = snapshot_depth
        self.max_depth = max_depth

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        """A snapshot of a new listing has sequence -1 or 0 and no levels: everything follows it. Source: tardis-node, KuCoin mapper, read 2026-11-20."""
        if snapshot.last_seq is None or snapshot.last_seq <= 0:
            return Verdict.APPLY
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.first_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.first_seq <= last_seq + 1 else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        """The venue sends none."""
        return None
