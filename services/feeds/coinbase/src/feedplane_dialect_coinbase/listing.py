"""Products."""

from __future__ import annotations

from feedplane_core.dialect import Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

QTY_DECIMALS = 8


def listings(count: int) -> list[Listing]:
    """USD pairs. Sizes carry eight decimals; prices the tick's."""
    return [
        Listing(
            instrument=f"{coin.base}-USD",
            market_type=MarketType.SPOT,
            base=coin.base,
            quote="USD",
            tick=coin.tick,
            step=coin.step,
            price_decimals=decimals_of(coin.tick),
            qty_decimals=QTY_DECIMALS,
            start_price=coin.price,
            lot=coin.lot,
        )
        for coin in coins(count)
    ]


def product_row(market: Market) -> dict[str, object]:
    """A row of `GET /products`, and of the `status` channel."""
    listing, is_trading = market.listing, market.status is InstrumentStatus.TRADING
    return {
        "id": listing.instrument,
        "base_currency": listing.base,
        "quote_currency": listing.quote,
        "quote_increment": listing.tick,
        "base_increment": listing.step,
        "display_name": f"{listing.base}/{listing.quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": market.status is InstrumentStatus.HALTED,
        "status": "delisted" if market.status is InstrumentStatus.DELISTED else "online",
        "status_message": "",
        "trading_disabled": not is_trading,
        "fx_stablecoin": False,
        "auction_mode": False,
    }
