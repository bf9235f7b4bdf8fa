"""KuCoin as a simulated venue: the other side of the wire, written from the venue's documents and not from the adapter."""

from .dialect import KuCoinDialect

DIALECT = KuCoinDialect

__all__ = ["DIALECT", "KuCoinDialect"]
