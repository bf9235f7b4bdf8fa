"""Trades: `match` on the channel `matches`, and rows of `GET /products/{id}/trades`. Both name the MAKER's side."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.events import Trade
from feedplane_core.names import Aggressor, MarketType

from .wire import EXCHANGE, Id, Product, Side, iso_ns

_SPOT = MarketType.SPOT
_AGGRESSOR = {"sell": Aggressor.BUY, "buy": Aggressor.SELL}
"""Maker's side -> taker's side."""


class Match(msgspec.Struct, gc=False):
    """`{"type":"match","trade_id":10,"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}`."""

    trade_id: Id
    product_id: Product
    price: str
    size: str
    side: Side
    time: str = ""


class TradeRow(msgspec.Struct, gc=False):
    """`{"trade_id":74,"time":"2014-11-07T22:19:28.578544Z","price":"10.00000000","size":"0.01000000","side":"buy"}`."""

    trade_id: Id
    time: str
    price: str
    size: str
    side: Side


class Mention(msgspec.Struct, gc=False):
    """What a `last_match`, `ticker` or `heartbeat` says of the tape: the newest trade id of a product. Ids start at 1."""

    product_id: Product
    trade_id: Id = 0
    last_trade_id: Id = 0
    time: str = ""


def decode_match(data: Match, recv_ns: int) -> Trade:
    """`side` "sell": the maker sold, the aggressor bought. `trade_id` is consecutive per product.

    Source: Exchange WebSocket channels, "Matches channel"; 97 of 97 recorded trades have the opposite (taker's) side in `ticker`; read 2026-11-20.
    """
    return _trade(data.product_id, data.trade_id, data.price, data.size, data.side, data.time, recv_ns, "match")


def decode_trade_row(row: TradeRow, product: str, recv_ns: int) -> Trade:
    """Source: Exchange REST, "Get product trades" (`side` is the maker's), read 2026-11-20."""
    return _trade(product, row.trade_id, row.price, row.size, row.side, row.time, recv_ns, "trades")


def _trade(
    product: str, number: int, price: str, size: str, side: Side, time: str, recv_ns: int, channel: str
) -> Trade:
    return Trade(
        exchange=EXCHANGE,
        market_type=_SPOT,
        instrument=product,
        ts_event_ns=iso_ns(time, channel) if time else None,
        ts_recv_ns=recv_ns,
        trade_id=str(number),
        price=positive(price, channel, "price"),
        qty=positive(size, channel, "size"),
        aggressor=_AGGRESSOR[side],
    )
