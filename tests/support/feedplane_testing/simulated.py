"""What a simulated venue lists, as the real adapter reads it, and what of it a test follows."""

from __future__ import annotations

import urllib.request

from feedplane_core.adapter import Adapter, Request
from feedplane_core.instruments import Instrument
from feedplane_core.names import MarketType
from feedplane_core.paging import next_page

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PREFERRED = (MarketType.PERP_LINEAR, MarketType.SPOT, MarketType.PERP_INVERSE)
_COINS = ("BTC", "XBT", "ETH")


def simulated_instruments(adapter: Adapter) -> list[Instrument]:
    """Every instrument of the venue that the adapter's endpoints point to."""
    bodies = []
    for request in adapter.instruments_requests():
        following: Request | None = request
        while following is not None:
            call = urllib.request.Request(
                following.url, data=following.body, headers=dict(following.headers), method=following.method
            )
            body = _OPENER.open(call, timeout=10).read()
            bodies.append(body)
            following = next_page(following, body)
    return adapter.decode_instruments(bodies)


def two_of_one_market(listed: list[Instrument]) -> list[Instrument]:
    """The well-known two of the market that has all feeds, or of spot."""
    markets = {i.market_type for i in listed}
    market = next(m for m in _PREFERRED if m in markets)
    return sorted((i for i in listed if i.market_type is market and i.base in _COINS), key=lambda i: i.instrument)[:2]
