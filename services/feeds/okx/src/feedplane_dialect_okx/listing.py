"""Instruments: pairs, linear and inverse perpetuals, dated contracts; what a contract is worth, and how the venue writes numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache

from feedplane_core.dialect import Coin, Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

EXCHANGE = "okx"
EXPIRY = "281229"
EXPIRY_MS = 1_861_689_600_000  # 2028-12-29 08:00 UTC
_LIST_MS = 1_606_468_572_000
_INVERSE_USD = {"BTC": "100"}  # all others 10
_STATES = {
    InstrumentStatus.TRADING: "live",
    InstrumentStatus.HALTED: "suspend",
    InstrumentStatus.DELISTED: "",  # vanishes from the list
}
_TYPES = {
    MarketType.SPOT: "SPOT",
    MarketType.PERP_LINEAR: "SWAP",
    MarketType.PERP_INVERSE: "SWAP",
    MarketType.DELIVERY: "FUTURES",
}
_QUANTUM = Decimal("1e-18")


def listings(count: int) -> list[Listing]:
    """`count` of each kind."""
    found = coins(count)
    return [
        *map(_spot, found),
        *(_linear(coin, MarketType.PERP_LINEAR, "SWAP") for coin in found),
        *map(_inverse, found),
        *(_linear(coin, MarketType.DELIVERY, EXPIRY) for coin in found),
    ]


def _spot(coin: Coin) -> Listing:
    return Listing(
        instrument=f"{coin.base}-USDT",
        market_type=MarketType.SPOT,
        base=coin.base,
        quote="USDT",
        tick=coin.tick,
        step=coin.step,
        price_decimals=decimals_of(coin.tick),
        qty_decimals=decimals_of(coin.step),
        start_price=coin.price,
        lot=coin.lot,
    )


def _linear(coin: Coin, market: MarketType, tail: str) -> Listing:
    """A contract of ten of the coin's steps, traded in hundredths; so a hundredth is worth less than the coin's own step, as at the venue."""
    size = format((Decimal(coin.step) * 10).normalize(), "f")
    return Listing(
        instrument=f"{coin.base}-USDT-{tail}",
        market_type=market,
        base=coin.base,
        quote="USDT",
        tick=coin.tick,
        step="0.01",
        price_decimals=decimals_of(coin.tick),
        qty_decimals=2,
        start_price=coin.price,
        lot=format((Decimal(coin.lot) / Decimal(size)).quantize(Decimal("0.01")), "f"),
        contract_size=size,
        extra={"index": f"{coin.base}-USDT", "ctType": "linear", "ctVal": size, "ctMult": "1", "settle": "USDT"},
    )


def _inverse(coin: Coin) -> Listing:
    worth = _INVERSE_USD.get(coin.base, "10")
    contracts = int(Decimal(coin.lot) * Decimal(coin.price) / Decimal(worth))
    return Listing(
        instrument=f"{coin.base}-USD-SWAP",
        market_type=MarketType.PERP_INVERSE,
        base=coin.base,
        quote="USD",
        tick=coin.tick,
        step="1",
        price_decimals=decimals_of(coin.tick),
        qty_decimals=0,
        start_price=coin.price,
        lot=str(max(2, contracts)),
        contract_size=worth,
        extra={"index": f"{coin.base}-USD", "ctType": "inverse", "ctVal": worth, "ctMult": "1", "settle": coin.base},
    )


def type_of(listing: Listing) -> str:
    """`instType`."""
    return _TYPES[listing.market_type]


def is_spot(listing: Listing) -> bool:
    return listing.market_type is MarketType.SPOT


def instrument_row(market: Market) -> dict[str, object]:
    """A row of `GET /api/v5/public/instruments`, and of the channel `instruments`."""
    listing = market.listing
    spot = is_spot(listing)
    extra = listing.extra
    is_dated = listing.market_type is MarketType.DELIVERY
    return {
        "instType": type_of(listing),
        "instId": listing.instrument,
        "uly": extra.get("index", ""),
        "instFamily": extra.get("index", ""),
        "baseCcy": listing.base if spot else "",
        "quoteCcy": listing.quote if spot else "",
        "settleCcy": extra.get("settle", ""),
        "ctVal": extra.get("ctVal", ""),
        "ctMult": extra.get("ctMult", ""),
        "ctValCcy": "" if spot else listing.quote if extra["ctType"] == "inverse" else listing.base,
        "ctType": extra.get("ctType", ""),
        "tickSz": brief(listing.tick),
        "lotSz": brief(listing.step),
        "minSz": brief(listing.step),
        "alias": "next_quarter" if is_dated else "",
        "listTime": str(_LIST_MS),
        "expTime": str(EXPIRY_MS) if is_dated else "",
        "ruleType": "normal",
        "state": _STATES[market.status],
        "upcChg": [],
    }


def brief(text: str) -> str:
    """The venue writes numbers without padding: `30236`, `0.5`."""
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(maxsize=1 << 16)
def _contracts_in_base(qty: str, price: str, size: str, is_inverse: bool) -> str:
    with localcontext(prec=70, rounding=ROUND_HALF_EVEN):
        worth = Decimal(qty) * Decimal(size)
        if is_inverse:
            worth = (worth / Decimal(price)).quantize(_QUANTUM)
        return brief(format(worth, "f"))


def in_base(listing: Listing, qty: str, price: str) -> str:
    """A quantity of this instrument in its base coin: `qty` x `ctVal`, over the price where a contract is worth so many dollars."""
    if is_spot(listing):
        return qty
    return _contracts_in_base(qty, price, listing.extra["ctVal"], listing.extra["ctType"] == "inverse")
