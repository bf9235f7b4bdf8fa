"""Books: a snapshot on the socket, then updates that name the one before them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import check_levels
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import NS_PER_MS, MarketType

from .wire import EXCHANGE, Id, Market, Millis, WireLevels

CHANNEL = "book"


class SnapshotFrame(msgspec.Struct, tag_field="type", tag="snapshot", gc=False):
    """`{"type":"snapshot","market":"BTC-USD","at":1763712000000,"seq":100,"bids":[["64250.10","0.5"]],"asks":[["64250.20","1"]]}`."""

    market: Market
    at: Millis
    seq: Id
    bids: WireLevels
    asks: WireLevels


class UpdateFrame(msgspec.Struct, tag_field="type", tag="update", gc=False):
    """`{"type":"update","market":"BTC-USD","at":1763712000100,"prev":100,"seq":103,"bids":[],"asks":[["64250.20","0"]]}`."""

    market: Market
    at: Millis
    prev: Id
    seq: Id
    bids: WireLevels
    asks: WireLevels


def decode_snapshot(frame: SnapshotFrame, recv_ns: int) -> BookSnapshot:
    """The whole book as of `seq`. Raises: DecodeError."""
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=frame.market,
        ts_event_ns=frame.at * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=check_levels(frame.bids, CHANNEL),
        asks=check_levels(frame.asks, CHANNEL),
        last_seq=frame.seq,
    )


def decode_update(frame: UpdateFrame, recv_ns: int) -> DepthDiff:
    """Absolute quantities of the levels that changed; 0 removes. Raises: DecodeError."""
    if frame.seq <= frame.prev:
        raise DecodeError(CHANNEL, "schema", "an update that follows itself")
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=frame.market,
        ts_event_ns=frame.at * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=check_levels(frame.bids, CHANNEL),
        asks=check_levels(frame.asks, CHANNEL),
        last_seq=frame.seq,
        prev_seq=frame.prev,
    )


class ToyBookRule:
    """Each update names the one before it, the first names the snapshot. Source: README.md, "Books"."""

    source = SnapshotSource.SOCKET
    sequenced = True
    snapshot_depth: int | None = None
    max_depth: int | None = None

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.prev_seq == last_seq else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None
