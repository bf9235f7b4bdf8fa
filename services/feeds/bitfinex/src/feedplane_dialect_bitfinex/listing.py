"""Pairs: spot in USD, perpetuals in USDt, prices of five significant digits."""

from __future__ import annotations

from decimal import Decimal

from feedplane_core.decimals import decimal_text
from feedplane_core.dialect import Coin, Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import MarketType

SIGNIFICANT_DIGITS = 5
_MAX_DECIMALS = 8


def is_perpetual(market: Market) -> bool:
    return market.listing.market_type is MarketType.PERP_LINEAR


def listings(count: int) -> list[Listing]:
    """`tBTCUSD` and `tBTCF0:USTF0` of each coin; a longer name takes a colon."""
    found = []
    for number, coin in enumerate(coins(count)):
        spot = f"t{coin.base}USD" if len(coin.base) == len("BTC") else f"t{coin.base}:USD"
        found.append(_listing(coin, spot, MarketType.SPOT, "USD", 2 * number))
        found.append(_listing(coin, f"t{coin.base}F0:USTF0", MarketType.PERP_LINEAR, "USDT", 2 * number + 1))
    return found


def _listing(coin: Coin, symbol: str, market_type: MarketType, quote: str, number: int) -> Listing:
    exponent = max(Decimal(coin.price).adjusted() - SIGNIFICANT_DIGITS + 1, -_MAX_DECIMALS)
    tick = Decimal(1).scaleb(exponent)
    return Listing(
        instrument=symbol,
        market_type=market_type,
        base=coin.base,
        quote=quote,
        tick=decimal_text(tick),
        step=coin.step,
        price_decimals=decimals_of(decimal_text(tick)),
        qty_decimals=decimals_of(coin.step),
        start_price=decimal_text(Decimal(coin.price).quantize(tick)),
        lot=coin.lot,
        extra={"number": str(number)},
    )


def is_listed(market: Market) -> bool:
    return market.status is not InstrumentStatus.DELISTED


def conf_value(label: str, markets: list[Market]) -> object:
    """The answer to one label of `/v2/conf`; names without their `t`, and paper pairs among them."""
    spot = [m.listing.instrument[1:] for m in markets if is_listed(m) and not is_perpetual(m)]
    futures = [m.listing.instrument[1:] for m in markets if is_listed(m) and is_perpetual(m)]
    sizes: list[object] = [None, None, None, "0.00004", "2000.0", None, None, None, 0.1, 0.05, None, None]
    match label:
        case "pub:list:pair:exchange":
            return [*spot, "TESTBTC:TESTUSD"]
        case "pub:list:pair:futures":
            return [*futures, "TESTBTCF0:TESTUSDTF0"]
        case "pub:info:pair":
            return [[name, sizes] for name in spot]
        case "pub:info:pair:futures":
            return [[name, sizes] for name in futures]
        case "pub:map:currency:sym":
            return [["UST", "USDt"], ["DSH", "DASH"], ["USTF0", "USDt"]]
    return []
