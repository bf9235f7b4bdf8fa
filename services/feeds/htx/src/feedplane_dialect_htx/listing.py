"""Symbols, their units, and how numbers are written."""

from __future__ import annotations

from decimal import Decimal

import orjson
from feedplane_core.dialect import Coin, Listing, Market, Steps, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

EXPIRY = "301227"
EXPIRY_MS = 1_924_588_800_000
FUNDING_HOURS = 8
_DATED = 2
"""Only the first coins have dated contracts."""
_SPOT_STATES = {InstrumentStatus.TRADING: "online", InstrumentStatus.HALTED: "suspend"}
_CONTRACT_STATES = {InstrumentStatus.TRADING: 1, InstrumentStatus.HALTED: 3}


def listings(count: int) -> list[Listing]:
    """Spot pairs `btcusdt`, perpetuals `BTC-USDT`, and dated contracts `BTC-USDT-301227` of the best known coins."""
    found: list[Listing] = []
    for number, coin in enumerate(coins(count)):
        found += [_spot(coin), _contract(coin, f"{coin.base}-USDT", MarketType.PERP_LINEAR)]
        if number < _DATED:
            found.append(_contract(coin, f"{coin.base}-USDT-{EXPIRY}", MarketType.DELIVERY))
    return found


def _spot(coin: Coin) -> Listing:
    return Listing(
        instrument=f"{coin.base}usdt".lower(),
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


def _contract(coin: Coin, code: str, market: MarketType) -> Listing:
    """Whole contracts; one is a step of the coin, of coins that come in thousands ten."""
    size = coin.step if Decimal(coin.step) < 1 else "10"
    return Listing(
        instrument=code,
        market_type=market,
        base=coin.base,
        quote="USDT",
        tick=coin.tick,
        step="1",
        price_decimals=decimals_of(coin.tick),
        qty_decimals=0,
        start_price=coin.price,
        lot=str(int(Decimal(coin.lot) / Decimal(size))),
        contract_size=size,
    )


def number(text: str) -> str:
    """As the venue writes numbers: scientific where they are small (`9.2E-7`)."""
    return str(Decimal(text)) if text.startswith("0.000000") else text


def in_coins(listing: Listing, contracts: Steps) -> str:
    """Contracts in base units, without padding."""
    return format((Decimal(contracts) * Decimal(listing.contract_size or "1")).normalize(), "f")


def base_qty(market: Market, steps: Steps) -> str:
    """What a quantity means: spot counts base units with its padding, contracts are converted."""
    listing = market.listing
    return market.qty_text(steps) if listing.contract_size is None else in_coins(listing, steps)


def spot_row(market: Market) -> dict[str, object]:
    """A row of `market-symbols`."""
    listing = market.listing
    return {
        "symbol": listing.instrument,
        "state": _SPOT_STATES.get(market.status, "offline"),
        "bc": listing.base.lower(),
        "qc": listing.quote.lower(),
        "pp": listing.price_decimals,
        "ap": listing.qty_decimals,
        "sp": "main",
        "vp": 8,
        "minoa": orjson.Fragment(listing.step),
        "minov": 5,
        "at": "enabled",
    }


def contract_row(market: Market) -> dict[str, object]:
    """A row of `swap_contract_info`."""
    listing = market.listing
    is_dated = listing.market_type is MarketType.DELIVERY
    return {
        "symbol": listing.base,
        "contract_code": listing.instrument,
        "contract_size": orjson.Fragment(number(listing.contract_size or "1")),
        "price_tick": orjson.Fragment(number(listing.tick)),
        "delivery_date": f"20{EXPIRY}" if is_dated else "",
        "delivery_time": str(EXPIRY_MS) if is_dated else "",
        "create_date": "20201021",
        "contract_status": _CONTRACT_STATES.get(market.status, 8),
        "settlement_date": str(market.next_funding_ns // 1_000_000),
        "support_margin_mode": "all",
        "business_type": "futures" if is_dated else "swap",
        "pair": f"{listing.base}-{listing.quote}",
        "contract_type": "quarter" if is_dated else "swap",
        "settlement_period": str(FUNDING_HOURS),
        "tradfi_labels": [],
    }
