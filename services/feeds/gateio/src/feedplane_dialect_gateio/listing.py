"""Pairs and contracts: what they are called, what a contract is worth, and how REST lists them."""

from __future__ import annotations

from decimal import Decimal

from feedplane_core.decimals import Dec, decimal_text, exact_product, quotient
from feedplane_core.dialect import Coin, Listing, Market, coins, decimals_of
from feedplane_core.instruments import InstrumentStatus
from feedplane_core.names import NS_PER_S, MarketType

EXCHANGE = "gateio"
FUNDING_INTERVAL_S = 8 * 3600
SPOT = MarketType.SPOT
LINEAR = MarketType.PERP_LINEAR
INVERSE = MarketType.PERP_INVERSE
_PAIR_STATUS = {
    InstrumentStatus.TRADING: "tradable",
    InstrumentStatus.HALTED: "untradable",
    InstrumentStatus.DELISTED: "untradable",
}
_CONTRACT_STATUS = {
    InstrumentStatus.TRADING: "trading",
    InstrumentStatus.HALTED: "prelaunch",
    InstrumentStatus.DELISTED: "delisted",
}


def listings(count: int) -> list[Listing]:
    """Spot pairs and USDT contracts spell alike; the one inverse contract is `BTC_USD`."""
    chosen = coins(count)
    return [*map(_pair, chosen), *map(_contract, chosen), _inverse(chosen[0])] if chosen else []


def _pair(coin: Coin) -> Listing:
    return Listing(
        instrument=f"{coin.base}_USDT",
        unique_name=f"spot/{coin.base}_USDT",
        market_type=SPOT,
        base=coin.base,
        quote="USDT",
        tick=coin.tick,
        step=coin.step,
        price_decimals=decimals_of(coin.tick),
        qty_decimals=decimals_of(coin.step),
        start_price=coin.price,
        lot=coin.lot,
        extra={"market": "spot"},
    )


def _contract(coin: Coin) -> Listing:
    """A contract is one step of the coin; half of the lot on the book is what a usual order takes."""
    return Listing(
        instrument=f"{coin.base}_USDT",
        unique_name=f"usdt/{coin.base}_USDT",
        market_type=LINEAR,
        base=coin.base,
        quote="USDT",
        tick=coin.tick,
        step="1",
        price_decimals=decimals_of(coin.tick),
        qty_decimals=0,
        start_price=coin.price,
        lot=decimal_text((Decimal(coin.lot) / Decimal(coin.step)).to_integral_value()),
        contract_size=coin.step,
        extra={"market": "usdt"},
    )


def _inverse(coin: Coin) -> Listing:
    """A contract is worth one dollar."""
    return Listing(
        instrument=f"{coin.base}_USD",
        unique_name=f"btc/{coin.base}_USD",
        market_type=INVERSE,
        base=coin.base,
        quote="USD",
        tick=coin.tick,
        step="1",
        price_decimals=decimals_of(coin.tick),
        qty_decimals=0,
        start_price=coin.price,
        lot="20000",
        contract_size="1",
        extra={"market": "btc"},
    )


def base_qty(market: Market, amount: Dec, price: Dec) -> Dec:
    """An amount of the wire in base units. Linear contracts multiply, inverse ones are dollars."""
    if market.listing.market_type is SPOT:
        return amount
    if market.listing.market_type is LINEAR:
        return exact_product(amount, market.listing.contract_size or "1")
    value = quotient(Decimal(amount), Decimal(price))
    return decimal_text(value.normalize() if value else Decimal(0))


def base_levels(market: Market, levels: list[list[Dec]]) -> list[list[Dec]]:
    return [[price, base_qty(market, qty, price)] for price, qty in levels]


def pair_row(market: Market) -> dict[str, object]:
    """One of `GET /spot/currency_pairs`."""
    listing = market.listing
    return {
        "id": listing.instrument,
        "base": listing.base,
        "quote": listing.quote,
        "fee": "0.2",
        "min_quote_amount": "3",
        "amount_precision": listing.qty_decimals,
        "precision": listing.price_decimals,
        "trade_status": _PAIR_STATUS[market.status],
        "sell_start": 1516378650,
        "buy_start": 1516378650,
        "delisting_time": 0,
    }


def contract_row(market: Market) -> dict[str, object]:
    """One of `GET /futures/{settle}/contracts`."""
    listing = market.listing
    is_inverse = listing.market_type is INVERSE
    return {
        "name": listing.instrument,
        "type": "inverse" if is_inverse else "direct",
        "quanto_multiplier": "0" if is_inverse else listing.contract_size,
        "order_price_round": listing.tick,
        "mark_price_round": "0.00000001",
        "mark_price": market.mark_text(market.mark),
        "index_price": market.mark_text(market.index),
        "funding_rate": market.mark_text(market.funding),
        "funding_rate_indicative": market.mark_text(market.funding),
        "funding_interval": FUNDING_INTERVAL_S,
        "funding_next_apply": market.next_funding_ns // NS_PER_S,
        "order_size_min": 1,
        "enable_decimal": False,
        "status": _CONTRACT_STATUS[market.status],
        "in_delisting": False,
        "contract_type": "",
        "position_size": market.open_interest,
        "orderbook_id": market.seq,
    }
