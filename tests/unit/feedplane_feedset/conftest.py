"""A FeedSet to bend, and adapters that are small enough to reason about."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from feedplane_core.names import Feed, MarketType
from feedplane_feedset.errors import FeedSetError, Problem
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.model import FeedSet
from feedplane_feedset.validate import parse_feedset

Build = Callable[..., dict[str, Any]]
Refuse = Callable[[Any], dict[str, Problem]]


@pytest.fixture
def known() -> KnownExchanges:
    spot = frozenset({Feed.TRADES, Feed.L1, Feed.OB_DIFFS, Feed.KLINES})
    return KnownExchanges(
        [
            KnownExchange("binance_spot", spot, frozenset({MarketType.SPOT})),
            KnownExchange("binance_futures", frozenset(Feed), frozenset({MarketType.PERP_LINEAR, MarketType.DELIVERY})),
            KnownExchange("tape", frozenset({Feed.TRADES}), frozenset({MarketType.SPOT})),
            KnownExchange("bybit", frozenset(Feed), frozenset(MarketType)),
            KnownExchange("gateio", frozenset(Feed), frozenset(MarketType), (MarketType.SPOT, MarketType.PERP_LINEAR)),
        ]
    )


@pytest.fixture
def body() -> Build:
    """`body(entry, ..., **spec)`: a FeedSet of these entries; an entry is completed with `exchange` and `feeds`."""

    def build(*entries: dict[str, Any], **spec: Any) -> dict[str, Any]:
        complete = [{"exchange": "binance_spot", "feeds": ["trades"]} | entry for entry in entries or ({},)]
        return {
            "apiVersion": "feedplane.io/v1alpha1",
            "kind": "FeedSet",
            "metadata": {"name": "majors"},
            "spec": {"exchanges": copy.deepcopy(complete), **spec},
        }

    return build


@pytest.fixture
def parse(known: KnownExchanges) -> Callable[[Any], FeedSet]:
    return lambda source: parse_feedset(source, known)


@pytest.fixture
def refuse(known: KnownExchanges) -> Refuse:
    """The problems of a FeedSet that must not be accepted, by path."""

    def refused(source: Any) -> dict[str, Problem]:
        with pytest.raises(FeedSetError) as caught:
            parse_feedset(source, known)
        return {problem.path: problem for problem in caught.value.problems}

    return refused
