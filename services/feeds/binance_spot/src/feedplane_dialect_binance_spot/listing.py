"""Instruments, in exchangeInfo's words. All texts are padded to eight decimals, as this venue pads them."""

from __future__ import annotations

from feedplane_core.dialect import Listing, Market, coins
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

DECIMALS = 8
STATUS_NAMES = {
    InstrumentStatus.TRADING: "TRADING",
    InstrumentStatus.HALTED: "HALT",
    InstrumentStatus.DELISTED: "BREAK",
}


def listings(count: int) -> list[Listing]:
    """USDT pairs."""
    return [
        Listing(
            instrument=f"{coin.base}USDT",
            market_type=MarketType.SPOT,
            base=coin.base,
            quote="USDT",
            tick=coin.tick,
            step=coin.step,
            price_decimals=DECIMALS,
            qty_decimals=DECIMALS,
            start_price=coin.price,
            lot=coin.lot,
        )
        for coin in coins(count)
    ]


def exchange_info_row(market: Market) -> dict[str, object]:
    listing = market.listing
    tick, step = market.price_text(1), market.qty_text(1)
    return {
        "symbol": listing.instrument,
        "status": STATUS_NAMES[market.status],
        "baseAsset": listing.base,
        "baseAssetPrecision": DECIMALS,
        "quoteAsset": listing.quote,
        "quotePrecision": DECIMALS,
        "quoteAssetPrecision": DECIMALS,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "922327.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "900000000.00000000", "stepSize": step},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
        ],
        "permissionSets": [["SPOT"]],
    }
