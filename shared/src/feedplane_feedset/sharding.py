"""Which instruments a collector takes: discovery rules, then rendezvous hashing over the shards.

Each (symbol, shard) pair has a fixed score and the highest score wins, so every process comes to the same answer
without being told, adding a shard moves only the symbols it wins (about one in n), and no symbol moves between shards
that stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from .config import SymbolSelection


def shard_of(symbol: str, shards: int) -> int:
    """The shard, 0..shards-1, that collects `symbol`."""
    if shards < 1:
        raise ValueError(f"shards is {shards}, not 1 or more")
    return max(range(shards), key=lambda shard: _score(symbol, shard))


def owned(symbols: Iterable[str], shard: int, shards: int) -> tuple[str, ...]:
    """The symbols of one shard, sorted."""
    return tuple(sorted(symbol for symbol in set(symbols) if shard_of(symbol, shards) == shard))


def select_symbols(
    listed: Iterable[tuple[str, str]], selection: SymbolSelection, shard: int, shards: int
) -> tuple[str, ...]:
    """What one collector subscribes to, sorted. `listed` is (symbol, quote currency) of each instrument on the selected
    markets.

    An include list is taken whole, listed or not: a symbol the venue does not know must show as refused, never vanish.
    The cap of discovery is applied before sharding, so that it holds for the entry and not for each shard.
    """
    if selection.mode == "include":
        return owned(selection.include, shard, shards)
    quotes = {quote.casefold() for quote in selection.quotes}
    excluded = set(selection.exclude)
    found = {
        symbol for symbol, quote in listed if symbol not in excluded and (not quotes or quote.casefold() in quotes)
    }
    return owned(sorted(found)[: selection.max_symbols], shard, shards)


def _score(symbol: str, shard: int) -> int:
    digest = blake2b(symbol.encode(), digest_size=8, key=shard.to_bytes(4, "big")).digest()
    return int.from_bytes(digest, "big")
