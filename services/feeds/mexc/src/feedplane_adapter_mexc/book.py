"""Books: diffs of spot (`aggre.depth`) and futures (`push.depth`), snapshots by REST, partial books, and the rule that joins them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels, check_levels, non_negative, positive
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.names import NS_PER_MS, MarketType

from .protobuf import Message
from .symbols import Place, base_qty
from .wire import EXCHANGE, Ms, Number, Version, decoding, text_of, version_of

DEPTH, LIMIT = "aggre.depth", "limit.depth"
PUSH, PUSH_FULL = "push.depth", "push.depth.full"
SNAPSHOT = "book_snapshot"
SPOT_DEPTH, FUTURES_DEPTH = 5_000, 1_000
"""Levels per side that are asked for; a futures answer of 1,000 has been seen to be exactly that."""
PARTIAL_DEPTHS = frozenset({5, 10, 20})

_NUMBER = r"[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+"
_PRICE = rf"(?=[0.]*+[1-9]){_NUMBER}"
_IS_PLAIN = re.compile(rf"\[(?:\[{_PRICE},{_NUMBER}(?:,[0-9]++)?+\],?+)*+\]").fullmatch
_find_levels = re.compile(rf"\[({_NUMBER}),({_NUMBER})").findall


class PushData(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`begin` and `end` are there on the merged stream; `cts` since 2026-06-18."""

    asks: Number
    bids: Number
    version: Version
    begin: Version | None = None
    end: Version | None = None
    cts: Ms | None = None


class Push(msgspec.Struct, frozen=True, gc=False):
    """`{"symbol":"DOGE_USDT","data":{"cts":1789498405531,"asks":[[0.080100,2868,1]],"bids":[[0.07969,0,0]],"end":8752808003,"begin":8752807948,"version":8752808003},"channel":"push.depth","ts":1789498405534}`

    A level is `[price, contracts, orders]`; levels of a merged diff are in no order.
    """

    channel: str
    symbol: str
    data: PushData
    ts: Ms


class SpotBook(msgspec.Struct, frozen=True, gc=False):
    """`GET /api/v3/depth`."""

    lastUpdateId: Version
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    timestamp: Ms | None = None


class FuturesBook(msgspec.Struct, frozen=True, gc=False):
    """`data` of `GET /api/v1/contract/depth/{symbol}`."""

    asks: Number
    bids: Number
    version: Version
    timestamp: Ms | None = None


_pairs = msgspec.json.Decoder(list[list[Number]]).decode


def decode_depth(body: Message, place: Place, symbol: str, ts_event_ns: int | None, recv_ns: int) -> list[MarketEvent]:
    """Absolute quantities, 0 removes. Source: spot v3 docs, "Diff.Depth Stream", and the schema, read 2026-11-20."""
    first = version_of(body.fromVersion, DEPTH, "fromVersion")
    last = version_of(body.toVersion, DEPTH, "toVersion")
    bids, asks = check_levels(_items(body.bids), DEPTH), check_levels(_items(body.asks), DEPTH)
    return [_diff(place, symbol, ts_event_ns, recv_ns, bids, asks, first, last, DEPTH)]


def decode_limit(
    body: Message, place: Place, symbol: str, ts_event_ns: int | None, recv_ns: int, depth: int | None
) -> list[MarketEvent]:
    """A whole book of so many levels with each frame; not subscribed here."""
    return [
        BookSnapshot(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=symbol,
            ts_event_ns=ts_event_ns,
            ts_recv_ns=recv_ns,
            bids=check_levels(_items(body.bids), LIMIT),
            asks=check_levels(_items(body.asks), LIMIT),
            last_seq=version_of(body.version, LIMIT, "version"),
            depth=depth,
        )
    ]


def _items(levels: Sequence[Message]) -> Levels:
    return [(level.price, level.quantity) for level in levels]


