"""FeedSets as a cluster's operator gets them, and surroundings to render them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from feedplane_core.names import EXCHANGES, Feed, MarketType
from feedplane_feedset.default_sinks import DefaultSinks
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.model import FeedSet
from feedplane_feedset.validate import parse_feedset
from feedplane_operator.desired import Desired, Owner, Surroundings, render

KNOWN = KnownExchanges(KnownExchange(name, frozenset(Feed), frozenset(MarketType)) for name in EXCHANGES)
SURROUNDINGS = Surroundings(
    version="1.2.3",
    default_sinks=DefaultSinks.model_validate(
        {
            "redis": {"endpoints": ["redis:6379"]},
            "clickhouse": {"shards": [{"endpoints": ["clickhouse.stores.svc:8123"]}]},
        }
    ),
)

Build = Callable[..., FeedSet]
Rendered = Callable[..., Desired]


def owner_of(feedset: FeedSet) -> Owner:
    return Owner(name=feedset.metadata.name, namespace="md", uid="11111111-2222-3333-4444-555555555555")


@pytest.fixture
def build() -> Build:
    """`build(entry, ..., name=, labels=, **spec)`; an entry is completed with `exchange`, `feeds` and one symbol."""

    def made(
        *entries: dict[str, Any], name: str = "majors", labels: dict[str, str] | None = None, **spec: Any
    ) -> FeedSet:
        base = {"exchange": "binance_spot", "feeds": ["trades"], "symbols": {"include": ["BTCUSDT"]}}
        body = {
            "apiVersion": "feedplane.io/v1alpha1",
            "kind": "FeedSet",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"exchanges": [base | entry for entry in entries or ({},)], **spec},
        }
        return parse_feedset(body, KNOWN)

    return made


@pytest.fixture
def rendered(build: Build) -> Rendered:
    """As `build`, rendered in `surroundings`."""

    def made(*entries: dict[str, Any], surroundings: Surroundings = SURROUNDINGS, **spec: Any) -> Desired:
        feedset = build(*entries, **spec)
        return render(feedset, owner_of(feedset), surroundings)

    return made
