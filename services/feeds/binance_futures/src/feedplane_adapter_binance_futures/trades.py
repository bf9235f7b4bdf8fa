"""Trades: `<symbol>@aggTrade`, fills of one price and one taker side merged within 100 ms.

The undocumented `@trade` (single fills) is decoded where a recording has it and never subscribed: others found it silent, its ids are of another number
space, and insurance-fund and ADL fills must be told apart in it.
"""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positives
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, Aggressor, MarketType

from .symbols import EXCHANGE
from .wire import Id, Ms, Payload

CHANNEL = "aggTrade"
SINGLE = "trade"
_OFF_BOOK = frozenset({"INSURANCE_FUND", "ADL", "NA"})


class AggTrade(Payload, frozen=True, gc=False, tag="aggTrade", kw_only=True):
    """`{"e":"aggTrade","E":123456789,"s":"BNBUSDT","a":5933014,"p":"0.001","q":"100","nq":"100","f":100,"l":105,"T":123456785,"m":true,"st":1}`"""

    a: Id
    p: str
    q: str
    T: Ms
    m: bool


class SingleTrade(Payload, frozen=True, gc=False, tag="trade", kw_only=True):
    """`{"e":"trade","E":...,"T":1626992741024,"s":"BTCUSDT","t":123,"p":"32300.5","q":"0.1","X":"MARKET","m":true}`"""

    t: Id
    p: str
    q: str
    T: Ms
    m: bool
    X: str = "MARKET"


class AggTradeRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /fapi/v1/aggTrades`: the stream's fields without symbol and push time."""

    a: Id
    p: str
    q: str
    T: Ms
    m: bool


def decode_stream_trade(raw: AggTrade, market: MarketType, recv_ns: int) -> list[MarketEvent]:
    return [decode_trade(raw, raw.s, market, recv_ns)]


def decode_single(raw: SingleTrade, market: MarketType, recv_ns: int) -> list[MarketEvent]:
    """One fill; what the insurance fund and auto-deleveraging settle off the book is no trade of the tape.

    Source: tardis-node and ccxt (Binance futures mappers, 2026-08), read 2026-11-20; the venue does not document it.
    """
    return [] if raw.X in _OFF_BOOK else [_trade(raw, raw.t, SINGLE, raw.s, market, recv_ns)]


def decode_trade(raw: AggTrade | AggTradeRow, symbol: str, market: MarketType, recv_ns: int) -> Trade:
    """One aggregate; `a` counts without a hole per symbol. `q` includes RPI fills (`nq` does not).

    Source: USD-M docs, "Aggregate Trade Streams", read 2026-11-20.
    """
    return _trade(raw, raw.a, CHANNEL, symbol, market, recv_ns)


def _trade(
    raw: AggTrade | AggTradeRow | SingleTrade, number: int, channel: str, symbol: str, market: MarketType, recv_ns: int
) -> Trade:
    price, qty = positives(channel, raw.p, raw.q)
    return Trade(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=raw.T * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=str(number),
        price=price,
        qty=qty,
        aggressor=Aggressor.SELL if raw.m else Aggressor.BUY,  # m: the buyer was the maker
    )
