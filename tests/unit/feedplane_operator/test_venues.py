"""The operator knows the venues as their adapters declare themselves, though its image carries none of them."""

from __future__ import annotations

from importlib.metadata import entry_points

from feedplane_feedset.known import KnownExchange
from feedplane_operator.venues import known_exchanges


def test_it_knows_what_the_adapters_say() -> None:
    said = {
        point.name: KnownExchange.from_offers(point.name, point.load().offers)
        for point in entry_points(group="feedplane.adapters")
    }

    assert dict(known_exchanges()) == said
    assert any(known.same_names for known in known_exchanges().values())
