"""Trades: `spot.trades` (one fill a frame, side named) and `futures.trades` (many, side in the sign)."""

from __future__ import annotations

from typing import Literal

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import Aggressor

from .symbols import SPOT, Place, base_qty
from .wire import ABSENT, EXCHANGE, Envelope, Id, instant_text_ns, number_text

SPOT_TRADES = "spot.trades"
FUTURES_TRADES = "futures.trades"


class SpotRow(msgspec.Struct, frozen=True, gc=False):
    """`{"id":309143071,"id_market":5736713,"create_time":1606292218,"create_time_ms":"1606292218213.4578","side":"sell","currency_pair":"GT_USDT","amount":"16.4700000000","price":"0.4705000000",...}`

    `id` counts over all markets. `id_market` counts within one, but old frames lack it and REST rows have it under no proved name: it is not the identity.
    """

    id: Id
    create_time_ms: msgspec.Raw
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: str
    price: str


class FuturesRow(msgspec.Struct, frozen=True, gc=False):
    """`{"size":-108,"id":27753479,"create_time":1545136464,"create_time_ms":1545136464123,"price":"96.4","contract":"BTC_USD","is_internal":true}`

    `is_internal` (take-over by the insurance fund, or ADL) is kept: the event has no place to say so.
    """

    id: Id
    contract: str
    size: msgspec.Raw
    price: str
    create_time_ms: msgspec.Raw = ABSENT
    create_time: msgspec.Raw = ABSENT  # seconds, all that old frames have


SpotFrame = Envelope[SpotRow | list[SpotRow]]
FuturesFrame = Envelope[FuturesRow | list[FuturesRow]]


def decode_spot_row(row: SpotRow, recv_ns: int) -> MarketEvent:
    """`side` is the taker's. Source: API v4 docs, "Public Trades Channel"."""
    price, qty = positives(SPOT_TRADES, row.price, row.amount)
    return Trade(
        exchange=EXCHANGE,
        market_type=SPOT.market,
        instrument=row.currency_pair,
        ts_event_ns=instant_text_ns(row.create_time_ms, SPOT_TRADES),
        ts_recv_ns=recv_ns,
        trade_id=str(row.id),
        price=price,
        qty=qty,
        aggressor=Aggressor.BUY if row.side == "buy" else Aggressor.SELL,
    )


def decode_futures_row(row: FuturesRow, place: Place, recv_ns: int) -> MarketEvent:
    """The taker bought where `size` is positive, sold where it is negative. Source: API v4 docs, futures "Trades"."""
    size = number_text(row.size)
    is_sell = size.startswith("-")
    price, contracts = positives(FUTURES_TRADES, row.price, size[1:] if is_sell else size)
    made = row.create_time if row.create_time_ms is ABSENT else row.create_time_ms
    return Trade(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=row.contract,
        ts_event_ns=instant_text_ns(made, FUTURES_TRADES),
        ts_recv_ns=recv_ns,
        trade_id=str(row.id),
        price=price,
        qty=base_qty(place, row.contract, contracts, price, FUTURES_TRADES),
        aggressor=Aggressor.SELL if is_sell else Aggressor.BUY,
    )
