"""What a socket owes: trades that never came, and products that have fallen silent.

The venue may drop messages without telling (`matches` promises no delivery). Its trade ids are consecutive per product, and the heartbeat of each second names the
newest one, so every loss can be told and fetched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from feedplane_core.names import NS_PER_S

GRACE_NS = 2 * NS_PER_S
SILENCE_NS = 10 * NS_PER_S


class Missing(NamedTuple):
    """Trade ids of a product, both inclusive."""

    product: str
    first: int
    last: int


class TapeWatch:
    """Judges the ids of `matches` against each other and against the newest id that other channels mention.

    Source: Exchange WebSocket channels, "Matches channel" and "Heartbeat channel", read 2026-11-20.
    """

    def __init__(self, products: Collection[str] | None) -> None:
        self._products = products  # whose trades are subscribed; None: all
        self._seen: dict[str, int] = {}  # newest id that came or was asked for
        self._claims: dict[str, tuple[int, int]] = {}  # id that was mentioned and has not come, since when

    def keep(self, products: Collection[str]) -> None:
        """The trades of these alone are subscribed from now on."""
        self._products = products
        self._seen = {product: seen for product, seen in self._seen.items() if product in products}
        self._claims = {product: claim for product, claim in self._claims.items() if product in products}

    def on_match(self, product: str, number: int) -> Missing | None:
        """Ids that this one jumped over."""
        last = self._seen.get(product)
        if last is not None and number <= last:
            return None
        self._seen[product] = number
        if last is None or number == last + 1:
            return None
        return Missing(product, last + 1, number - 1)

    def on_mention(self, product: str, number: int, recv_ns: int) -> Missing | None:
        """Ids up to a mentioned one that are missing after a grace; the first mention of a product is where its tape begins."""
        if self._products is not None and product not in self._products:
            return None
        last = self._seen.setdefault(product, number)
        if number <= last:
            self._claims.pop(product, None)
            return None
        claimed, since_ns = self._claims.get(product, (0, 0))
        if claimed <= last:
            self._claims[product] = (number, recv_ns)
            return None
        if recv_ns - since_ns < GRACE_NS:
            return None
        del self._claims[product]
        self._seen[product] = claimed
        return Missing(product, last + 1, claimed)


class SilenceWatch:
    """Products whose heartbeat stopped while that of others goes on, by the venue's own clock: a late reader sees no silence."""

    def __init__(self) -> None:
        self._beats: OrderedDict[str, int] = OrderedDict()  # oldest first

    def on_heartbeat(self, product: str, time_ns: int) -> str | None:
        """A product that has been silent for `SILENCE_NS`, told once."""
        self._beats[product] = time_ns
        self._beats.move_to_end(product)
        oldest = next(iter(self._beats))
        if time_ns - self._beats[oldest] <= SILENCE_NS:
            return None
        del self._beats[oldest]
        return oldest

    def keep(self, products: Collection[str]) -> None:
        """Only these are subscribed any more."""
        for product in [product for product in self._beats if product not in products]:
            del self._beats[product]
