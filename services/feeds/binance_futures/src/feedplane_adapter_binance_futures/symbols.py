"""Symbols: their two spellings, and instruments from exchangeInfo and fundingInfo."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.decimals import is_zero, non_negative
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_MS, MarketType

from .wire import decoding, market_of

EXCHANGE = "binance_futures"
CHANNEL = "exchangeInfo"

PERPETUAL_DELIVERY_MS = 4_133_404_800_000
"""`deliveryDate` of a contract without an end (year 2100); an earlier one on a perpetual announces its delisting."""
DEFAULT_FUNDING_S = 8 * 3_600
"""Of every perpetual that fundingInfo does not list."""

_STATUS = {
    "TRADING": InstrumentStatus.TRADING,
    "DELIVERED": InstrumentStatus.DELISTED,
    "CLOSE": InstrumentStatus.DELISTED,
}
"""All others (PENDING_TRADING, PRE_DELIVERING, DELIVERING, PRE_SETTLE, SETTLING) are listed but may be silent."""


class Filter(msgspec.Struct, frozen=True, gc=False):
    """`{"filterType":"PRICE_FILTER","minPrice":"0.0001","maxPrice":"300","tickSize":"0.0001"}`"""

    filterType: str = ""
    tickSize: str | None = None
    stepSize: str | None = None


class Symbol(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of `symbols` in exchangeInfo. `pricePrecision` is for display and not read."""

    symbol: str
    baseAsset: str
    quoteAsset: str
    marginAsset: str
    status: str = ""
    deliveryDate: int = PERPETUAL_DELIVERY_MS
    onboardDate: int = 0
    filters: list[Filter] = []


class ExchangeInfo(msgspec.Struct, frozen=True, gc=False):
    symbols: list[Symbol]


class FundingInfo(msgspec.Struct, frozen=True, gc=False):
    """`{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","fundingIntervalHours":4}`; only symbols with an adjusted cap or interval are listed."""

    symbol: str
    fundingIntervalHours: int = DEFAULT_FUNDING_S // 3_600


_body = msgspec.json.Decoder(ExchangeInfo | list[FundingInfo])


def stream_symbol(symbol: str) -> str:
    """The spelling of stream names."""
    return symbol.lower()


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every USD-M instrument of the exchangeInfo among the bodies; funding intervals are known only if fundingInfo is among them as well.

    COIN-M entries (margin in the base asset), which a shared system may list too, are left out.
    Raises: DecodeError if a body is neither.
    """
    symbols: list[Symbol] = []
    intervals_s: dict[str, int] | None = None
    for body in bodies:
        document = decoding(CHANNEL, _body.decode, body)
        if isinstance(document, ExchangeInfo):
            symbols += document.symbols
        else:
            intervals_s = (intervals_s or {}) | {row.symbol: row.fundingIntervalHours * 3_600 for row in document}
    return [_instrument(raw, intervals_s) for raw in symbols if raw.marginAsset != raw.baseAsset]


def _instrument(raw: Symbol, intervals_s: dict[str, int] | None) -> Instrument:
    market = market_of(raw.symbol)
    is_perpetual = market is MarketType.PERP_LINEAR
    expiry = "" if is_perpetual else raw.symbol.rpartition("_")[2]
    funding_s = intervals_s.get(raw.symbol, DEFAULT_FUNDING_S) if is_perpetual and intervals_s is not None else None
    if funding_s is not None and not 0 < funding_s <= 86_400:
        raise DecodeError("fundingInfo", "schema", f"{raw.symbol} is funded every {funding_s} s")
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=raw.symbol,
        pair=pair_name(raw.baseAsset, raw.quoteAsset, market, expiry),
        base=raw.baseAsset,
        quote=raw.quoteAsset,
        settle=raw.marginAsset,
        tick=_filter_value(raw, "PRICE_FILTER", "tickSize"),
        step=_filter_value(raw, "LOT_SIZE", "stepSize"),
        contract_size="1",  # quantities are in the base asset; 1000PEPEUSDT counts units of 1000 tokens and says so in its name
        status=_STATUS.get(raw.status, InstrumentStatus.HALTED),
        listed_ns=raw.onboardDate * NS_PER_MS if raw.onboardDate > 0 else None,
        expiry_ns=raw.deliveryDate * NS_PER_MS if 0 < raw.deliveryDate < PERPETUAL_DELIVERY_MS else None,
        funding_interval_s=funding_s,
    )


def _filter_value(raw: Symbol, kind: str, field: str) -> str | None:
    for entry in raw.filters:
        text = getattr(entry, field) if entry.filterType == kind else None
        if text is not None:
            value = non_negative(text, CHANNEL, field)
            return None if is_zero(value) else value
    return None
