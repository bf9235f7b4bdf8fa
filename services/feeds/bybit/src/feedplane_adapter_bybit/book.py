"""Books: `orderbook.<depth>.<symbol>`, a snapshot on the socket and numbered deltas, and the rule that joins them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels, check_levels
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.names import NS_PER_MS

from .symbols import Place, base_qty
from .wire import EXCHANGE, Id, Kind, Ms, check_symbol

CHANNEL = "orderbook"
DEPTHS = (50, 200, 1_000)
"""That can be subscribed on all markets."""
DECODED_DEPTHS = frozenset({25, 50, 100, 200, 500, 1_000})
"""With those of options and of before 2025-09-11, so that recordings read as what they are."""
DEFAULT_DEPTH = 200
RESTARTED = 1
"""`u` of the first frame after a restart of the service: a snapshot, whatever its type."""


class Data(msgspec.Struct, frozen=True, gc=False):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: Id


class Frame(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30240.00","0"]],"a":[],"u":177400507,"seq":66544703342},"cts":1687940967464}`

    `cts` is the time of the matching engine, `ts` that of the push.
    """

    type: Kind
    ts: Ms
    data: Data
    cts: Ms | None = None


def event_ns(raw: Frame) -> int:
    return (raw.ts if raw.cts is None else raw.cts) * NS_PER_MS


def decode_book(raw: Frame, place: Place, symbol: str, recv_ns: int, depth: int) -> list[MarketEvent]:
    """Absolute quantities, 0 removes.

    Source: v5 docs, "Orderbook", read 2026-11-20.
    """
    data = raw.data
    check_symbol(data.s, symbol, CHANNEL)
    bids: Levels = check_levels(data.b, CHANNEL)
    asks: Levels = check_levels(data.a, CHANNEL)
    if place.is_inverse:
        bids, asks = _in_base(bids, place, symbol), _in_base(asks, place, symbol)
    if raw.type == "snapshot" or data.u == RESTARTED:
        return [
            BookSnapshot(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=event_ns(raw),
                ts_recv_ns=recv_ns,
                bids=bids,
                asks=asks,
                last_seq=data.u,
                depth=depth,
            )
        ]
    return [
        DepthDiff(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=symbol,
            ts_event_ns=event_ns(raw),
            ts_recv_ns=recv_ns,
            bids=bids,
            asks=asks,
            first_seq=data.u,
            last_seq=data.u,
        )
    ]


def _in_base(levels: Levels, place: Place, symbol: str) -> Levels:
    return [(price, base_qty(place, symbol, qty, price, CHANNEL)) for price, qty in levels]


class Rule:
    """How books sync: the snapshot of the socket, then `u` by one.

    Source: v5 docs, "Get Orderbook" (`u` "is always in sequence"); barter-rs enforces `u == previous u + 1`. Not confirmed for every depth and category: with
    `is_consecutive` false any larger `u` will do.
    """

    source = SnapshotSource.SOCKET
    sequenced = True
    snapshot_depth: int | None = None

    def __init__(self, max_depth: int, *, is_consecutive: bool = True) -> None:
        self.max_depth: int | None = max_depth
        self._is_consecutive = is_consecutive

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return self.follows(snapshot.last_seq, diff)

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.last_seq == last_seq + 1 or not self._is_consecutive else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        """The venue sends none."""
        return None
