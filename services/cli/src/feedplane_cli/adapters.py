"""Adapters by entry point: what is installed is what exists."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from feedplane_core.adapter import Adapter, Options
from feedplane_core.errors import UsageError
from feedplane_feedset.known import KnownExchange, KnownExchanges
from feedplane_feedset.suggest import nearest

GROUP = "feedplane.adapters"


def adapter_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load_adapter(exchange: str, options: Options | None = None) -> Adapter:
    """Raises: UsageError naming what is installed."""
    points = adapter_points()
    if exchange not in points:
        near = nearest(exchange, points)
        hint = f"did you mean {near}?" if near else f"installed: {', '.join(points)}"
        raise UsageError("exchange", f"no adapter for {exchange!r}", hint)
    adapter: Adapter = points[exchange].load()(options or Options())
    return adapter


def known_exchanges() -> KnownExchanges:
    """What a FeedSet may name here."""
    return KnownExchanges(
        KnownExchange.from_offers(name, point.load().offers) for name, point in adapter_points().items()
    )
