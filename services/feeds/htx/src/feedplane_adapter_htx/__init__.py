"""HTX spot and linear contracts: what they stream and answer, turned into canonical events."""

from .adapter import ADAPTER

__all__ = ["ADAPTER"]
