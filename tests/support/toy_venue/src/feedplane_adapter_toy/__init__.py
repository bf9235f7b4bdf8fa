"""Toy: what it streams and answers, turned into canonical events."""

from .adapter import ADAPTER

__all__ = ["ADAPTER"]
