"""`feedplane plan`: pods and symbols from the FeedSet, sockets and subscriptions from the adapters. No side effects, no network."""

from __future__ import annotations

from typing import Any

from feedplane_core.instruments import Instrument
from feedplane_core.names import MarketType
from feedplane_feedset.model import FeedSet
from feedplane_feedset.plan import plan_change
from feedplane_feedset.plan_text import render_plan
from feedplane_feedset.render import Stores, render_collectors

from feedplane_cli.adapters import load_adapter

_NOWHERE = Stores(redis_endpoints=("embedded:0",), clickhouse_shards=(("embedded:0",),))


def sockets_of(feedset: FeedSet) -> list[dict[str, Any]]:
    """Per collector: sockets and subscriptions for the symbols that are named; discovered ones are known only to the venue."""
    found = []
    for config in render_collectors(feedset, _NOWHERE):
        adapter = load_adapter(config.exchange)
        market = (config.markets or tuple(sorted(adapter.offers.markets)))[0]
        named = [_stand_in(config.exchange, market, name) for name in config.symbols.include]
        connections = adapter.subscriptions(named, config.feeds) if named else []
        found.append(
            {
                "collector": config.name,
                "exchange": config.exchange,
                "discovers": config.symbols.mode == "discover",
                "symbols": len(named),
                "sockets": len(connections),
                "subscriptions": sum(len(c.channels) for c in connections),
                "polls": len(adapter.polls(named, config.feeds)) if named else 0,
            }
        )
    return found


def _stand_in(exchange: str, market: MarketType, name: str) -> Instrument:
    return Instrument(exchange=exchange, market_type=market, instrument=name, pair=name, base="", quote="")


def plan_document(before: FeedSet | None, after: FeedSet) -> dict[str, Any]:
    return {**plan_change(before, after).as_dict(), "collectors": sockets_of(after)}


def plan_text(before: FeedSet | None, after: FeedSet) -> str:
    lines = [render_plan(plan_change(before, after)).rstrip(), "", "sockets afterwards:"]
    for row in sockets_of(after):
        what = "symbols as the venue lists them" if row["discovers"] else f"{row['symbols']} symbols"
        lines.append(
            f"  {row['collector']}: {what}, {row['sockets']} sockets, {row['subscriptions']} subscriptions, {row['polls']} polls"
        )
    return "\n".join(lines)
