"""Bybit v5 (spot, linear, inverse): what the venue sends, as Feedplane's events."""

from .adapter import Bybit

ADAPTER = Bybit

__all__ = ["ADAPTER", "Bybit"]
