"""Symbols: `GET /products` -> instruments. A product is spelled `BTC-USD` everywhere."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.instruments import Instrument, InstrumentStatus, pair_name
from feedplane_core.names import MarketType

from .wire import EXCHANGE, JSON_ERRORS, Product, refusal

CHANNEL = "products"


class ProductInfo(msgspec.Struct, gc=False):
    """`{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online",...}`."""

    id: Product
    base_currency: str
    quote_currency: str
    quote_increment: str
    base_increment: str
    status: str
    trading_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False
    auction_mode: bool = False


_BODY = msgspec.json.Decoder(list[ProductInfo])


def decode_products(body: bytes) -> list[Instrument]:
    """Every product in the body, delisted ones too.

    Raises: DecodeError. Source: Exchange REST, "Get all known trading pairs", read 2026-11-20.
    """
    try:
        products = _BODY.decode(body)
    except JSON_ERRORS as error:
        raise refusal(CHANNEL, error) from error
    return [_instrument(product) for product in products]


def _instrument(product: ProductInfo) -> Instrument:
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=product.id,
        pair=pair_name(product.base_currency, product.quote_currency, MarketType.SPOT),
        base=product.base_currency,
        quote=product.quote_currency,
        tick=positive(product.quote_increment, CHANNEL, "quote_increment"),
        step=positive(product.base_increment, CHANNEL, "base_increment"),
        status=_status(product),
    )


def _status(product: ProductInfo) -> InstrumentStatus:
    """Halted: nothing matches. `limit_only` is trading: only market orders are refused."""
    if product.status == "delisted":
        return InstrumentStatus.DELISTED
    is_held = product.trading_disabled or product.cancel_only or product.post_only or product.auction_mode
    return InstrumentStatus.HALTED if is_held or product.status != "online" else InstrumentStatus.TRADING
