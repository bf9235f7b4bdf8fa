"""Trades: `<symbol>@aggTrade`, fills of one price and one taker side merged within 100 ms.

The undocumented `@trade` is not used: its ids are of another number space, and insurance-fund and ADL fills must be told apart in it.
"""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, Aggressor, MarketType

from .symbols import EXCHANGE
from .wire import Id, Ms, Payload

CHANNEL = "aggTrade"


class AggTrade(Payload, frozen=True, gc=False, tag="aggTrade", kw_only=True):
    """`{"e":"aggTrade","E":123456789,"s":"BNBUSDT","a":5933014,"p":"0.001","q":"100","nq":"100","f":100,"l":105,"T":123456785,"m":true,"st":1}`"""

    a: Id
    p: str
    q: str
    T: Ms
    m: bool


class AggTradeRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /fapi/v1/aggTrades`: the stream's fields without symbol and push time."""

    a: Id
    p: str
    q: str
    T: Ms
    m: bool


def decode_stream_trade(raw: AggTrade, market: MarketType, recv_ns: int) -> list[MarketEvent]:
    return [decode_trade(raw, raw.s, market, recv_ns)]


def decode_trade(raw: AggTrade | AggTradeRow, symbol: str, market: MarketType, recv_ns: int) -> Trade:
    """One aggregate; `a` counts without a hole per symbol. `q` includes RPI fills (`nq` does not).

    Source: USD-M docs, "Aggregate Trade Streams", read 2026-11-20.
    """
    price, qty = positives(CHANNEL, raw.p, raw.q)
    return Trade(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=raw.T * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=str(raw.a),
        price=price,
        qty=qty,
        aggressor=Aggressor.SELL if raw.m else Aggressor.BUY,  # m: the buyer was the maker
    )
