"""Order books: spot increments with the snapshot that is asked for, linear books with their snapshot in-band, and whole pictures of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.names import NS_PER_MS

from .levels import in_base, levels_of
from .symbols import Place
from .wire import EXCHANGE, MaybeNumber, Ms, Seq

SPOT = "mbp"
PICTURE = "depth"
LINEAR = "depth.high_freq"
LINEAR_DEPTH = 150
SPOT_DEPTHS = {"5": 5, "20": 20, "150": 150, "400": 400}
REFRESH_DEPTHS = {"5": 5, "10": 10, "20": 20}


class Increment(msgspec.Struct, frozen=True, gc=False):
    """`{"seqNum":100020146795,"prevSeqNum":100020146794,"bids":[],"asks":[[645.14,26.75597395914065]]}`; of answers and `refresh` without `prevSeqNum`."""

    seqNum: Seq
    prevSeqNum: Seq | None = None
    bids: MaybeNumber = msgspec.UNSET
    asks: MaybeNumber = msgspec.UNSET


class SpotFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.btcusdt.mbp.150","ts":1573199608679,"tick":{...}}`."""

    ts: Ms
    tick: Increment


class SpotAnswer(msgspec.Struct, frozen=True, gc=False):
    """`{"id":"id21","rep":"market.btcusdt.mbp.150","status":"ok","ts":1698359289261,"data":{...}}`; older ones have no `ts`."""

    data: Increment
    ts: Ms | None = None


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Of `depth.*`: `{"asks":[[13081.9,206]],"bids":[[13071.9,38]],"event":"snapshot","id":131597620,"mrid":131597620,"ts":1603707712356,"version":1512467}`."""

    version: Seq
    bids: MaybeNumber = msgspec.UNSET
    asks: MaybeNumber = msgspec.UNSET
    ts: Ms | None = None
    event: Literal["snapshot", "update", ""] = ""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.BTC-USDT.depth.size_150.high_freq","tick":{...},"ts":1603707712357}`."""

    tick: Tick
    ts: Ms | None = None


def decode_increment(raw: SpotFrame, place: Place, recv_ns: int) -> DepthDiff | None:
    """What has changed since `prevSeqNum`. `None` for a frame without the number before: nothing can be joined to it.

    Source: HTX documents, "Market By Price (incremental update)", read 2026-11-20.
    """
    tick = raw.tick
    if tick.prevSeqNum is None:
        return None
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=raw.ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=levels_of(tick.bids, SPOT),
        asks=levels_of(tick.asks, SPOT),
        last_seq=tick.seqNum,
        prev_seq=tick.prevSeqNum,
    )


def decode_picture(tick: Increment, ts: int | None, place: Place, depth: int, recv_ns: int) -> BookSnapshot:
    """The answer to a request, or a frame of `mbp.refresh.<depth>`: the whole book of that depth."""
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=ts * NS_PER_MS if ts is not None else None,
        ts_recv_ns=recv_ns,
        bids=levels_of(tick.bids, SPOT),
        asks=levels_of(tick.asks, SPOT),
        last_seq=tick.seqNum,
        depth=depth,
    )


def decode_depth(raw: Frame, place: Place, depth: int, recv_ns: int) -> list[MarketEvent]:
    """`event` `update` is a diff; `snapshot`, or none at all, the whole book. The time is when the book was looked at, not when it was sent.

    Source: HTX documents, "Subscribe Incremental Market Depth Data", "Market Depth", read 2026-11-20.
    """
    tick = raw.tick
    ts = tick.ts if tick.ts is not None else raw.ts
    ts_event_ns = ts * NS_PER_MS if ts is not None else None
    bids, asks = _levels(tick.bids, place), _levels(tick.asks, place)
    if tick.event == "update":
        return [
            DepthDiff(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=place.name,
                ts_event_ns=ts_event_ns,
                ts_recv_ns=recv_ns,
                bids=bids,
                asks=asks,
                last_seq=tick.version,
            )
        ]
    return [
        BookSnapshot(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=place.name,
            ts_event_ns=ts_event_ns,
            ts_recv_ns=recv_ns,
            bids=bids,
            asks=asks,
            last_seq=tick.version,
            depth=depth,
        )
    ]


def _levels(raw: MaybeNumber, place: Place) -> Levels:
    levels = levels_of(raw, PICTURE)
    return in_base(levels, place.book_qty) if place.book_qty is not None else levels


class SpotRule:
    """`prevSeqNum` of each increment is the `seqNum` of the one before; the first one's is that of the snapshot. Numbers are not consecutive.

    Source: HTX documents, "Market By Price (incremental update)", steps of keeping a book; notice of 2020-05-28; read 2026-11-20.
    """

    source = SnapshotSource.SOCKET
    sequenced = True

    def __init__(self, depth: int) -> None:
        self.snapshot_depth: int | None = depth
        self.max_depth: int | None = depth

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        """An increment that begins before the snapshot and ends after it has its number inside: only another snapshot helps."""
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        # First of all: an increment without changes may keep the number, and is no repeat.
        if diff.prev_seq == last_seq:
            return Verdict.APPLY
        is_old = last_seq is not None and diff.last_seq is not None and diff.last_seq <= last_seq
        return Verdict.STALE if is_old else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None


class LinearRule:
    """`version` of each update is the one before plus one, on one connection; the snapshot carries the first.

    Source: HTX documents, "Subscribe Incremental Market Depth Data"; ccxt pull request 15661; read 2026-11-20.
    """

    source = SnapshotSource.SOCKET
    sequenced = True
    snapshot_depth: int | None = LINEAR_DEPTH
    max_depth: int | None = LINEAR_DEPTH

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        """What was seen before a snapshot is in it, however it was numbered: a new subscription may count anew."""
        seen_ns, whole_ns = diff.ts_event_ns, snapshot.ts_event_ns
        if seen_ns is not None and whole_ns is not None and seen_ns < whole_ns:
            return Verdict.STALE
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.last_seq == last_seq + 1 else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None
