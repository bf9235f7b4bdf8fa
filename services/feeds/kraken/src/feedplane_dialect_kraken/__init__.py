"""Kraken spot and futures as a simulated venue: the other side of the wire, written from the venue's documents and not from the adapter."""

from .dialect import KrakenDialect

DIALECT = KrakenDialect

__all__ = ["DIALECT", "KrakenDialect"]
