"""Books: `obu` (the snapshot comes on the socket), `order_book_update` (snapshot by REST), whole books as `order_book` sends them, and the rules that join them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.decimals import Levels, check_levels
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent
from feedplane_core.names import MarketType

from .symbols import Place, base_qty
from .wire import ABSENT, EXCHANGE, Count, instant_ns, instant_text_ns, number_text

SPOT_OBU, FUTURES_OBU = "spot.obu", "futures.obu"
SPOT_UPDATES, FUTURES_UPDATES = "spot.order_book_update", "futures.order_book_update"
SPOT_BOOK, FUTURES_BOOK = "spot.order_book", "futures.order_book"
REST_BOOK = "order_book"

OBU_DEPTHS = (50, 400)
DEFAULT_OBU_DEPTH = 400
UPDATES_DEPTH = 100
"""Of `order_book_update` at 100 ms, and of the REST book that it joins: levels beyond are not maintained, larger REST books come from a cache (gateio/gatews #51, #52)."""


class PricedLevel(msgspec.Struct, frozen=True, gc=False):
    """`{"p":"54672.1","s":0}`: how futures channels but `obu` write a level."""

    p: str
    s: msgspec.Raw


WireLevel: TypeAlias = tuple[str, str] | PricedLevel


class Obu(msgspec.Struct, frozen=True, gc=False):
    """`{"t":1747054612695,"s":"ob.BTC_USDT.50","U":73777715169,"u":73777715212,"b":[["104024.5","10343"]],"a":[["104027.2","0"]]}`; `full` and no `U` on a whole book."""

    s: str
    u: Count
    t: Count = 0
    U: Count | None = None
    full: bool = False
    b: list[tuple[str, str]] | None = None
    a: list[tuple[str, str]] | None = None


class Update(msgspec.Struct, frozen=True, gc=False):
    """`{"t":1606294781123,"l":"100","e":"depthUpdate","E":1606294781,"s":"BTC_USDT","U":48776301,"u":48776306,"b":[["19137.74","0.0001"]],"a":[]}`; objects on futures."""

    s: str
    u: Count
    t: Count = 0  # has been in microseconds on spot
    U: Count | None = None
    full: bool = False  # since 2025-05
    b: list[WireLevel] | None = None
    a: list[WireLevel] | None = None
    l: str = ""  # noqa: E741 (the venue's name: the level)


class Whole(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`spot.order_book` (`s`, `lastUpdateId`) and `futures.order_book` of event `all` (`contract`, `id`)."""

    asks: list[WireLevel]
    bids: list[WireLevel]
    s: str = ""
    contract: str = ""
    lastUpdateId: Count = 0
    id: Count = 0
    t: Count = 0
    l: str = ""  # noqa: E741


class RestBook(msgspec.Struct, frozen=True, gc=False):
    """`GET /spot/order_book`, `GET /futures/{settle}/order_book`, with `with_id=true`: times in ms on spot, in seconds with decimals on futures."""

    id: Count
    asks: list[WireLevel]
    bids: list[WireLevel]
    update: msgspec.Raw = ABSENT


def obu_symbol(stream: str, channel: str) -> tuple[str, int]:
    """`ob.BTC_USDT.400` -> (`BTC_USDT`, 400): cut at the first and the last dot."""
    head, _, rest = stream.partition(".")
    symbol, _, level = rest.rpartition(".")
    if head != "ob" or not level.isdecimal() or not level.isascii() or not 0 < len(level) <= 4:
        raise DecodeError(channel, "schema", f"stream {stream[:64]!r}")
    return symbol, int(level)


def decode_obu(
    raw: Obu, place: Place, symbol: str, depth: int, channel: str, at: tuple[int | None, int]
) -> MarketEvent:
    """`at` is (time of push, of receipt). Absolute quantities, 0 removes; `full` replaces the book, at any time."""
    return _event(raw, place, symbol, channel, at, raw.b or [], raw.a or [], depth)


def decode_update(raw: Update, place: Place, channel: str, at: tuple[int | None, int]) -> MarketEvent:
    depth = int(raw.l) if raw.l.isascii() and raw.l.isdecimal() and len(raw.l) <= 4 else None
    return _event(raw, place, raw.s, channel, at, _pairs(raw.b or []), _pairs(raw.a or []), depth)


def _event(
    raw: Obu | Update,
    place: Place,
    symbol: str,
    channel: str,
    at: tuple[int | None, int],
    bids: Levels,
    asks: Levels,
    depth: int | None,
) -> MarketEvent:
    bids, asks = _in_base(bids, place, symbol, channel), _in_base(asks, place, symbol, channel)
    pushed_ns, recv_ns = at
    event_ns = instant_ns(raw.t, channel) or pushed_ns
    if raw.full:
        return BookSnapshot(
            exchange=EXCHANGE,
            market_type=place.market,
            instrument=symbol,
            ts_event_ns=event_ns,
            ts_recv_ns=recv_ns,
            bids=bids,
            asks=asks,
            last_seq=raw.u,
            depth=depth,
        )
    if raw.U is None:
        raise DecodeError(channel, "schema", "an increment without its first number")
    if raw.u < raw.U:
        raise DecodeError(channel, "schema", f"U {raw.U} is above u {raw.u}")
    return DepthDiff(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=event_ns,
        ts_recv_ns=recv_ns,
        bids=bids,
        asks=asks,
        first_seq=raw.U,
        last_seq=raw.u,
    )


def decode_whole(raw: Whole, place: Place, channel: str, at: tuple[int | None, int]) -> MarketEvent:
    """A whole book each time; never subscribed, so that two kinds of books are never mixed."""
    symbol = raw.s or raw.contract
    pushed_ns, recv_ns = at
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=instant_ns(raw.t, channel) or pushed_ns,
        ts_recv_ns=recv_ns,
        bids=_in_base(_pairs(raw.bids), place, symbol, channel),
        asks=_in_base(_pairs(raw.asks), place, symbol, channel),
        last_seq=raw.lastUpdateId or raw.id or None,
        depth=int(raw.l) if raw.l.isascii() and raw.l.isdecimal() and len(raw.l) <= 4 else None,
    )


def decode_rest_book(raw: RestBook, place: Place, symbol: str, depth: int | None, recv_ns: int) -> MarketEvent:
    return BookSnapshot(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=instant_text_ns(raw.update, REST_BOOK) if number_text(raw.update) else None,
        ts_recv_ns=recv_ns,
        bids=_in_base(_pairs(raw.bids), place, symbol, REST_BOOK),
        asks=_in_base(_pairs(raw.asks), place, symbol, REST_BOOK),
        last_seq=raw.id,
        depth=depth,
    )


def _pairs(levels: Sequence[WireLevel]) -> Levels:
    return [(level.p, number_text(level.s)) if isinstance(level, PricedLevel) else level for level in levels]


def _in_base(levels: Levels, place: Place, symbol: str, channel: str) -> Levels:
    checked = check_levels(levels, channel)
    if place.market is MarketType.SPOT:
        return checked
    return [(price, base_qty(place, symbol, qty, price, channel)) for price, qty in checked]


class Rule:
    """`U == last u + 1`; the first diff on top of a snapshot may reach back over it (`U <= id + 1 <= u`).

    Source: API v4 docs, "Order Book V2 Channel" (2025-06) and "How to maintain local order book". 0 gaps in 26,292 increments over 150 contracts (probe of 2026-09).
    """

    sequenced = True

    def __init__(self, source: SnapshotSource, depth: int) -> None:
        self.source = source
        self.snapshot_depth: int | None = depth
        # `obu` removes what leaves its window by itself; `order_book_update` does not.
        self.max_depth: int | None = None if source is SnapshotSource.SOCKET else depth

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        if snapshot.last_seq is None or diff.first_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= snapshot.last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.first_seq <= snapshot.last_seq + 1 else Verdict.GAP

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        if last_seq is None or diff.first_seq is None or diff.last_seq is None:
            return Verdict.GAP
        if diff.last_seq <= last_seq:
            return Verdict.STALE
        return Verdict.APPLY if diff.first_seq == last_seq + 1 else Verdict.GAP

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        """The venue sends none."""
        return None
