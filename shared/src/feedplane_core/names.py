"""Every name that two processes must spell alike: feeds, market types, Redis keys, tables, record types."""

from __future__ import annotations

from enum import StrEnum

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Feed(StrEnum):
    """What a FeedSet selects, and the label that every account is kept under."""

    TRADES = "trades"
    L1 = "l1"
    OB_DIFFS = "ob_diffs"
    OB_TOP5 = "ob_top5"
    OB_TOP20 = "ob_top20"
    LIQUIDATIONS = "liquidations"
    KLINES = "klines"
    MARK_PRICE = "mark_price"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    ADVANCED = "advanced"


DERIVED_FEEDS = frozenset({Feed.OB_TOP5, Feed.OB_TOP20, Feed.ADVANCED})
"""Computed by the collector from a synced book and the trades; a venue with `ob_diffs` has them all."""

BOOK_FEEDS = DERIVED_FEEDS | {Feed.L1}
"""What a venue with `ob_diffs` has in any case: L1 comes from the book where there is no native quote channel."""


class MarketType(StrEnum):
    """How an instrument settles."""

    SPOT = "spot"
    PERP_LINEAR = "perp_linear"
    PERP_INVERSE = "perp_inverse"
    DELIVERY = "delivery"


class Aggressor(StrEnum):
    """Side of the taker."""

    BUY = "buy"
    SELL = "sell"
    UNKNOWN = "unknown"


class Liquidated(StrEnum):
    """The position that died."""

    LONG = "long"
    SHORT = "short"


class State(StrEnum):
    """How far a hot value can be trusted.

    `sim` marks data of simulated venues and `replay` data of a recording: neither can be taken for live data.
    """

    SYNCED = "synced"
    RESYNC = "resync"
    STALE = "stale"
    REPLAY = "replay"
    SIM = "sim"


class Mode(StrEnum):
    """Where a plane's frames come from."""

    LIVE = "live"
    SIM = "sim"
    REPLAY = "replay"


DATABASES = {Mode.LIVE: "marketdata", Mode.SIM: "feedplane_sim", Mode.REPLAY: "feedplane_replay"}

EXCHANGES = (
    "binance_futures",
    "binance_spot",
    "coinbase",
    "kraken",
    "bybit",
    "okx",
    "htx",
    "kucoin",
    "gateio",
    "bitfinex",
    "mexc",
)
"""Venues that Feedplane sets out to carry; those that exist are found by entry point `feedplane.adapters`."""


class KeyStyle(StrEnum):
    """How a Redis key ends: `binance_futures:ETHUSDT`, or `{binance_futures|ETHUSDT}` so that one instrument's keys share a Cluster slot."""

    FLAT = "Flat"
    TAGGED = "Tagged"


HOT_KINDS = ("l1", "top5", "top20", "mark", "funding", "oi", "adv")


def name_in_keys(instrument: str, market: MarketType | None = None) -> str:
    """How a Redis key spells an instrument: `BTCUSDT`, or `BTCUSDT:perp_linear` where another market of the venue already has the plain name in the same Redis."""
    return instrument if market is None else f"{instrument}:{market}"


def key_tail(exchange: str, instrument: str, style: KeyStyle) -> str:
    return f"{{{exchange}|{instrument}}}" if style is KeyStyle.TAGGED else f"{exchange}:{instrument}"


def hot_key(kind: str, exchange: str, instrument: str, style: KeyStyle = KeyStyle.FLAT) -> str:
    """`last:<kind>:<exchange>:<instrument>`; `kind` is one of `HOT_KINDS`."""
    return f"last:{kind}:{key_tail(exchange, instrument, style)}"


def trades_key(exchange: str, instrument: str, style: KeyStyle = KeyStyle.FLAT) -> str:
    """`stream:trades:<exchange>:<instrument>`."""
    return f"stream:trades:{key_tail(exchange, instrument, style)}"
