"""Pairs and contracts, in the words of AssetPairs, the `instrument` channel and the futures listing."""

from __future__ import annotations

from collections.abc import Iterator

from feedplane_core.dialect import Coin, Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

from .text import iso, number, shortest

QTY_DECIMALS = 8
EXPIRY, _EXPIRY_NS = "301227", 1_924_617_600_000_000_000
_LISTED_NS = 1_535_673_600_000_000_000
_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_CONTRACTS = (
    ("PF", MarketType.PERP_LINEAR),
    ("PI", MarketType.PERP_INVERSE),
    ("FI", MarketType.DELIVERY),
    ("FF", MarketType.DELIVERY),
)


def listings(count: int) -> list[Listing]:
    """Spot pairs in dollars, then linear and inverse perpetuals, dated inverse and linear contracts of the same coins."""
    chosen = coins(count)
    found = [_spot(coin) for coin in chosen]
    for prefix, market in _CONTRACTS:
        found += [_contract(coin, prefix, market) for coin in chosen]
    return found


def _spot(coin: Coin) -> Listing:
    old = _OLD_NAMES.get(coin.base, coin.base)
    return Listing(
        instrument=f"{coin.base}/USD",
        market_type=MarketType.SPOT,
        base=coin.base,
        quote="USD",
        tick=coin.tick,
        step=coin.step,
        price_decimals=decimals_of(coin.tick),
        qty_decimals=QTY_DECIMALS,
        start_price=coin.price,
        lot=coin.lot,
        extra={"altname": f"{old}USD", "wsname": f"{old}/USD", "key": f"X{old}ZUSD"},
    )


def _contract(coin: Coin, prefix: str, market: MarketType) -> Listing:
    inverse = prefix.endswith("I")
    name = f"{prefix}_{'XBT' if coin.base == 'BTC' else coin.base}USD"
    return Listing(
        instrument=name + (f"_{EXPIRY}" if market is MarketType.DELIVERY else ""),
        market_type=market,
        base=coin.base,
        quote="USD",
        tick=coin.tick,
        step="1" if inverse else coin.step,
        price_decimals=decimals_of(coin.tick),
        qty_decimals=0 if inverse else decimals_of(coin.step),
        start_price=coin.price,
        lot="20000" if inverse else coin.lot,
        contract_size="1",
        extra={"inverse": "yes"} if inverse else {},
    )


def _spot_status(market: Market) -> str:
    match market.status:
        case InstrumentStatus.TRADING:
            return "online"
        case InstrumentStatus.HALTED:
            return "maintenance"
    return "delisted"


def asset_pair(market: Market) -> tuple[str, dict[str, object]]:
    """An entry of AssetPairs: the venue's own name of the pair, and its facts."""
    listing = market.listing
    row: dict[str, object] = {"altname": listing.extra["altname"], "wsname": listing.extra["wsname"]}
    row |= {"aclass_base": "currency", "base": f"X{listing.base}", "aclass_quote": "currency", "quote": "ZUSD"}
    row |= {"lot": "unit", "cost_decimals": 5, "pair_decimals": listing.price_decimals, "lot_decimals": QTY_DECIMALS}
    row |= {"lot_multiplier": 1, "ordermin": listing.step, "costmin": "0.5", "tick_size": listing.tick}
    return listing.extra["key"], row | {"status": _spot_status(market)}


def pair_object(market: Market) -> dict[str, object]:
    """An entry of `pairs` in the `instrument` channel."""
    listing = market.listing
    row: dict[str, object] = {"symbol": listing.instrument, "base": listing.base, "quote": listing.quote}
    row |= {"status": _spot_status(market), "price_precision": listing.price_decimals, "qty_precision": QTY_DECIMALS}
    row |= {"price_increment": number(shortest(listing.tick)), "qty_increment": number("1e-08"), "qty_min": 0.0001}
    return row | {"cost_min": 0.5, "cost_precision": 5, "marginable": False, "has_index": True, "tick_size": 0.1}


def contract_object(market: Market) -> dict[str, object]:
    """An entry of the futures listing."""
    listing = market.listing
    inverse = bool(listing.extra)
    row: dict[str, object] = {"symbol": listing.instrument, "tickSize": number(shortest(listing.tick))}
    row |= {"type": "futures_inverse" if inverse else "flexible_futures", "contractSize": 1}
    row |= {"tradeable": market.status is InstrumentStatus.TRADING, "base": listing.base, "quote": "USD"}
    row |= {"pair": f"{listing.base}:USD", "openingDate": iso(_LISTED_NS, 3)}
    if listing.market_type is MarketType.DELIVERY:
        row["lastTradingTime"] = iso(_EXPIRY_NS, 3)
    return row | {"contractValueTradePrecision": listing.qty_decimals}


def of_system(markets: Iterator[Market] | list[Market], *, spot: bool) -> list[Market]:
    return [market for market in markets if (market.listing.market_type is MarketType.SPOT) is spot]