def decode_push(raw: Push, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """The merged stream numbers its frames `begin` to `end`; that of every version, and frames of before 2025-04, have `version` alone.

    Source: contract docs, "Public channels, Depth", with the measurement of 2026-09-15 (28,841 merged and 175,766 unmerged frames without a hole).
    """
    data = raw.data
    first, last = data.begin or data.version, data.end or data.version
    bids, asks = _both_sides(data, place, symbol, PUSH)
    return [_diff(place, symbol, _engine_ns(raw), recv_ns, bids, asks, first, last, PUSH)]


def decode_full(raw: Push, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """The best levels, as many as were asked for (the frame does not say how many); not subscribed here."""
    bids, asks = _both_sides(raw.data, place, symbol, PUSH_FULL)
    return [_snapshot(place, symbol, _engine_ns(raw), recv_ns, bids, asks, raw.data.version, None)]


def _engine_ns(raw: Push) -> int:
    return (raw.ts if raw.data.cts is None else raw.data.cts) * NS_PER_MS


def decode_spot_book(raw: SpotBook, place: Place, symbol: str, recv_ns: int, depth: int) -> BookSnapshot:
    at_ns = None if raw.timestamp is None else raw.timestamp * NS_PER_MS
    bids, asks = check_levels(raw.bids, SNAPSHOT), check_levels(raw.asks, SNAPSHOT)
    return _snapshot(place, symbol, at_ns, recv_ns, bids, asks, raw.lastUpdateId, depth)


def decode_futures_book(raw: FuturesBook, place: Place, symbol: str, recv_ns: int, depth: int) -> BookSnapshot:
    """Raises: DecodeError `venue_error` for a book without a level: what the venue answers for a contract that it has taken off."""
    bids, asks = _both_sides(raw, place, symbol, SNAPSHOT)
    if not bids and not asks:
        raise DecodeError(SNAPSHOT, "venue_error", f"{symbol[:64]}: an empty book, as of a contract that is gone")
    at_ns = None if raw.timestamp is None else raw.timestamp * NS_PER_MS
    return _snapshot(place, symbol, at_ns, recv_ns, bids, asks, raw.version, depth)


def _both_sides(data: PushData | FuturesBook, place: Place, symbol: str, channel: str) -> tuple[Levels, Levels]:
    bids, asks = pairs_of(data.bids, channel), pairs_of(data.asks, channel)
    if not place.counts_contracts:
        return bids, asks
    return _in_base(bids, place, symbol, channel), _in_base(asks, place, symbol, channel)


def pairs_of(levels: Number, channel: str) -> Levels:
    """`[[0.080100,2868,1],...]` as pairs of exact text.

    Two regular expressions in C where all is as usual; exponents, spaces and whatever else take the long way.
    Raises: DecodeError.
    """
    text = bytes(levels).decode(errors="replace")
    if _IS_PLAIN(text):
        return _find_levels(text)
    if text == "null":
        return []
    rows = decoding(channel, _pairs, bytes(levels))
    return [_pair(row, channel) for row in rows]


def _pair(row: list[Number], channel: str) -> tuple[str, str]:
    if len(row) not in (2, 3):
        raise DecodeError(channel, "schema", f"a level of {len(row)} numbers")
    return positive(text_of(row[0]), channel, "price"), non_negative(text_of(row[1]), channel, "contracts")


def _in_base(levels: Levels, place: Place, symbol: str, channel: str) -> Levels:
    known = place.memo.get
    return [(price, known(qty) or base_qty(place, symbol, qty, price, channel)) for price, qty in levels]


def _snapshot(
    place: Place,
    symbol: str,
    ts_event_ns: int | None,
    recv_ns: int,
    bids: Levels,
    asks: Levels,
    version: int,
    depth: int | None,
) -> BookSnapshot:
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        bids=bids,
        asks=asks,
        last_seq=version,
        depth=depth,
    )


def _diff(
    place: Place,
    symbol: str,
    ts_event_ns: int | None,
    recv_ns: int,
    bids: Levels,
    asks: Levels,
    first: int,
    last: int,
    channel: str,
) -> DepthDiff:
    if first > last:
        raise DecodeError(channel, "schema", f"versions from {first} to {last}")
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        bids=bids,
        asks=asks,
        first_seq=first,
        last_seq=last,
    )


class Rule:
    """A snapshot at V continues with the diff that holds V+1, and every diff begins after the end of the one before.

    The documents of spot ask for another snapshot where `fromVersion` is greater than the snapshot's version, which taken literally refuses V+1 itself. A diff that
    begins earlier leaves no hole, for sizes are absolute, and is taken.
    Source: spot v3 docs, "How to build a local order book"; contract docs, "Depth", read 2026-11-20; tardis-node takes the same.
    """

    source = SnapshotSource.REST
    sequenced = True
    max_depth: int | None = None

    def __init__(self, market: MarketType | None) -> None:
        self.snapshot_depth: int | None = SPOT_DEPTH if market in (None, MarketType.SPOT) else FUTURES_DEPTH

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
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
