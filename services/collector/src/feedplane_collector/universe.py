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
    """What to follow, and what cannot be: why, in words, by name."""

    instruments: list[Instrument]
    refused: dict[str, str]


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
    """This shard's part of what is wanted. Pure.

    Some venues spell instruments of two markets alike (`BTCUSDT`, spot and perpetual). A FeedSet has such markets in collectors of their own (`feedplane_feedset.markets`); should
    a venue do it where its adapter says that it does not, the name tells nothing, so neither is followed and it is said so. A name that is listed on a sibling market alone is
    not this collector's: it is neither followed nor refused.
    """
    markets = frozenset(config.markets)
    listed: dict[str, Instrument] = {}
    ambiguous: dict[str, str] = {}
    elsewhere = {
        i.instrument
        for i in universe
        if i.market_type in config.sibling_markets and i.status is not InstrumentStatus.DELISTED
    }
    for instrument in universe:
        if instrument.status is InstrumentStatus.DELISTED or (markets and instrument.market_type not in markets):
            continue
        other = listed.setdefault(instrument.instrument, instrument)
        if other.market_type is not instrument.market_type:
            both = " and ".join(sorted((other.market_type, instrument.market_type)))
            ambiguous[instrument.instrument] = f"is listed on {both}: name one of them in markets"
    names = select_symbols(
        ((i.instrument, i.quote) for i in listed.values()), config.symbols, config.shard, config.shards
    )
    names = tuple(name for name in names if name in listed or name not in elsewhere)
    refused = {name: ambiguous.get(name) or _unlisted(name, listed) for name in names}
    return Selection(
        [listed[name] for name in names if not refused[name]], {name: why for name, why in refused.items() if why}
    )


def _unlisted(name: str, listed: dict[str, Instrument]) -> str:
    if name in listed:
        return ""
    near = _nearest(name, listed)
    return "is not listed" + (f" (did you mean {near}?)" if near else "")


def _nearest(name: str, listed: dict[str, Instrument]) -> str:
    close = difflib.get_close_matches(name.upper(), listed.keys(), n=1, cutoff=0.6)
    return close[0] if close else ""
