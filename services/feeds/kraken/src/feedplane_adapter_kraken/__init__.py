"""Kraken spot and Kraken Futures: what they stream and answer, turned into canonical events."""

from .adapter import ADAPTER

__all__ = ["ADAPTER"]
