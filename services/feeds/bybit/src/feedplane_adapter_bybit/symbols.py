"""Symbols: categories, what a spelling tells, and instruments from instruments-info."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

import msgspec
from feedplane_core.decimals import is_zero, non_negative
from feedplane_core.errors import DecodeError, InstrumentError
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_MS, MarketType

from .wire import EXCHANGE, decoding, ms_of

CHANNEL = "instruments-info"
INVERSE_CONTRACT_SIZE = "1"
"""USD. In the documents ("1 contract = 1 USD"), not in the listing."""

_MS_PER_DAY = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MAX_FUNDING_MINUTES = 1_440
_DATED_LINEAR = re.compile(r"[^\W_]+-\d{1,2}[A-Z]{3}\d{2}").fullmatch
_DATED_INVERSE = re.compile(r".+USD[FGHJKMNQUVXZ]\d{2}").fullmatch
_MARKETS = {
    "LinearPerpetual": MarketType.PERP_LINEAR,
    "LinearFutures": MarketType.DELIVERY,
    "InversePerpetual": MarketType.PERP_INVERSE,
    "InverseFutures": MarketType.DELIVERY,
}
_STATUS = {"Trading": InstrumentStatus.TRADING, "Closed": InstrumentStatus.DELISTED}
"""All others (PreLaunch, Delivering, ...) are listed but may be silent."""


class Category(StrEnum):
    """A socket's path and REST's `category`: part of the key of an instrument, for names repeat across them."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


class Place(NamedTuple):
    """What decoding needs to know of one symbol."""

    market: MarketType
    is_inverse: bool = False
    contract: Instrument | None = None  # of inverse ones, where it is known
    funding_interval_s: int | None = None


class Filter(msgspec.Struct, frozen=True, gc=False):
    """`priceFilter`, `lotSizeFilter`."""

    tickSize: str = ""
    qtyStep: str = ""
    basePrecision: str = ""  # on spot: a step such as "0.000001", not a number of digits


class PreListing(msgspec.Struct, frozen=True, gc=False):
    curAuctionPhase: str = ""


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of `list`. `priceScale` is for display and not read."""

    symbol: str
    baseCoin: str
    quoteCoin: str
    status: str = ""
    contractType: str = ""
    settleCoin: str = ""
    launchTime: str = ""
    deliveryTime: str = ""
    fundingInterval: int = 0  # minutes
    priceFilter: Filter = Filter()
    lotSizeFilter: Filter = Filter()
    preListingInfo: PreListing | None = None


class Listing(msgspec.Struct, frozen=True, gc=False):
    category: Category
    rows: list[Row] = msgspec.field(name="list")


class Body(msgspec.Struct, frozen=True, gc=False):
    """`{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[...],"nextPageCursor":""},...}`"""

    result: msgspec.Raw
    retCode: int
    retMsg: str = ""


_body = msgspec.json.Decoder(Body)
_listing = msgspec.json.Decoder(Listing)


def result_of(body: bytes, channel: str) -> bytes:
    """`result` of a REST body, still JSON.

    Raises: DecodeError `venue_error` where the venue refused (HTTP says 200 even then).
    """
    envelope = decoding(channel, _body.decode, body)
    if envelope.retCode:
        raise DecodeError(channel, "venue_error", f"{envelope.retCode} {envelope.retMsg}"[:200])
    return bytes(envelope.result)


def category_of(instrument: Instrument) -> Category:
    """Dated contracts exist in both derivative categories: what their contract counts tells which."""
    match instrument.market_type:
        case MarketType.SPOT:
            return Category.SPOT
        case MarketType.PERP_INVERSE:
            return Category.INVERSE
        case MarketType.DELIVERY if instrument.contract_unit is ContractUnit.QUOTE:
            return Category.INVERSE
    return Category.LINEAR


def place_of(instrument: Instrument) -> Place:
    is_inverse = category_of(instrument) is Category.INVERSE
    return Place(
        market=instrument.market_type,
        is_inverse=is_inverse,
        contract=instrument if is_inverse else None,
        funding_interval_s=instrument.funding_interval_s,
    )


def guessed_place(symbol: str, contract_size: str | None) -> Place:
    """What the spelling of an unknown symbol tells; `contract_size` is what an inverse one is assumed to be worth.

    Raises: DecodeError `unknown_instrument` for a symbol that these categories cannot have.
    """
    if "-" in symbol or symbol.endswith(("USDT", "PERP")):
        return place_in(Category.LINEAR, symbol, contract_size)
    if _DATED_INVERSE(symbol) or (symbol.endswith("USD") and symbol != "USD"):
        return place_in(Category.INVERSE, symbol, contract_size)
    return place_in(Category.SPOT, symbol, contract_size)


def place_in(category: Category, symbol: str, contract_size: str | None) -> Place:
    """What is known of an unknown symbol of this category.

    Raises: DecodeError `unknown_instrument` for a symbol that it cannot have.
    """
    # Names outside ASCII exist, so letters are not enumerated; what would break keys and labels is.
    is_dated = _DATED_LINEAR(symbol) is not None
    if not (is_dated or symbol.isalnum()) or len(symbol) > 64 or symbol != symbol.upper():
        raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))
    match category:
        case Category.SPOT:
            return Place(MarketType.SPOT)
        case Category.LINEAR:
            return Place(MarketType.DELIVERY if is_dated else MarketType.PERP_LINEAR)
    market = MarketType.DELIVERY if _DATED_INVERSE(symbol) else MarketType.PERP_INVERSE
    contract = None
    if contract_size is not None:
        contract = Instrument(
            exchange=EXCHANGE,
            market_type=market,
            instrument=symbol,
            pair=symbol,
            base="",
            quote="USD",
            contract_size=contract_size,
            contract_unit=ContractUnit.QUOTE,
        )
    return Place(market, is_inverse=True, contract=contract)


def base_qty(place: Place, symbol: str, qty: str, price: str, channel: str) -> str:
    """`qty` in base units; `price` (positive) is what an inverse contract is converted at.

    Raises: DecodeError `contract_size` for an inverse contract that is not known, `number_range` where nothing would be left of the quantity.
    """
    if not place.is_inverse:
        return qty
    if place.contract is None:
        raise DecodeError(channel, "contract_size", f"{symbol}: how much a contract is worth is not known")
    if is_zero(price):
        raise DecodeError(channel, "number", "price is not positive")
    try:
        base = place.contract.base_qty(qty, price)
    except InstrumentError as error:
        raise DecodeError(channel, "contract_size", str(error)) from error
    if is_zero(base) and not is_zero(qty):
        raise DecodeError(channel, "number_range", "quantity is below 18 decimals of the base")
    return base


class Directory:
    """The symbols that are known, by category, and all together for frames whose socket is not."""

    def __init__(self, contract_size: str | None) -> None:
        self.contract_size = contract_size
        self.by_category: dict[Category, dict[str, Place]] = {category: {} for category in Category}
        self.offline: dict[str, Place] = {}

    @property
    def is_empty(self) -> bool:
        return not self.offline

    def add(self, instruments: Iterable[Instrument]) -> None:
        """A name that spot shares with a derivative stands for the derivative where the socket is not known."""
        for instrument in instruments:
            category, name, place = category_of(instrument), instrument.instrument, place_of(instrument)
            self.by_category[category][name] = place
            if category is not Category.SPOT or self.offline.get(name, place).market is MarketType.SPOT:
                self.offline[name] = place


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every instrument of the bodies, spot first: who keeps them by name alone is left with the derivative.

    Raises: DecodeError if one is no instruments-info body of spot, linear or inverse.
    """
    found: list[Instrument] = []
    for body in bodies:
        listing = decoding(CHANNEL, _listing.decode, result_of(body, CHANNEL))
        found += [
            _instrument(row, listing.category, market)
            for row in listing.rows
            if (market := _market_of(row, listing.category)) is not None
        ]
    return sorted(found, key=lambda instrument: instrument.market_type is not MarketType.SPOT)


