"""HTX as a simulated venue: the other side of the wire, written from the venue's documents and not from the adapter."""

from .dialect import HtxDialect

DIALECT = HtxDialect

__all__ = ["DIALECT", "HtxDialect"]
