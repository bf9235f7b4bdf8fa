"""Instruments, in instruments-info's words. A coin's spot pair and its linear perpetual share their name."""

from __future__ import annotations

from feedplane_core.dialect import Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

SPOT, LINEAR, INVERSE = "spot", "linear", "inverse"
CATEGORIES = (SPOT, LINEAR, INVERSE)
FUNDING_MINUTES = 480

_STATUS_NAMES = {
    InstrumentStatus.TRADING: "Trading",
    InstrumentStatus.HALTED: "PreLaunch",
    InstrumentStatus.DELISTED: "Closed",
}
_LAUNCH_MS = "1585526400000"
_DATED = {LINEAR: ("-26MAR27", "1806048000000"), INVERSE: ("USDH27", "1806048000000")}
_USD_LOT = "20000"
_CONTRACT_TYPES = {
    (LINEAR, MarketType.PERP_LINEAR): "LinearPerpetual",
    (LINEAR, MarketType.DELIVERY): "LinearFutures",
    (INVERSE, MarketType.PERP_INVERSE): "InversePerpetual",
    (INVERSE, MarketType.DELIVERY): "InverseFutures",
}


def world_name(category: str, symbol: str) -> str:
    """What the world calls an instrument: `linear/BTCUSDT`."""
    return f"{category}/{symbol}"


def category_of(market: Market) -> str:
    return market.listing.extra["category"]


def is_inverse(market: Market) -> bool:
    return category_of(market) == INVERSE


def listings(count: int) -> list[Listing]:
    """Spot and linear in USDT, inverse in USD; of the first coin a dated contract of both kinds."""
    found = []
    for number, coin in enumerate(coins(count)):
        tether, dollar = f"{coin.base}USDT", f"{coin.base}USD"
        shared = {"base": coin.base, "tick": coin.tick, "start_price": coin.price}
        base = {"quote": "USDT", "step": coin.step, "lot": coin.lot}
        usd = {"quote": "USD", "step": "1", "lot": _USD_LOT, "contract_size": "1"}
        found += [
            _listing(SPOT, tether, MarketType.SPOT, shared | base),
            _listing(LINEAR, tether, MarketType.PERP_LINEAR, shared | base),
            _listing(INVERSE, dollar, MarketType.PERP_INVERSE, shared | usd),
        ]
        if not number:
            found += [
                _listing(category, f"{coin.base}{_DATED[category][0]}", MarketType.DELIVERY, shared | terms)
                for category, terms in ((LINEAR, base | {"quote": "USDC"}), (INVERSE, usd))
            ]
    return found


def _listing(category: str, symbol: str, market_type: MarketType, terms: dict[str, str]) -> Listing:
    return Listing(
        instrument=symbol,
        unique_name=world_name(category, symbol),
        market_type=market_type,
        base=terms["base"],
        quote=terms["quote"],
        tick=terms["tick"],
        step=terms["step"],
        price_decimals=decimals_of(terms["tick"]),
        qty_decimals=decimals_of(terms["step"]),
        start_price=terms["start_price"],
        lot=terms["lot"],
        contract_size=terms.get("contract_size"),
        extra={"category": category},
    )


def status_name(market: Market) -> str:
    return _STATUS_NAMES[market.status]


def info_row(market: Market) -> dict[str, object]:
    """One of instruments-info's `list`."""
    listing, category = market.listing, category_of(market)
    row: dict[str, object] = {
        "symbol": listing.instrument,
        "status": status_name(market),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "priceFilter": {"minPrice": listing.tick, "maxPrice": "1999999.80", "tickSize": listing.tick},
    }
    if category == SPOT:
        sizes = {"basePrecision": listing.step, "quotePrecision": "0.00000001", "minOrderQty": listing.step}
        return row | {"innovation": "0", "marginTrading": "none", "lotSizeFilter": sizes}
    is_dated = listing.market_type is MarketType.DELIVERY
    return row | {
        "contractType": _CONTRACT_TYPES[category, listing.market_type],
        "settleCoin": listing.base if category == INVERSE else listing.quote,
        "launchTime": _LAUNCH_MS,
        "deliveryTime": _DATED[category][1] if is_dated else "0",
        "priceScale": str(listing.price_decimals),
        "lotSizeFilter": {"maxOrderQty": "1000000", "minOrderQty": listing.step, "qtyStep": listing.step},
        "fundingInterval": 0 if is_dated else FUNDING_MINUTES,
        "isPreListing": False,
        "preListingInfo": None,
    }
