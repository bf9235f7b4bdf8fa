"""How Kraken prints numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import orjson
from feedplane_core.decimals import quotient
from feedplane_core.dialect import LevelInts, Market
from feedplane_core.names import NS_PER_MS, NS_PER_S, NS_PER_US, MarketType

EXCHANGE = "kraken"


def shortest(text: str) -> str:
    """Without trailing zeros, as a JSON number is printed: `0.5660` -> `0.566`, `740.00` -> `740.0`, `15000` as it is."""
    if "." not in text:
        return text
    short = text.rstrip("0")
    return f"{short}0" if short.endswith(".") else short


def number(text: str) -> orjson.Fragment:
    """A JSON number of exactly these digits."""
    return orjson.Fragment(text.encode())


def scientific(text: str) -> str:
    """`0.00010042` -> `1.0042e-4`, as small numbers of futures come."""
    return f"{Decimal(text).normalize():E}".replace("E", "e")


def iso(ts_ns: int, digits: int = 6) -> str:
    """RFC 3339, UTC, with six or nine decimals."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{f'{rest_ns:09d}'[:digits]}Z"


def micro(ts_ns: int) -> int:
    return ts_ns // NS_PER_US * NS_PER_US


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def is_inverse(market: Market) -> bool:
    return market.listing.extra.get("inverse", "") != ""


def base_text(market: Market, contracts: str, price: str) -> str:
    """Contracts in base units: inverse ones are dollars at `price`."""
    if not is_inverse(market):
        return contracts
    value = quotient(Decimal(contracts) * Decimal(market.listing.contract_size or "1"), Decimal(price))
    return format(value.normalize(), "f") if value else "0"


def wire_levels(market: Market, levels: list[LevelInts]) -> list[tuple[str, str]]:
    """Price and quantity as they are printed."""
    return [(shortest(market.price_text(tick)), shortest(market.qty_text(qty))) for tick, qty in levels]


def level_objects(levels: list[tuple[str, str]]) -> list[dict[str, orjson.Fragment]]:
    return [{"price": number(price), "qty": number(qty)} for price, qty in levels]


def is_spot(market: Market) -> bool:
    return market.listing.market_type is MarketType.SPOT
