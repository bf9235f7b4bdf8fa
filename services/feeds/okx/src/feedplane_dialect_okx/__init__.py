"""OKX's own side of the wire, for simulated venues."""

from .dialect import OkxDialect

DIALECT = OkxDialect

__all__ = ["DIALECT"]
