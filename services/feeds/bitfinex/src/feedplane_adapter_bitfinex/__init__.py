"""Bitfinex API v2 (spot and derivatives): what the venue sends, as Feedplane's events."""

from .adapter import Bitfinex

ADAPTER = Bitfinex

__all__ = ["ADAPTER", "Bitfinex"]
