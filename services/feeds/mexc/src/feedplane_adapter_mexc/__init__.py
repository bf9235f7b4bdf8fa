"""MEXC (spot v3 in protobuf, futures v1 in JSON): what the venue sends, as Feedplane's events."""

from .adapter import Mexc

ADAPTER = Mexc

__all__ = ["ADAPTER", "Mexc"]
