"""Trades: `aggre.deals` of spot, `push.deal` of futures, and the newest ones by REST."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import Aggressor

from .protobuf import Message
from .symbols import Place, base_qty
from .wire import EXCHANGE, Ms, Number, TradeId, text_of, time_ns

DEALS = "aggre.deals"
PUSH = "push.deal"
REST_SPOT, REST_FUTURES = "trades", "deals"

_AGGRESSORS = {1: Aggressor.BUY, 2: Aggressor.SELL}
_MAX_ID_CHARS = 64


class Fill(NamedTuple):
    """One trade of any source, in the venue's units. `aggressor` is the taker's side."""

    trade_id: str
    price: str
    qty: str
    aggressor: Aggressor
    time_ms: int


class Deal(msgspec.Struct, frozen=True, gc=False):
    """`{"p":115309.8,"v":55,"T":2,"O":3,"M":1,"t":1755487578276,"i":"13064218826"}`

    `M` says whether it was a self-trade, not who was the maker.
    """

    p: Number
    v: Number
    T: Literal[1, 2]
    t: Ms
    i: TradeId | None = None


class Push(msgspec.Struct, frozen=True, gc=False):
    """`data` is a list; in the documents' older examples one deal."""

    channel: str
    symbol: str
    data: list[Deal] | Deal


class SpotRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /api/v3/trades`: its `id` is null."""

    price: str
    qty: str
    time: Ms
    isBuyerMaker: bool


def decode_deals(body: Message, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """Each item is one trade; "aggre" means that those of 10 or 100 ms share a frame. `tradeId` is younger than the channel and not always there."""
    return trade_events([_spot_fill(deal) for deal in body.deals], place, symbol, recv_ns, DEALS)


def _spot_fill(deal: Message) -> Fill:
    aggressor = _AGGRESSORS.get(deal.tradeType)
    if aggressor is None:
        raise DecodeError(DEALS, "schema", f"tradeType {deal.tradeType}")
    if len(deal.tradeId) > _MAX_ID_CHARS:
        raise DecodeError(DEALS, "schema", "tradeId is too long")
    return Fill(deal.tradeId, deal.price, deal.quantity, aggressor, deal.time)


def decode_push(raw: Push, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """Source: contract docs, "Public channels, Transaction", read 2026-11-20."""
    deals = raw.data if isinstance(raw.data, list) else [raw.data]
    return trade_events([deal_fill(deal) for deal in deals], place, symbol, recv_ns, PUSH)


def deal_fill(deal: Deal) -> Fill:
    return Fill(deal.i or "", text_of(deal.p), text_of(deal.v), _AGGRESSORS[deal.T], deal.t)


def spot_row_fill(row: SpotRow) -> Fill:
    return Fill("", row.price, row.qty, Aggressor.SELL if row.isBuyerMaker else Aggressor.BUY, row.time)


def trade_events(fills: Sequence[Fill], place: Place, symbol: str, recv_ns: int, channel: str) -> list[MarketEvent]:
    """In their order. Fills without an id that are alike in all else are told apart by their place among themselves."""
    events: list[MarketEvent] = []
    alike: Counter[Fill] = Counter()
    for fill in fills:
        price, qty = positives(channel, fill.price, fill.qty)
        ordinal = 0
        if not fill.trade_id:
            ordinal = alike[fill]
            alike[fill] += 1
        events.append(
            Trade(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=time_ns(fill.time_ms, channel, "time"),
                ts_recv_ns=recv_ns,
                trade_id=fill.trade_id,
                price=price,
                qty=base_qty(place, symbol, qty, price, channel),
                aggressor=fill.aggressor,
                ordinal=ordinal,
            )
        )
    return events
