"""Gate, API v4 (spot and perpetual futures): what the venue sends, as Feedplane's events."""

from .adapter import Gateio

ADAPTER = Gateio

__all__ = ["ADAPTER", "Gateio"]
