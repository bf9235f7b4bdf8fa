"""Which instruments to follow: what the venue lists, what the FeedSet wants, which shard owns it."""

from __future__ import annotations

import asyncio
import difflib
import logging

import msgspec
from feedplane_core.adapter import Adapter, Request
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.paging import MAX_PAGES, next_page
from feedplane_feedset.config import CollectorConfig
from feedplane_feedset.sharding import select_symbols

from feedplane_collector.rest import RestClient, RestFailed

logger = logging.getLogger(__name__)


class Selection(msgspec.Struct, frozen=True):
    """What to follow, and which named symbols the venue does not list (with the nearest name it does)."""

    instruments: list[Instrument]
    unknown: dict[str, str]


class UniverseFailed(Exception):
    """The venue's instruments could not be had."""


async def fetch_universe(adapter: Adapter, rest: RestClient) -> list[Instrument]:
    """Every instrument of the venue. Raises: UniverseFailed."""
    try:
        pages = await asyncio.gather(*(_fetch_pages(request, rest) for request in adapter.instruments_requests()))
        return adapter.decode_instruments([body for bodies in pages for body in bodies])
    except (RestFailed, DecodeError) as e:
        raise UniverseFailed(str(e)) from e


async def _fetch_pages(request: Request, rest: RestClient) -> list[bytes]:
    """The body of a request and of all that follow it."""
    bodies: list[bytes] = []
    following: Request | None = request
    while following is not None and len(bodies) < MAX_PAGES:
        body, _ = await rest.fetch(following)
        bodies.append(body)
        following = next_page(following, body)
    return bodies


def select(config: CollectorConfig, universe: list[Instrument]) -> Selection:
    """This shard's part of what is wanted. Pure."""
    markets = frozenset(config.markets)
    listed = {
        i.instrument: i
        for i in universe
        if i.status is not InstrumentStatus.DELISTED and (not markets or i.market_type in markets)
    }
    names = select_symbols(
        ((i.instrument, i.quote) for i in listed.values()), config.symbols, config.shard, config.shards
    )
    unknown = {name: _nearest(name, listed) for name in names if name not in listed}
    return Selection([listed[name] for name in names if name in listed], unknown)


def _nearest(name: str, listed: dict[str, Instrument]) -> str:
    close = difflib.get_close_matches(name.upper(), listed.keys(), n=1, cutoff=0.6)
    return close[0] if close else ""
