"""What exists: the exchanges that have an adapter, and the instruments they list. Built by callers, who can look; read
here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from feedplane_core.adapter import Offers
from feedplane_core.names import BOOK_FEEDS, Feed, MarketType


@dataclass(frozen=True, slots=True)
class KnownExchange:
    """What one adapter carries. `feeds` are those it decodes; feeds derived from a book need not be listed. `same_names`: markets
    that spell instruments alike, as in `Offers`.
    """

    exchange: str
    feeds: frozenset[Feed]
    markets: frozenset[MarketType]
    same_names: tuple[MarketType, ...] = ()

    @classmethod
    def from_offers(cls, exchange: str, offers: Offers) -> KnownExchange:
        """What an adapter declares; feeds it has for backfill alone are not for a FeedSet to select."""
        feeds = frozenset(feed for feed, offer in offers.feeds.items() if offer.live or offer.polled)
        return cls(exchange, feeds, offers.markets, offers.same_names)

    @property
    def selectable(self) -> tuple[Feed, ...]:
        """Feeds a FeedSet may name for this exchange, in the order of `Feed`."""
        derived = BOOK_FEEDS if Feed.OB_DIFFS in self.feeds else frozenset()
        return tuple(feed for feed in Feed if feed in self.feeds or feed in derived)


class KnownExchanges(Mapping[str, KnownExchange]):
    """Exchange name -> what its adapter carries."""

    def __init__(self, exchanges: Iterable[KnownExchange]) -> None:
        self._by_name = {known.exchange: known for known in sorted(exchanges, key=lambda known: known.exchange)}

    def __getitem__(self, exchange: str) -> KnownExchange:
        return self._by_name[exchange]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


Catalogue = Mapping[str, Mapping[MarketType, Collection[str]]]
"""Exchange -> market type -> symbols listed there, as the exchange spells them."""
