"""Symbols and contracts. Futures write BTC as XBT; steps of contracts count contracts."""

from __future__ import annotations

from decimal import Decimal

import orjson
from feedplane_core.decimals import Dec, decimal_text, exact_product, quotient, scaled
from feedplane_core.dialect import Coin, Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

EXCHANGE = "kucoin"
FUNDING_MS = 8 * 3_600_000

_STATUS_NAMES = {
    InstrumentStatus.TRADING: "Open",
    InstrumentStatus.HALTED: "Paused",
    InstrumentStatus.DELISTED: "Closed",
}
_FIRST_OPEN_MS = 1585555200000
_EXPIRE_MS = 1806048000000
_DATED = "MH27"
_USD_LOT = "20000"


def is_spot(market: Market) -> bool:
    return market.listing.market_type is MarketType.SPOT


def is_inverse(market: Market) -> bool:
    return market.listing.quote == "USD"


def listings(count: int) -> list[Listing]:
    """Of each coin a pair in USDT, a linear and an inverse perpetual; of the first one a dated contract, which is inverse."""
    found = []
    for number, coin in enumerate(coins(count)):
        root = _futures_name(coin.base)
        contracts = str(scaled(coin.lot) // scaled(coin.step))
        found += [
            _listing(coin, f"{coin.base}-USDT", MarketType.SPOT, "USDT", coin.step, coin.lot, None),
            _listing(coin, f"{root}USDTM", MarketType.PERP_LINEAR, "USDT", "1", contracts, coin.step),
            _listing(coin, f"{root}USDM", MarketType.PERP_INVERSE, "USD", "1", _USD_LOT, "1"),
        ]
        if not number:
            found.append(_listing(coin, f"{root}{_DATED}", MarketType.DELIVERY, "USD", "1", _USD_LOT, "1"))
    return found


def _futures_name(base: str) -> str:
    return "XBT" if base == "BTC" else base


def _listing(
    coin: Coin, symbol: str, market_type: MarketType, quote: str, step: Dec, lot: Dec, contract_size: Dec | None
) -> Listing:
    return Listing(
        instrument=symbol,
        market_type=market_type,
        base=coin.base,
        quote=quote,
        tick=coin.tick,
        step=step,
        price_decimals=decimals_of(coin.tick),
        qty_decimals=decimals_of(step),
        start_price=coin.price,
        lot=lot,
        contract_size=contract_size,
    )


def base_text(market: Market, size: Dec, price: Dec) -> Dec:
    """A size on the wire in base units: contracts times their size, over the price where they are worth dollars."""
    contract_size = market.listing.contract_size
    if contract_size is None:
        return size
    if not is_inverse(market):
        return exact_product(size, contract_size)
    value = quotient(Decimal(size) * Decimal(contract_size), Decimal(price))
    return decimal_text(value.normalize() if value else Decimal(0))


def levels_in_base(market: Market, levels: list[list[Dec]]) -> list[list[Dec]]:
    return levels if is_spot(market) else [[price, base_text(market, size, price)] for price, size in levels]


def symbol_row(market: Market) -> dict[str, object]:
    """A row of `GET /api/v2/symbols`."""
    listing = market.listing
    return {
        "symbol": listing.instrument,
        "name": listing.instrument,
        "baseCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "feeCurrency": listing.quote,
        "market": "USDS",
        "baseMinSize": listing.step,
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": listing.step,
        "quoteIncrement": "0.000001",
        "priceIncrement": listing.tick,
        "minFunds": "0.1",
        "isMarginEnabled": False,
        "enableTrading": market.status is InstrumentStatus.TRADING,
        "st": False,
    }


def contract_row(market: Market) -> dict[str, object]:
    """A row of `GET /api/v1/contracts/active`: JSON numbers; the multiplier of inverse contracts is -1."""
    listing = market.listing
    is_dated = listing.market_type is MarketType.DELIVERY
    sign = "-" if is_inverse(market) else ""
    base = _futures_name(listing.base)
    return {
        "symbol": listing.instrument,
        "rootSymbol": listing.quote,
        "type": "FFICSX" if is_dated else "FFWCSX",
        "firstOpenDate": _FIRST_OPEN_MS,
        "expireDate": _EXPIRE_MS if is_dated else None,
        "settleDate": _EXPIRE_MS if is_dated else None,
        "baseCurrency": base,
        "quoteCurrency": listing.quote,
        "settleCurrency": base if is_inverse(market) else listing.quote,
        "maxOrderQty": 1000000,
        "lotSize": orjson.Fragment(listing.step),
        "tickSize": orjson.Fragment(listing.tick),
        "multiplier": orjson.Fragment(f"{sign}{listing.contract_size}"),
        "isQuanto": False,
        "isInverse": is_inverse(market),
        "status": _STATUS_NAMES[market.status],
        "fundingFeeRate": None if is_dated else orjson.Fragment(market.mark_text(market.funding)),
        "predictedFundingFeeRate": None,
        "fundingRateGranularity": None if is_dated else FUNDING_MS,
        "openInterest": market.qty_text(market.open_interest),
        "markPrice": orjson.Fragment(market.mark_text(market.mark)),
        "indexPrice": orjson.Fragment(market.mark_text(market.index)),
    }
