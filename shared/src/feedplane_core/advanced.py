"""Advanced metrics: pure functions over the best levels of a book and a window of trades.

All results are exact decimals rounded half-even to 18 places; nothing is computed where a denominator is zero (`0` is returned: balanced).
"""

from __future__ import annotations

from collections import deque
from decimal import Context, Decimal, localcontext

from .decimals import Dec, Levels, decimal_text, quotient, total
from .names import NS_PER_S, Aggressor

_EXACT = Context(prec=160)
"""Two products of numbers that fit Decimal(38,18), added: nothing is rounded before the quotient is."""
_TWO = Decimal(2)
_BPS = Decimal(10_000)


def _text(value: Decimal) -> Dec:
    return decimal_text(value.normalize()) if value else "0"


def spread(bid_price: Dec, ask_price: Dec) -> Dec:
    """Ask minus bid, in quote units; exact."""
    with localcontext(_EXACT):
        return _text(Decimal(ask_price) - Decimal(bid_price))


def spread_bps(bid_price: Dec, ask_price: Dec) -> Dec:
    """Spread over the mid price, in basis points."""
    bid, ask = Decimal(bid_price), Decimal(ask_price)
    with localcontext(_EXACT):
        return _text(quotient((ask - bid) * _TWO * _BPS, ask + bid))


def microprice(bid_price: Dec, bid_qty: Dec, ask_price: Dec, ask_qty: Dec) -> Dec:
    """The mid weighted by the opposite sizes: (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)."""
    bid, bid_size, ask, ask_size = map(Decimal, (bid_price, bid_qty, ask_price, ask_qty))
    with localcontext(_EXACT):
        if not bid_size + ask_size:
            return _text(quotient(bid + ask, _TWO))
        return _text(quotient(bid * ask_size + ask * bid_size, bid_size + ask_size))


def imbalance(bids: Levels, asks: Levels, depth: int) -> Dec:
    """(bid size - ask size) / (bid size + ask size) over the best `depth` levels; from -1 to 1."""
    bid_size = total(level[1] for level in bids[:depth])
    ask_size = total(level[1] for level in asks[:depth])
    return _ratio(bid_size, ask_size)


def _ratio(plus: Decimal, minus: Decimal) -> Dec:
    with localcontext(_EXACT):
        if not plus + minus:
            return "0"
        return _text(quotient(plus - minus, plus + minus))


class TradeWindow:
    """Sums of taker volume over the last `span_ns` of receive time; exact, bounded by `max_trades`."""

    def __init__(self, span_ns: int = NS_PER_S, max_trades: int = 20_000) -> None:
        self._span_ns = span_ns
        self._trades: deque[tuple[int, Aggressor, Dec]] = deque(maxlen=max_trades)

    def add(self, at_ns: int, aggressor: Aggressor, qty: Dec) -> None:
        self._trades.append((at_ns, aggressor, qty))
        self._expire(at_ns)

    def imbalance(self, now_ns: int) -> Dec:
        """(bought - sold) / (bought + sold) by takers over the window; `0` without trades."""
        self._expire(now_ns)
        bought = total(qty for _, side, qty in self._trades if side is Aggressor.BUY)
        sold = total(qty for _, side, qty in self._trades if side is Aggressor.SELL)
        return _ratio(bought, sold)

    def _expire(self, now_ns: int) -> None:
        while self._trades and self._trades[0][0] <= now_ns - self._span_ns:
            self._trades.popleft()
