"""Native best bid and ask: `market.<symbol>.bbo`, event driven; states in between are dropped where a reader lags."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import non_negative, positive
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent, TopOfBook
from feedplane_core.names import NS_PER_MS

from .symbols import Place
from .wire import EXCHANGE, MAX_MS, MaybeNumber, Ms, Number, Seq, is_absent, text_of

CHANNEL = "bbo"


class SpotTick(msgspec.Struct, frozen=True, gc=False):
    """`{"seqId":137005210233,"ask":52665.02,"askSize":1.502181,"bid":52665.01,"bidSize":0.178567,"quoteTime":1630994555539,"symbol":"btcusdt"}`."""

    seqId: Seq | None = None
    quoteTime: int | None = None
    bid: MaybeNumber = msgspec.UNSET
    bidSize: MaybeNumber = msgspec.UNSET
    ask: MaybeNumber = msgspec.UNSET
    askSize: MaybeNumber = msgspec.UNSET
    symbol: str = ""


class SpotFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.btcusdt.bbo","ts":1630994555540,"tick":{...}}`."""

    tick: SpotTick


class LinearTick(msgspec.Struct, frozen=True, gc=False):
    """`{"mrid":131599726,"id":1603707934,"bid":[13064,38],"ask":[13072.3,205],"ts":1603707934525,"version":131599726,"ch":"market.BTC-USDT.bbo"}`."""

    ts: Ms
    version: Seq | None = None
    bid: list[Number] | None = None
    ask: list[Number] | None = None


class LinearFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.BTC-USDT.bbo","ts":1603707934525,"tick":{...}}`."""

    tick: LinearTick


def decode_spot(raw: SpotFrame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """A quote without its time (0), or without a side, is skipped: the venue has been seen to send such.

    Source: HTX documents, "Best Bid/Offer"; tardis-node, HTX mapper; read 2026-11-20.
    """
    tick = raw.tick
    if tick.symbol not in ("", place.name):
        raise DecodeError(CHANNEL, "schema", f"{tick.symbol[:64]!r} on a topic of {place.name[:64]!r}")
    sides = (tick.bid, tick.bidSize, tick.ask, tick.askSize)
    if not tick.quoteTime or any(is_absent(side) for side in sides):
        return []
    if not 0 < tick.quoteTime <= MAX_MS:
        raise DecodeError(CHANNEL, "schema", "quoteTime is no time in milliseconds")
    bid, bid_qty, ask, ask_qty = (text_of(side, CHANNEL) for side in sides if side is not msgspec.UNSET)
    return [_quote(place, tick.quoteTime, tick.seqId, bid, bid_qty, ask, ask_qty, recv_ns)]


def decode_linear(raw: LinearFrame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """Sizes are contracts; the time is that of the tick. Source: HTX documents, "Subscribe market BBO data push", read 2026-11-20."""
    tick = raw.tick
    if not tick.bid or not tick.ask:
        return []
    if len(tick.bid) != 2 or len(tick.ask) != 2:
        raise DecodeError(CHANNEL, "schema", "a side is not [price, size]")
    bid, bid_qty, ask, ask_qty = (text_of(number, CHANNEL) for number in (*tick.bid, *tick.ask))
    return [_quote(place, tick.ts, tick.version, bid, bid_qty, ask, ask_qty, recv_ns)]


def _quote(
    place: Place, time_ms: int, seq: int | None, bid: str, bid_qty: str, ask: str, ask_qty: str, recv_ns: int
) -> TopOfBook:
    bid, bid_qty = positive(bid, CHANNEL, "bid"), non_negative(bid_qty, CHANNEL, "bid size")
    ask, ask_qty = positive(ask, CHANNEL, "ask"), non_negative(ask_qty, CHANNEL, "ask size")
    if place.book_qty is not None:
        bid_qty, ask_qty = place.book_qty(bid_qty), place.book_qty(ask_qty)
    return TopOfBook(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=time_ms * NS_PER_MS,
        ts_recv_ns=recv_ns,
        bid_price=bid,
        bid_qty=bid_qty,
        ask_price=ask,
        ask_qty=ask_qty,
        seq=seq,
    )
