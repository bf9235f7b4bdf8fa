"""An order book as exact text, ordered by exact integers.

Each side is a dict from ordering key to the decoder's own `[price, qty]` level and a sorted list of keys, best last, so that the usual change (near the best) moves little.
"""

from __future__ import annotations

from bisect import bisect_left

from .decimals import Level, Levels, is_zero, scaled

FAR = 1 << 30
"""Distance from the best when nothing changed."""


class BookSide:
    """One side. `sign` is +1 for bids and -1 for asks: keys ascend towards the best."""

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._levels: dict[int, Level] = {}
        self._keys: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, levels: Levels) -> None:
        """Forget all and take these; zero quantities are skipped, of equal prices the last one holds."""
        sign = self._sign
        self._levels = {sign * scaled(level[0]): level for level in levels if not is_zero(level[1])}
        self._keys = sorted(self._levels)

    def apply(self, levels: Levels) -> int:
        """Set or remove levels; returns the smallest distance from the best (0 = the best itself) of what changed, `FAR` if nothing did."""
        near = FAR
        sign, book, keys = self._sign, self._levels, self._keys
        for level in levels:
            key = sign * scaled(level[0])
            held = book.get(key)
            if is_zero(level[1]):
                if held is None:
                    continue
                at = bisect_left(keys, key)
                del book[key]
                del keys[at]
                distance = len(keys) - at
            elif held is None:
                at = bisect_left(keys, key)
                keys.insert(at, key)
                book[key] = level
                distance = len(keys) - 1 - at
            elif held[1] == level[1]:
                continue
            else:
                book[key] = level
                distance = len(keys) - 1 - bisect_left(keys, key)
            near = min(near, distance)
        return near

    def prune(self, depth: int) -> int:
        """Drop levels beyond the best `depth`; returns how many."""
        excess = len(self._keys) - depth
        if excess <= 0:
            return 0
        for key in self._keys[:excess]:
            del self._levels[key]
        del self._keys[:excess]
        return excess

    def best(self) -> Level | None:
        return self._levels[self._keys[-1]] if self._keys else None

    def best_key(self) -> int | None:
        """Price times 10**18, signed so that it ascends towards the best."""
        return self._keys[-1] if self._keys else None

    def top(self, depth: int | None = None) -> list[Level]:
        """The best levels, best first; all of them without `depth`."""
        levels = self._levels
        keys = self._keys[: -depth - 1 : -1] if depth is not None else self._keys[::-1]
        return [levels[key] for key in keys]


class OrderBook:
    """Both sides of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(+1)
        self.asks = BookSide(-1)

    def replace(self, bids: Levels, asks: Levels) -> None:
        self.bids.replace(bids)
        self.asks.replace(asks)

    def apply(self, bids: Levels, asks: Levels) -> int:
        """Distance from the best of the nearest change on either side; see `BookSide.apply`."""
        near = self.bids.apply(bids) if bids else FAR
        if asks:
            near = min(near, self.asks.apply(asks))
        return near

    def prune(self, depth: int) -> int:
        return self.bids.prune(depth) + self.asks.prune(depth)

    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask: a broken book, unless the venue is in an auction."""
        bid, ask = self.bids.best_key(), self.asks.best_key()
        return bid is not None and ask is not None and bid >= -ask

    def is_two_sided(self) -> bool:
        return len(self.bids) > 0 and len(self.asks) > 0
