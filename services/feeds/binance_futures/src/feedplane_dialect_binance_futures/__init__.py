"""Binance USD-M futures as a simulated venue: the other side of the wire, written from the venue's documents and not from the adapter."""

from .dialect import BinanceFuturesDialect

DIALECT = BinanceFuturesDialect

__all__ = ["DIALECT", "BinanceFuturesDialect"]
