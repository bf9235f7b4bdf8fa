"""The exchanges a FeedSet may name, from a file that `make generate` writes: the operator's image carries no adapter."""

from __future__ import annotations

import json
from importlib.resources import files

from feedplane_core.names import Feed, MarketType
from feedplane_feedset.known import KnownExchange, KnownExchanges


def known_exchanges() -> KnownExchanges:
    """What each adapter of this version carries."""
    text = files("feedplane_operator").joinpath("venues.json").read_text(encoding="utf-8")
    return KnownExchanges(
        KnownExchange(
            name,
            frozenset(map(Feed, carried["feeds"])),
            frozenset(map(MarketType, carried["markets"])),
            tuple(map(MarketType, carried["same_names"])),
        )
        for name, carried in json.loads(text).items()
    )
