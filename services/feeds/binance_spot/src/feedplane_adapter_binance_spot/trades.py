"""Trades: `<s>@trade` (one message a match) or `<s>@aggTrade` (one a taker order and price), and the same by REST.

The two number their messages in different id spaces, so one plan carries one of them and never both.
"""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.events import Trade
from feedplane_core.names import Aggressor, MarketType

from .wire import EXCHANGE, Id, Symbol, event_ns

_SELL, _BUY, _SPOT = Aggressor.SELL, Aggressor.BUY, MarketType.SPOT


class TradeData(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    """`{"e":"trade","E":...,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}`."""

    s: Symbol
    t: Id
    p: str
    q: str
    T: int
    m: bool


class AggTradeData(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    """`{"e":"aggTrade","E":...,"s":"NKNUSDT","a":15683430,"p":"0.3528","q":"58","f":19862790,"l":19862790,"T":...,"m":false}`."""

    s: Symbol
    a: Id
    p: str
    q: str
    T: int
    m: bool


class TradeRow(msgspec.Struct, gc=False):
    """A row of `GET /api/v3/trades` and `/api/v3/historicalTrades`."""

    id: Id
    price: str
    qty: str
    time: int
    isBuyerMaker: bool


class AggTradeRow(msgspec.Struct, gc=False):
    """A row of `GET /api/v3/aggTrades`; `f` is the first trade id inside."""

    a: Id
    p: str
    q: str
    f: int
    T: int
    m: bool


def decode_trade(data: TradeData, recv_ns: int) -> Trade:
    """`m` true: the buyer was the maker, so the aggressor sold. Source: WebSocket Streams, "Trade Streams", read 2026-11-20."""
    return _trade(data.s, data.t, data.p, data.q, data.T, data.m, recv_ns, "trade")


def decode_agg_trade(data: AggTradeData, recv_ns: int) -> Trade:
    """All fills of one taker order at one price; the identity is `a`. Source: "Aggregate Trade Streams", read 2026-11-20."""
    return _trade(data.s, data.a, data.p, data.q, data.T, data.m, recv_ns, "aggTrade")


def decode_trade_row(row: TradeRow, symbol: str, recv_ns: int) -> Trade:
    return _trade(symbol, row.id, row.price, row.qty, row.time, row.isBuyerMaker, recv_ns, "trades")


def decode_agg_trade_row(row: AggTradeRow, symbol: str, recv_ns: int) -> Trade:
    return _trade(symbol, row.a, row.p, row.q, row.T, row.m, recv_ns, "aggTrades")


def _trade(
    symbol: str, number: int, price: str, qty: str, time: int, buyer_is_maker: bool, recv_ns: int, channel: str
) -> Trade:
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=symbol,
        ts_event_ns=event_ns(time, channel),
        ts_recv_ns=recv_ns,
        trade_id=str(number),
        price=positive(price, channel, "price"),
        qty=positive(qty, channel, "qty"),
        aggressor=_SELL if buyer_is_maker else _BUY,
    )
