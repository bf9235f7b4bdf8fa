"""An order book as exact text, ordered by exact integers.

`BookSide` and `OrderBook` are the compiled ones where there is a compiled core (`shared/native/csrc/book.c`); the classes here are its reference and its stand-in.

Changes can be deferred: they are merged by price at the speed of a dict and worked in when somebody looks, which spares most of the work where books change a thousand
times for each look. (The compiled book works them in at once, which costs it less than remembering them.)

Each side is a dict from ordering key to the decoder's own `[price, qty]` level and a sorted list of keys, best last, so that the usual change (near the best) moves little.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from .cores import compiled
from .decimals import Level, Levels, is_zero, scaled

FAR = 1 << 30
"""Depth of a change that touched none of the best 20 levels, or of no change at all."""
TOP5, TOP20 = 4, 19
_MEMO_CAP = 1 << 16
_MAX_DEFERRED = 4_096
_keys_by_sign: dict[int, dict[str, int]] = {+1: {}, -1: {}}
"""Ordering keys of price texts seen, for all books together: prices repeat, so this spares most conversions. Bounded: starts anew when full."""


class PythonBookSide:
    """One side. `sign` is +1 for bids and -1 for asks: keys ascend towards the best."""

    __slots__ = ("_deferred", "_key_of", "_keys", "_levels", "_near", "_order", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._levels: dict[int, Level] = {}
        self._keys: list[int] = []
        self._key_of = _keys_by_sign[sign]
        self._deferred: dict[str, str] = {}  # price text -> newest qty
        self._order: list[Levels] = []  # the same changes, as they came
        self._near = FAR

    def __len__(self) -> int:
        if self._order:
            self._settle()
        return len(self._keys)

    def defer(self, levels: Levels) -> None:
        """Take note of a change; it is worked in before anything is read."""
        self._deferred.update(levels)  # type: ignore[arg-type]  # pairs, by the contract of events
        self._order.append(levels)
        if len(self._order) >= _MAX_DEFERRED:
            self._settle()

    def take_near(self) -> int:
        """How near to the best deferred changes have come since the last call; as `apply`."""
        if self._order:
            self._settle()
        near, self._near = self._near, FAR
        return near

    def _settle(self) -> None:
        merged, order = self._deferred, self._order
        self._deferred, self._order = {}, []
        known = self._key_of.get
        keys = {known(price) or self._learn(price) for price in merged}
        if len(keys) == len(merged):
            self._near = min(self._near, self.apply(merged.items()))  # type: ignore[arg-type]
            return
        for levels in order:  # one price in two paddings: only the order tells which came last
            self._near = min(self._near, self.apply(levels))

    def replace(self, levels: Levels) -> None:
        """Forget all and take these; zero quantities are skipped, of equal prices the last one holds."""
        self._deferred, self._order = {}, []
        sign = self._sign
        self._levels = {sign * scaled(level[0]): level for level in levels if not is_zero(level[1])}
        self._keys = sorted(self._levels)

    def apply(self, levels: Levels) -> int:
        """Set or remove levels; says how near to the best something may have changed: 0 the best itself, `TOP5`, `TOP20`, else `FAR`.

        A class rather than a place: telling the exact place of a level whose quantity changed would cost a search each.
        """
        if self._order:
            self._settle()
        book, keys, key_of = self._levels, self._keys, self._key_of
        count = len(keys)
        best = keys[-1] if count else -FAR
        fifth = keys[-5] if count >= 5 else None
        twentieth = keys[-20] if count >= 20 else None
        nearest: int | None = None  # key nearest to the best that has changed
        for level in levels:
            price, qty = level
            key = key_of.get(price)
            if key is None:
                key = self._learn(price)
            held = book.get(key)
            if qty == "0" or (qty[0] == "0" and not qty.strip("0.")):
                if held is None:
                    continue
                del book[key]
                del keys[bisect_left(keys, key)]
            elif held is None:
                keys.insert(bisect_left(keys, key), key)
                book[key] = level
            elif held[1] == qty:
                continue
            else:
                book[key] = level
            if nearest is None or key > nearest:
                nearest = key
        if nearest is None:
            return FAR
        if not count or nearest >= best:
            return 0
        if fifth is None or nearest >= fifth:
            return TOP5
        return TOP20 if twentieth is None or nearest >= twentieth else FAR

    def _learn(self, price: str) -> int:
        if len(self._key_of) >= _MEMO_CAP:
            self._key_of.clear()
        key = self._key_of[price] = self._sign * scaled(price)
        return key

    def prune(self, depth: int) -> int:
        """Drop levels beyond the best `depth`; returns how many."""
        excess = len(self) - depth
        if excess <= 0:
            return 0
        for key in self._keys[:excess]:
            del self._levels[key]
        del self._keys[:excess]
        return excess

    def best(self) -> Level | None:
        if self._order:
            self._settle()
        return self._levels[self._keys[-1]] if self._keys else None

    def best_key(self) -> int | None:
        """Price times 10**18, signed so that it ascends towards the best."""
        if self._order:
            self._settle()
        return self._keys[-1] if self._keys else None

    def top(self, depth: int | None = None) -> list[Level]:
        """The best levels, best first; all of them without `depth`."""
        if self._order:
            self._settle()
        levels = self._levels
        keys = self._keys[: -depth - 1 : -1] if depth is not None else self._keys[::-1]
        return [levels[key] for key in keys]


class PythonOrderBook:
    """Both sides of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = PythonBookSide(+1)
        self.asks = PythonBookSide(-1)

    def replace(self, bids: Levels, asks: Levels) -> None:
        self.bids.replace(bids)
        self.asks.replace(asks)

    def apply(self, bids: Levels, asks: Levels) -> int:
        """How near to the best something may have changed on either side; see `BookSide.apply`."""
        near = self.bids.apply(bids) if bids else FAR
        if asks:
            near = min(near, self.asks.apply(asks))
        return near

    def defer(self, bids: Levels, asks: Levels) -> None:
        """As `apply`, but worked in when somebody looks."""
        if bids:
            self.bids.defer(bids)
        if asks:
            self.asks.defer(asks)

    def take_near(self) -> int:
        """How near to the best deferred changes have come since the last call."""
        return min(self.bids.take_near(), self.asks.take_near())

    def prune(self, depth: int) -> int:
        return self.bids.prune(depth) + self.asks.prune(depth)

    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask: a broken book, unless the venue is in an auction."""
        bid, ask = self.bids.best_key(), self.asks.best_key()
        return bid is not None and ask is not None and bid >= -ask

    def is_two_sided(self) -> bool:
        return len(self.bids) > 0 and len(self.asks) > 0


BookSide: Callable[[int], PythonBookSide] = PythonBookSide if compiled is None else compiled.BookSide
OrderBook: Callable[[], PythonOrderBook] = PythonOrderBook if compiled is None else compiled.OrderBook
