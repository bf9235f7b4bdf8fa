"""Books: `books` and its kin, a snapshot on the socket and updates that name their predecessor, and the rule that joins them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from itertools import zip_longest
from typing import Annotated, Literal, TypeAlias
from zlib import crc32

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels, check_levels
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import NS_PER_MS

from .places import Place
from .wire import EXCHANGE, Body, Id, Ms, decoder, rows_of

CHANNEL = "books"
DEPTH = 400
DEPTHS = {"books": DEPTH, "books-l2-tbt": DEPTH, "books50-l2-tbt": 50}
"""Levels per side of the channels that send updates. The last two need a key and are never subscribed."""
TOP = "books5"
TOP_DEPTH = 5
CHECKSUM_LEVELS = 25
_SENT_CAP = 1_024
_CONTRACT_DECIMALS = Decimal("1e-8")
"""No contract is divided further."""

Prev: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 62) - 1)]
"""-1: of a snapshot."""
Crc: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]


class Level(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`["8476.98","415","0","13"]`: price, quantity, a dead field, number of orders. All four must be there: a row without its price would read as another level."""

    price: str
    qty: str
    dead: str
    orders: str


class Data(msgspec.Struct, frozen=True, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: Ms
    seqId: Id | None = None
    prevSeqId: Prev | None = None
    checksum: Crc = 0


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8477","0","0","0"]],"bids":[],"ts":"1597026383185","checksum":0,"prevSeqId":123456,"seqId":123457}]}`"""

    action: Literal["snapshot", "update"]
    data: list[Data]


class TopFrame(msgspec.Struct, frozen=True, gc=False):
    """`books5`: always whole, no `action`."""

    data: list[Data]


_body = decoder(Body[Data])


def decode_book(raw: Frame, place: Place, recv_ns: int, depth: int) -> list[MarketEvent]:
    """Absolute quantities, 0 removes.

    A minute of silence brings an update without levels that repeats the number before it: an event as well, for it proves that nothing is missing.

    Source: v5 docs, "Order book channel", read 2026-11-20.
    """
    if raw.action == "snapshot":
        return [_snapshot(data, place, recv_ns, depth) for data in raw.data]
    return [_diff(data, place, recv_ns) for data in raw.data]


def decode_top(raw: TopFrame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """Never subscribed; decoded so that a recording of it reads as what it is."""
    return [_snapshot(data, place, recv_ns, TOP_DEPTH) for data in raw.data]


def decode_body(body: bytes, place: Place, recv_ns: int, depth: int) -> list[MarketEvent]:
    """Body of `GET /api/v5/market/books`: a snapshot with a number and without a checksum.

    Raises: DecodeError.
    """
    return [_snapshot(data, place, recv_ns, depth) for data in rows_of(CHANNEL, _body.decode, body)]


def _levels(rows: list[Level], place: Place) -> Levels:
    pairs = [(row.price, row.qty) for row in rows]
    return place.base_levels(check_levels(pairs, CHANNEL), CHANNEL) if pairs else pairs


def _snapshot(data: Data, place: Place, recv_ns: int, depth: int) -> BookSnapshot:
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=data.ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=_levels(data.bids, place),
        asks=_levels(data.asks, place),
        last_seq=data.seqId,
        checksum=data.checksum or None,
        depth=depth,
    )


def _diff(data: Data, place: Place, recv_ns: int) -> DepthDiff:
    if (data.seqId is None) is not (data.prevSeqId is None):
        raise DecodeError(CHANNEL, "schema", "one of seqId and prevSeqId is missing")
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=data.ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bids=_levels(data.bids, place),
        asks=_levels(data.asks, place),
        last_seq=data.seqId,
        prev_seq=data.prevSeqId,
        checksum=data.checksum or None,
    )


class Rule:
    """How books sync: each update names the number before it, and a number that falls where its predecessor fits is a legal reset after maintenance.

    Recordings of before numbers (2022) have checksums instead: without any number on either side the order of the socket and the checksum decide.
    Source: v5 docs, "Order book channel", "Sequence ID" and "Checksum"; changelog 2026-02 (join by REST); read 2026-11-20.
    """

    sequenced = True
    snapshot_depth: int | None = DEPTH
    max_depth: int | None = (
        None  # the venue deletes what falls out; replayed recordings stay at 400 levels without our cutting
    )

    def __init__(self, instrument: Instrument | None, source: SnapshotSource) -> None:
        self.source = source
        self._contract = instrument if instrument is not None and instrument.contract_size is not None else None
        self._sent: dict[Sequence[str], str] = {}
        """Levels of late, as their part of the text that is checked: of the best 25, few change from one message to the next."""

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        """An update that begins before the snapshot and ends after it holds all that came between, and its quantities are absolute."""
        verdict = self.follows(snapshot.last_seq, diff)
        if verdict is Verdict.GAP and snapshot.last_seq is not None and diff.prev_seq is not None:
            return Verdict.APPLY if diff.prev_seq < snapshot.last_seq else Verdict.GAP
        return verdict

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if diff.prev_seq == last_seq:  # both None: of before numbers
            return Verdict.APPLY
        if last_seq is None or diff.last_seq is None:
            return Verdict.GAP
        return Verdict.STALE if diff.last_seq <= last_seq else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        """CRC-32, signed, of `bid:qty:ask:qty:...` over the best 25 levels as the venue sent them; one side alone where the other has run out."""
        sent, texts = self._sent, []
        for pair in zip_longest(bids[:CHECKSUM_LEVELS], asks[:CHECKSUM_LEVELS]):
            for level in pair:
                if level is not None:
                    key = tuple(level)
                    texts.append(sent.get(key) or self._remember(key))
        unsigned = crc32(":".join(texts).encode())
        return unsigned - (1 << 32) if unsigned >> 31 else unsigned

    def _remember(self, level: tuple[str, ...]) -> str:
        if len(self._sent) >= _SENT_CAP:
            self._sent.clear()
        text = self._sent[level] = ":".join(self._as_sent(level))
        return text

    def _as_sent(self, level: Sequence[str]) -> Sequence[str]:
        """The level with its quantity in contracts again, in the shortest text, as the venue writes them.

        Base units of inverse contracts were rounded to 18 decimals; a contract has at most 8, so rounding to these gives back exactly what it was.
        """
        contract, (price, qty) = self._contract, level
        if contract is None or contract.contract_size is None:
            return level
        with localcontext(prec=80):
            worth = Decimal(qty) * Decimal(price) if contract.contract_unit is ContractUnit.QUOTE else Decimal(qty)
            contracts = (worth / Decimal(contract.contract_size)).quantize(_CONTRACT_DECIMALS)
        return price, format(contracts, "f").rstrip("0").rstrip(".")
