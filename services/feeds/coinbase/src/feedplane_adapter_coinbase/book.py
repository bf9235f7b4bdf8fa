"""Order books: a whole `snapshot` on the socket, then `l2update`s in the order of arrival. There is no sequence and no checksum."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels, check_levels, is_zero, plain
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import MarketType

from .wire import EXCHANGE, Product, Side, iso_ns

_SPOT = MarketType.SPOT


class L2Snapshot(msgspec.Struct, gc=False):
    """`{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]],"time":"..."}`; old frames have no `time`."""

    product_id: Product
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    time: str = ""


class L2Update(msgspec.Struct, gc=False):
    """`{"type":"l2update","product_id":"BTC-USD","changes":[["buy","22356.270000","0.00000000"]],"time":"2022-08-04T15:25:05.010758Z"}`."""

    product_id: Product
    changes: list[tuple[Side, str, str]]
    time: str = ""


def decode_snapshot(data: L2Snapshot, recv_ns: int) -> BookSnapshot:
    """The whole book, best first. Source: Exchange WebSocket channels, "Level2 channel", read 2026-11-20."""
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=data.product_id,
        ts_event_ns=iso_ns(data.time, "snapshot") if data.time else None,
        ts_recv_ns=recv_ns,
        bids=usable_levels(data.bids, "snapshot"),
        asks=usable_levels(data.asks, "snapshot"),
    )


def decode_l2update(data: L2Update, ts_event_ns: int | None, recv_ns: int) -> DepthDiff:
    """Absolute sizes: `buy` changes bids, `sell` asks; zero in any padding removes. `ts_event_ns`: of the newest change, or of the frame before it."""
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    for side, price, size in data.changes:
        (bids if side == "buy" else asks).append((price, size))
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=data.product_id,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        bids=usable_levels(bids, "l2update") if bids else bids,
        asks=usable_levels(asks, "l2update") if asks else asks,
    )


def usable_levels(levels: Levels, channel: str) -> Levels:
    """The levels without those whose price or size is NaN or negative: the venue has been seen to send such, and the rest of the frame is right.

    Raises: DecodeError for anything else that is no number.
    Source: tardis-node, Coinbase mapper, read 2026-11-20.
    """
    try:
        return check_levels(levels, channel)
    except DecodeError:
        return check_levels([level for level in levels if _is_usable(level, channel)], channel)


def _is_usable(level: Sequence[str], channel: str) -> bool:
    for text in level:
        if text.lstrip("+-").lower() == "nan":
            return False
        value = plain(text, channel, "level")
        if value[0] == "-" and not is_zero(value):
            return False
    return True


class SocketOrderRule:
    """The socket's order is all there is: a snapshot replaces, every update applies.

    Source: Exchange WebSocket channels, "Level2 channel" (delivery is promised; no sequence), read 2026-11-20.
    """

    source = SnapshotSource.SOCKET
    sequenced = False
    snapshot_depth: int | None = None
    max_depth: int | None = None

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return None
