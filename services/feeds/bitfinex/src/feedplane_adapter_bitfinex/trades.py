"""Trades: `te` when executed, `tu` when confirmed, and pages of history."""

from __future__ import annotations

from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import Aggressor, MarketType

from .wire import EXCHANGE, Row, Value, ms_ns, price_of, row_of, signed_size

CHANNEL = "trades"
EXECUTED, CONFIRMED = "te", "tu"
MAX_UNCONFIRMED = 10_000
"""Trades of one channel of which `te` came and `tu` did not; beyond it the oldest is forgotten (and its `tu` a repeat that is known by its id)."""


def decode_trade(row: Row, symbol: str, market: MarketType, recv_ns: int) -> Trade:
    """`[ID, MTS, AMOUNT, PRICE]`: the amount comes first, in base coins, and its sign is the taker's side.

    Ids are global over all pairs: they grow and are not consecutive. Raises: DecodeError.
    Source: v2 docs, WS public trades, read 2026-11-20.
    """
    number = row[0]
    if type(number) is not int or not 0 < number < 1 << 62:
        raise DecodeError(CHANNEL, "schema", "trade without its id")
    qty, is_buy = signed_size(row[2], CHANNEL)
    return Trade(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=ms_ns(row[1], CHANNEL),
        ts_recv_ns=recv_ns,
        trade_id=str(number),
        price=price_of(row[3], CHANNEL),
        qty=qty,
        aggressor=Aggressor.BUY if is_buy else Aggressor.SELL,
    )


class Tape:
    """One `trades` channel: each trade once, at its `te`."""

    def __init__(self, symbol: str, market: MarketType) -> None:
        self._symbol = symbol
        self._market = market
        self._unconfirmed: dict[str, None] = {}

    def on_trade(self, kind: str, value: Value, recv_ns: int) -> list[MarketEvent]:
        """`te` is the event; `tu` only where its `te` never came. Raises: DecodeError."""
        trade = decode_trade(row_of(value, CHANNEL, 4), self._symbol, self._market, recv_ns)
        if kind == EXECUTED:
            if len(self._unconfirmed) >= MAX_UNCONFIRMED:
                del self._unconfirmed[next(iter(self._unconfirmed))]
            self._unconfirmed[trade.trade_id] = None
            return [trade]
        if trade.trade_id in self._unconfirmed:
            del self._unconfirmed[trade.trade_id]
            return []
        return [trade]

    def on_snapshot(self, value: Value, recv_ns: int) -> list[MarketEvent]:
        """The last 30 before the subscription, newest first: read, and no news. Raises: DecodeError."""
        for row in row_of(value, CHANNEL, 0):
            decode_trade(row_of(row, CHANNEL, 4), self._symbol, self._market, recv_ns)
        return []
