"""Trades: `market.<symbol>.trade.detail` and the pages of `history/trade`. `direction` is the taker's side."""

from __future__ import annotations

from typing import Literal

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, Aggressor

from .symbols import Place
from .wire import EXCHANGE, MaybeNumber, Ms, Number, Seq, text_of

CHANNEL = "trade.detail"

_AGGRESSOR = {"buy": Aggressor.BUY, "sell": Aggressor.SELL, "": Aggressor.UNKNOWN}
_MAX_ID_DIGITS = 40


class Row(msgspec.Struct, frozen=True, gc=False):
    """Spot `{"id":137005445109359286410237483,"ts":1630994963173,"tradeId":102523573486,"amount":0.006754,"price":52648.62,"direction":"buy"}`,
    linear `{"amount":2,"ts":1603708208335,"id":1316022650000,"price":13073.3,"direction":"buy","quantity":0.002,"trade_turnover":26.334}`."""

    ts: Ms
    amount: Number
    price: Number
    direction: Literal["buy", "sell", ""]
    id: MaybeNumber = msgspec.UNSET
    tradeId: Seq | None = None
    trade_id: Seq | None = msgspec.field(default=None, name="trade-id")  # the spelling of pages


class Tick(msgspec.Struct, frozen=True, gc=False):
    data: list[Row]


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.btcusdt.trade.detail","ts":1630994963175,"tick":{"id":137005445109,"ts":1630994963173,"data":[...]}}`. The first frame repeats the last trades."""

    tick: Tick


def decode_trades(raw: Frame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """All fills of a frame, in its order. Source: HTX documents, "Trade Detail", "Subscribe Trade Detail Data", read 2026-11-20."""
    return [decode_trade(row, place, recv_ns) for row in raw.tick.data]


def decode_trade(row: Row, place: Place, recv_ns: int) -> Trade:
    """Contracts count both sides of the trade: half of `amount` was traded."""
    price = positive(text_of(row.price, CHANNEL), CHANNEL, "price")
    amount = positive(text_of(row.amount, CHANNEL), CHANNEL, "amount")
    return Trade(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=row.ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=_contract_id(row) if place.traded_qty is not None else _spot_id(row),
        price=price,
        qty=place.traded_qty(amount) if place.traded_qty is not None else amount,
        aggressor=_AGGRESSOR[row.direction],
    )


def _spot_id(row: Row) -> str:
    """`tradeId`; the 27 digits of `id`, which is being retired, only where there is no other."""
    number = row.tradeId if row.tradeId is not None else row.trade_id
    return str(number) if number is not None else _contract_id(row)


def _contract_id(row: Row) -> str:
    text = "" if row.id is msgspec.UNSET else text_of(row.id, CHANNEL)
    if not text.isdecimal() or len(text) > _MAX_ID_DIGITS:
        raise DecodeError(CHANNEL, "schema", "a trade without its id")
    return text
