"""Order books: `<s>@depth[@100ms]` diffs, `<s>@depth5|10|20` partial books, REST snapshots, and how they join."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import check_levels
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import MarketType

from .wire import EXCHANGE, Id, Symbol, WireLevels, event_ns

_SPOT = MarketType.SPOT


class DepthData(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """`{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}`."""

    E: int
    s: Symbol
    U: Id
    u: Id
    b: WireLevels
    a: WireLevels


class WholeBook(msgspec.Struct, gc=False):
    """`{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}`: REST snapshot and partial-depth stream alike."""

    lastUpdateId: Id
    bids: WireLevels
    asks: WireLevels


def decode_depth(data: DepthData, recv_ns: int) -> DepthDiff:
    """Absolute quantities of the levels that changed in updates `U..u`; 0 removes. The only time is `E`, that of the push.

    Source: WebSocket Streams, "Diff. Depth Stream", read 2026-11-20.
    """
    if data.u < data.U:
        raise DecodeError("depth", "schema", "first update id is beyond the last")
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=data.s,
        ts_event_ns=event_ns(data.E, "depth"),
        ts_recv_ns=recv_ns,
        bids=check_levels(data.b, "depth"),
        asks=check_levels(data.a, "depth"),
        first_seq=data.U,
        last_seq=data.u,
    )


def decode_whole_book(data: WholeBook, symbol: str, depth: int | None, recv_ns: int, channel: str) -> BookSnapshot:
    """A book as of `lastUpdateId`; neither symbol nor time is in the message. `depth`: levels per side that were asked for."""
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=symbol,
        ts_event_ns=None,
        ts_recv_ns=recv_ns,
        bids=check_levels(data.bids, channel),
        asks=check_levels(data.asks, channel),
        last_seq=data.lastUpdateId,
        depth=depth,
    )


class SpotBookRule:
    """A snapshot at L continues with the diff that holds L+1, every diff with `U == previous u + 1`.

    Source: spot API docs, WebSocket Streams, "How to manage a local order book correctly" (text of 2025-11-12), read 2026-11-20. That text asks for another
    snapshot where L < U of the first diff; recorded snapshots join with U == L+1, which leaves no hole and is taken.
    """

    source = SnapshotSource.REST
    sequenced = True
    max_depth: int | None = None

    def __init__(self, snapshot_depth: int) -> None:
        self.snapshot_depth: int | None = snapshot_depth

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.first_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.first_seq <= last_seq + 1 else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None
