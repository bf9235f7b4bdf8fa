"""Toy as a simulated venue: the other side of the wire, written from the README and not from the adapter."""

from .dialect import DIALECT

__all__ = ["DIALECT"]
