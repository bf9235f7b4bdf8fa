"""Instruments, in exchangeInfo's words."""

from __future__ import annotations

from feedplane_core.dialect import Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

STATUS_NAMES = {
    InstrumentStatus.TRADING: "TRADING",
    InstrumentStatus.HALTED: "PENDING_TRADING",
    InstrumentStatus.DELISTED: "CLOSE",
}
_PERPETUAL_DELIVERY_MS = 4133404800000
_ONBOARD_MS = 1569398400000


def listings(count: int) -> list[Listing]:
    """USDT perpetuals."""
    return [
        Listing(
            instrument=f"{coin.base}USDT",
            market_type=MarketType.PERP_LINEAR,
            base=coin.base,
            quote="USDT",
            tick=coin.tick,
            step=coin.step,
            price_decimals=decimals_of(coin.tick),
            qty_decimals=decimals_of(coin.step),
            start_price=coin.price,
            lot=coin.lot,
        )
        for coin in coins(count)
    ]


def exchange_info_row(market: Market) -> dict[str, object]:
    listing = market.listing
    return {
        "symbol": listing.instrument,
        "pair": listing.instrument,
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_DELIVERY_MS,
        "onboardDate": _ONBOARD_MS,
        "status": STATUS_NAMES[market.status],
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.qty_decimals,
        "underlyingType": "COIN",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": listing.tick, "maxPrice": "1000000", "tickSize": listing.tick},
            {"filterType": "LOT_SIZE", "minQty": listing.step, "maxQty": "10000000", "stepSize": listing.step},
            {"filterType": "MIN_NOTIONAL", "notional": "5.0"},
        ],
    }
