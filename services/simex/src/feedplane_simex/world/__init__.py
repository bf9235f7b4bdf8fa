"""The seeded, venue-neutral world: integers only, clock and randomness given."""

from .market import MarketState
from .world import World

__all__ = ["MarketState", "World"]
