"""MEXC as a simulated venue: the other side of the wire, written from the venue's documents and not from the adapter."""

from .dialect import MexcDialect

DIALECT = MexcDialect

__all__ = ["DIALECT", "MexcDialect"]
