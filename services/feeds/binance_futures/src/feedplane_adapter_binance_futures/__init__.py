"""Binance USD-M futures: what the venue sends, as Feedplane's events."""

from .adapter import BinanceFutures

ADAPTER = BinanceFutures

__all__ = ["ADAPTER", "BinanceFutures"]
