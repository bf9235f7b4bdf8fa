"""Spot books: `book`, a snapshot on the socket, then updates in its order, each with a checksum over the best ten levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.names import MarketType

from .wire import EXCHANGE, Crc, Kind, Level, Name, levels_of, time_ns

CHANNEL = "book"
DEPTHS = (10, 25, 100, 500, 1_000)
DEFAULT_DEPTH = 100
CHECKED_LEVELS = 10
"""Whatever the subscribed depth."""
_SPOT = MarketType.SPOT


class Precision(NamedTuple):
    """Decimals that checksums are made with: `price_precision` and `qty_precision` of the pair."""

    price: int
    qty: int


class Data(msgspec.Struct, gc=False):
    symbol: Name
    bids: list[Level]
    asks: list[Level]
    checksum: Crc | None = None
    timestamp: str = ""


class Frame(msgspec.Struct, gc=False):
    """`{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}`"""

    type: Kind
    data: list[Data]


def decode_book(frame: Frame, recv_ns: int, depth_of: Callable[[str], int | None]) -> list[MarketEvent]:
    """Absolute quantities, 0 removes; levels in the order sent, for one price may come twice and the last one holds. `depth_of` is the subscribed depth of a symbol, if known.

    Source: Spot WebSocket v2, "Book" channel, read 2026-11-20.
    """
    is_snapshot = frame.type == "snapshot"
    events: list[MarketEvent] = []
    for data in frame.data:
        bids = levels_of(data.bids, CHANNEL) if data.bids else []
        asks = levels_of(data.asks, CHANNEL) if data.asks else []
        at_ns = time_ns(data.timestamp, CHANNEL)
        if is_snapshot:
            events.append(
                BookSnapshot(
                    exchange=EXCHANGE,
                    market_type=_SPOT,
                    instrument=data.symbol,
                    ts_event_ns=at_ns,
                    ts_recv_ns=recv_ns,
                    bids=bids,
                    asks=asks,
                    checksum=data.checksum,
                    depth=depth_of(data.symbol) or _depth_holding(max(len(bids), len(asks))),
                )
            )
        else:
            events.append(
                DepthDiff(
                    exchange=EXCHANGE,
                    market_type=_SPOT,
                    instrument=data.symbol,
                    ts_event_ns=at_ns,
                    ts_recv_ns=recv_ns,
                    bids=bids,
                    asks=asks,
                    checksum=data.checksum,
                )
            )
    return events


def _depth_holding(levels: int) -> int:
    return next((depth for depth in DEPTHS if depth >= levels), DEPTHS[-1])


@lru_cache(maxsize=1 << 16)
def _digits(text: str, decimals: int) -> str:
    """`45285.2` with one decimal -> `452852`; `0.001` with eight -> `100000`."""
    whole, _, fraction = text.partition(".")
    if len(fraction) > decimals:
        fraction = fraction[:decimals] + fraction[decimals:].rstrip("0")
    return (whole + fraction.ljust(decimals, "0")).lstrip("0")


def checksum(bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]], precision: Precision) -> int:
    """CRC-32 over the best ten asks, low to high, then the best ten bids, high to low: price then quantity, padded, without point and leading zeros.

    Source: API centre, "Book Checksum (v2)", both examples of which are tests; read 2026-11-20.
    """
    price_decimals, qty_decimals = precision
    text = ""
    for side in (asks, bids):
        for level in side[:CHECKED_LEVELS]:
            text += _digits(level[0], price_decimals) + _digits(level[1], qty_decimals)
    return crc32(text.encode())


class SpotRule:
    """The socket's order, both sides cut to `max_depth` after each update, and the checksum where the pair's precisions are known.

    `precisions` is the adapter's own table: the venue may change a precision while the book lives.
    Source: API centre, "Book Checksum (v2)", steps 1 to 5, read 2026-11-20.
    """

    source = SnapshotSource.SOCKET
    sequenced = False
    snapshot_depth: int | None = None

    def __init__(self, symbol: str, precisions: Mapping[str, Precision], max_depth: int) -> None:
        self.max_depth: int | None = max_depth
        self._symbol = symbol
        self._precisions = precisions

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        """A diff that came before the snapshot on its socket is contained in it."""
        return Verdict.STALE

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        precision = self._precisions.get(self._symbol)
        return None if precision is None else checksum(bids, asks, precision)
