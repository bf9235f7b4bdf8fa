"""Instruments, in the words of `exchangeInfo` and `contract/detail`."""

from __future__ import annotations

from decimal import Decimal

from feedplane_core.decimals import Dec, decimal_text, exact_product, quotient
from feedplane_core.dialect import Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

from .wire import number

EXCHANGE = "mexc"
FUNDING_HOURS = 8
_USD_SIZE = "10"
_USD_LOT = "2000"
_SPOT_STATUS = {InstrumentStatus.TRADING: "1", InstrumentStatus.HALTED: "2"}
_STATES = {InstrumentStatus.TRADING: 0, InstrumentStatus.HALTED: 4, InstrumentStatus.DELISTED: 3}


def is_contract(name: str) -> bool:
    return "_" in name


def listings(count: int) -> list[Listing]:
    """Of each coin a spot pair, a linear contract worth its smallest step, and an inverse one worth 10 USD."""
    found = []
    for coin in coins(count):
        contracts = str(int(Decimal(coin.lot) / Decimal(coin.step)))
        found += [
            _listing(f"{coin.base}USDT", MarketType.SPOT, coin.base, "USDT", coin.tick, coin.step, coin.lot, coin.price),
            _listing(
                f"{coin.base}_USDT", MarketType.PERP_LINEAR, coin.base, "USDT", coin.tick, "1", contracts, coin.price,
                size=coin.step,
            ),
            _listing(
                f"{coin.base}_USD", MarketType.PERP_INVERSE, coin.base, "USD", coin.tick, "1", _USD_LOT, coin.price,
                size=_USD_SIZE,
            ),
        ]  # fmt: skip
    return found


def _listing(
    name: str,
    market_type: MarketType,
    base: str,
    quote: str,
    tick: Dec,
    step: Dec,
    lot: Dec,
    price: Dec,
    size: Dec = "",
) -> Listing:
    return Listing(
        instrument=name,
        market_type=market_type,
        base=base,
        quote=quote,
        tick=tick,
        step=step,
        price_decimals=decimals_of(tick),
        qty_decimals=decimals_of(step),
        start_price=price,
        lot=lot,
        contract_size=size or None,
    )


def base_text(market: Market, qty: Dec, price: Dec) -> Dec:
    """A wire quantity in base units."""
    listing = market.listing
    if listing.contract_size is None:
        return qty
    worth = exact_product(qty, listing.contract_size)
    if listing.market_type is MarketType.PERP_LINEAR:
        return qty if listing.contract_size == "1" else worth
    value = quotient(Decimal(worth), Decimal(price))
    return decimal_text(value.normalize() if value else Decimal(0))


def spot_row(market: Market) -> dict[str, object]:
    """One of `symbols`."""
    listing = market.listing
    return {
        "symbol": listing.instrument,
        "status": _SPOT_STATUS.get(market.status, "3"),
        "baseAsset": listing.base,
        "baseAssetPrecision": listing.qty_decimals,
        "quoteAsset": listing.quote,
        "quotePrecision": listing.price_decimals,
        "quoteAssetPrecision": listing.price_decimals,
        "isSpotTradingAllowed": market.status is InstrumentStatus.TRADING,
        "baseSizePrecision": listing.step,
        "quoteAmountPrecision": "1",
        "tradeSideType": 1,
    }


def contract_row(market: Market) -> dict[str, object]:
    """One of `data`."""
    listing = market.listing
    return {
        "symbol": listing.instrument,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "settleCoin": listing.quote if listing.market_type is MarketType.PERP_LINEAR else listing.base,
        "contractSize": number(listing.contract_size or "1"),
        "minVol": 1,
        "volUnit": 1,
        "priceScale": listing.price_decimals,
        "priceUnit": number(listing.tick),
        "state": _STATES[market.status],
        "futureType": 1,
        "apiAllowed": True,
        "isHidden": False,
    }