def _market_of(row: Row, category: Category) -> MarketType | None:
    """`None` for a type of contract that is not carried: a new one must not make all the others unknown."""
    return MarketType.SPOT if category is Category.SPOT else _MARKETS.get(row.contractType)


def _instrument(row: Row, category: Category, market: MarketType) -> Instrument:
    if not row.symbol or not row.baseCoin or not row.quoteCoin:
        raise DecodeError(CHANNEL, "schema", f"an instrument without name, base or quote: {row.symbol[:64]!r}")
    delivery_ms = ms_of(row.deliveryTime, CHANNEL, "deliveryTime")
    launch_ms = ms_of(row.launchTime, CHANNEL, "launchTime")
    is_inverse = category is Category.INVERSE
    if not 0 <= row.fundingInterval <= _MAX_FUNDING_MINUTES:
        raise DecodeError(CHANNEL, "schema", f"funded every {row.fundingInterval} minutes")
    is_perpetual = market in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE)
    expiry = _expiry_text(row.symbol, delivery_ms) if market is MarketType.DELIVERY else ""
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.symbol,
        pair=pair_name(row.baseCoin, row.quoteCoin, market, expiry),
        base=row.baseCoin,
        quote=row.quoteCoin,
        settle=row.settleCoin,
        tick=_number(row.priceFilter.tickSize, "tickSize"),
        step=_number(row.lotSizeFilter.qtyStep or row.lotSizeFilter.basePrecision, "qtyStep"),
        contract_size=INVERSE_CONTRACT_SIZE if is_inverse else None if category is Category.SPOT else "1",
        contract_unit=ContractUnit.QUOTE if is_inverse else ContractUnit.BASE,
        status=_status(row),
        listed_ns=None if launch_ms is None else launch_ms * NS_PER_MS,
        expiry_ns=None if delivery_ms is None else delivery_ms * NS_PER_MS,  # of a perpetual: when it is delisted
        funding_interval_s=row.fundingInterval * 60 if is_perpetual and row.fundingInterval else None,
    )


def _status(row: Row) -> InstrumentStatus:
    """A pre-market contract trades once its auction has ended, under the status that it had before."""
    phase = row.preListingInfo.curAuctionPhase if row.preListingInfo is not None else ""
    if row.status == "PreLaunch" and phase == "ContinuousTrading":
        return InstrumentStatus.TRADING
    return _STATUS.get(row.status, InstrumentStatus.HALTED)


def _expiry_text(symbol: str, delivery_ms: int | None) -> str:
    """`251226`."""
    if delivery_ms is None:
        raise DecodeError(CHANNEL, "schema", f"{symbol[:64]!r} is dated without a date")
    ordinal = _EPOCH_ORDINAL + delivery_ms // _MS_PER_DAY
    day = date.fromordinal(ordinal)  # the largest time that passes is of year 2262
    return f"{day.year % 100:02d}{day.month:02d}{day.day:02d}"


def _number(text: str, field: str) -> str | None:
    if not text:
        return None
    value = non_negative(text, CHANNEL, field)
    return None if is_zero(value) else value
