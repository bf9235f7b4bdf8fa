"""Which channels there are, on which path, and what they take as argument. A topic is `channel:argument`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from feedplane_core.dialect import Venue

from .derivatives import BARS_S, Candles, Fundings, Indices, Instruments, Interests, Liquidations, Marks, followers
from .listing import is_spot
from .streams import BaseStream, Books, Quotes, Tickers, TopBooks, Trades

PUBLIC, BUSINESS = "public", "business"
BY_INSTRUMENT = frozenset({"trades", "bbo-tbt", "books", "books5", "tickers"})
BY_DERIVATIVE = frozenset({"mark-price", "funding-rate", "open-interest"})
BY_TYPE = frozenset({"liquidation-orders", "instruments"})
INDEX = "index-tickers"
KEYED = frozenset({"books-l2-tbt", "books50-l2-tbt"})
_TYPES = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})


def is_business(channel: str) -> bool:
    return channel == "trades-all" or channel.startswith("candle")


def topic_of(arg: Mapping[str, Any], path: str, venue: Venue) -> str | None:
    """The topic of a subscription's argument; `None` where the venue refuses it (60018)."""
    channel, name, kind = arg.get("channel"), arg.get("instId", ""), arg.get("instType", "")
    if not all(isinstance(text, str) for text in (channel, name, kind)):
        return None
    if (BUSINESS if is_business(str(channel)) else PUBLIC) != path:
        return None
    if channel in BY_TYPE:
        return f"{channel}:{kind}" if kind in _TYPES else None
    if channel == INDEX:
        return f"{channel}:{name}" if _has_index(name, venue) else None
    is_known = channel in BY_INSTRUMENT | BY_DERIVATIVE or channel == "trades-all" or _bar_of(str(channel)) in BARS_S
    return f"{channel}:{name}" if is_known and name in venue.markets else None


def _bar_of(channel: str) -> str:
    return channel.removeprefix("candle") if channel.startswith("candle") else ""


def _has_index(name: str, venue: Venue) -> bool:
    """In a replay no market is known and none is refused."""
    return bool(followers(venue, name)) or not len(venue.markets)


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    """The channel behind a topic; `None` for what is acknowledged and stays silent: a pair has no funding."""
    channel, _, name = topic.partition(":")
    if channel == "liquidation-orders":
        return Liquidations(venue, name)
    if channel == "instruments":
        return Instruments(venue, name)
    if channel == INDEX:
        return Indices(venue, name, followers(venue, name)[0].listing.instrument)
    if channel in ("trades", "trades-all"):
        return Trades(venue, name, is_aggregated=channel == "trades")
    if channel in BY_DERIVATIVE and is_spot(venue.markets[name].listing):
        return None
    plain: dict[str, Callable[[Venue, str], BaseStream]] = {
        "bbo-tbt": Quotes,
        "books": Books,
        "books5": TopBooks,
        "tickers": Tickers,
        "mark-price": Marks,
        "funding-rate": Fundings,
        "open-interest": Interests,
    }
    if channel in plain:
        return plain[channel](venue, name)
    return Candles(venue, name, _bar_of(channel))
