"""Symbols: what a spelling tells, contracts in base units, and instruments from `currency_pairs` and `contracts`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec
from feedplane_core.decimals import is_zero, non_negative
from feedplane_core.errors import DecodeError, InstrumentError
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_S, MarketType

from .wire import EXCHANGE, Seconds, decoding

CHANNEL = "instruments"
INVERSE_CONTRACT_SIZE = "1"
"""USD; the listing says 0 there (`quanto_multiplier`)."""

_SPOT = re.compile(r"[A-Za-z0-9]{1,40}_[A-Za-z0-9]{1,20}").fullmatch
_LINEAR = re.compile(r"[A-Z0-9]{1,40}_(?:USDT|USD1)").fullmatch
_INVERSE = re.compile(r"[A-Z0-9]{1,40}_USD").fullmatch
_MAX_DECIMALS = 18
_MAX_FUNDING_S = 86_400
_SIZES_KEPT = 1 << 13
_STATUS = {
    "tradable": InstrumentStatus.TRADING,
    "buyable": InstrumentStatus.TRADING,  # one side alone
    "sellable": InstrumentStatus.TRADING,
    "trading": InstrumentStatus.TRADING,
    "delisted": InstrumentStatus.DELISTED,
}
"""All others (untradable, prelaunch, ...) are listed but may be silent."""


class Settle(StrEnum):
    """What a futures socket and REST path is of; one socket serves one of them."""

    USDT = "usdt"
    BTC = "btc"
    USD1 = "usd1"


class Place:
    """What decoding needs to know of one symbol."""

    __slots__ = ("contract", "funding_interval_s", "is_inverse", "market", "sizes")

    def __init__(self, market: MarketType, contract: Instrument | None = None) -> None:
        self.market = market
        self.is_inverse = market is MarketType.PERP_INVERSE
        self.contract = contract
        self.funding_interval_s = None if contract is None else contract.funding_interval_s
        self.sizes: dict[str, str] = {
            "0": "0"
        }  # linear: contracts -> base units, for the same sizes come again and again


SPOT = Place(MarketType.SPOT)


def base_qty(place: Place, symbol: str, qty: str, price: str, channel: str) -> str:
    """Contracts (plain, not negative) in base units; `price` is what an inverse contract is converted at.

    Raises: DecodeError `contract_size` where it is not known, `number_range` where nothing would be left of the quantity.
    """
    if not place.is_inverse and (known := place.sizes.get(qty)) is not None:
        return known
    if place.contract is None:
        if place.market is MarketType.SPOT:
            return qty
        raise DecodeError(channel, "contract_size", f"{symbol}: how much a contract is worth is not known")
    if place.is_inverse and is_zero(price):
        raise DecodeError(channel, "number", "price is not positive")
    try:
        base = place.contract.base_qty(qty, price)
    except InstrumentError as error:
        raise DecodeError(channel, "contract_size", str(error)) from error
    if is_zero(base) and not is_zero(qty):
        raise DecodeError(channel, "number_range", "quantity is below 18 decimals of the base")
    if not place.is_inverse:
        if len(place.sizes) >= _SIZES_KEPT:
            place.sizes.clear()
        place.sizes[qty] = base
    return base


def settle_of(instrument: Instrument) -> Settle:
    if instrument.market_type is MarketType.PERP_INVERSE:
        return Settle.BTC
    return Settle.USD1 if instrument.settle == "USD1" else Settle.USDT


class Directory:
    """The symbols that are known. Spot and futures share spellings, but every frame names its channel, so nothing is ambiguous."""

    def __init__(self, contract_size: str | None) -> None:
        self._contract_size = contract_size
        self.pairs: dict[str, Place] = {}
        self.contracts: dict[str, Place] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.pairs or self.contracts)

    def add(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            if instrument.market_type is MarketType.SPOT:
                self.pairs[instrument.instrument] = SPOT
            else:
                known = instrument if instrument.contract_size is not None else None
                self.contracts[instrument.instrument] = Place(instrument.market_type, known)

    def pair(self, symbol: str) -> Place:
        """A spot pair that is not known. Raises: DecodeError `unknown_instrument` for a spelling that no pair has."""
        if _SPOT(symbol) is None:
            raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))
        return SPOT

    def contract(self, symbol: str) -> Place:
        """A contract that is not known: its spelling tells whether it is inverse, its size has to be assumed.

        Raises: DecodeError `unknown_instrument`.
        """
        if _INVERSE(symbol):
            market = MarketType.PERP_INVERSE
        elif _LINEAR(symbol):
            market = MarketType.PERP_LINEAR
        else:
            raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))
        if self._contract_size is None:
            return Place(market)
        base, _, quote = symbol.partition("_")
        assumed = Instrument(
            exchange=EXCHANGE,
            market_type=market,
            instrument=symbol,
            pair=pair_name(base, quote, market),
            base=base,
            quote=quote,
            contract_size=self._contract_size,
            contract_unit=ContractUnit.QUOTE if market is MarketType.PERP_INVERSE else ContractUnit.BASE,
        )
        return Place(market, assumed)


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A row of `GET /spot/currency_pairs` (has `id`) or of `GET /futures/{settle}/contracts` (has `name`)."""

    id: str = ""
    base: str = ""
    quote: str = ""
    precision: int = 0  # decimals of prices
    amount_precision: int = 0
    trade_status: str = ""
    name: str = ""
    type: str = ""
    quanto_multiplier: str = ""
    order_price_round: str = ""
    enable_decimal: bool = False
    status: str = ""
    in_delisting: bool = False
    funding_interval: int = 0
    contract_type: str = ""
    delisting_time: Seconds = 0


_rows = msgspec.json.Decoder(list[Row]).decode


def decode_instruments(bodies: Sequence[bytes], *, crypto_only: bool) -> list[Instrument]:
    """Every instrument of the bodies, spot first: who keeps them by name alone is left with the derivative.

    Contracts whose names the sockets refuse (two are not ASCII), dated ones, and those whose unit is not documented (`direct`, quoted in USD, settled in BTC) are left out.
    Raises: DecodeError if one is no such body.
    """
    rows = [row for body in bodies for row in decoding(CHANNEL, _rows, body)]
    spot = [_pair(row) for row in rows if row.id and _SPOT(row.id)]
    return spot + [_contract(row) for row in rows if _is_carried(row) and not (crypto_only and row.contract_type)]


def _is_carried(row: Row) -> bool:
    if row.type == "inverse":
        return _INVERSE(row.name) is not None
    return row.type == "direct" and _LINEAR(row.name) is not None


def _pair(row: Row) -> Instrument:
    base, _, quote = row.id.partition("_")
    if (row.base, row.quote) != (base, quote):
        raise DecodeError(CHANNEL, "schema", f"{row.id[:64]!r} of {row.base[:64]!r} and {row.quote[:64]!r}")
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=row.id,
        pair=pair_name(base, quote, MarketType.SPOT),
        base=base,
        quote=quote,
        tick=_unit_text(row.precision),
        step=_unit_text(row.amount_precision),
        status=_STATUS.get(row.trade_status, InstrumentStatus.HALTED),
        expiry_ns=row.delisting_time * NS_PER_S or None,
    )


def _contract(row: Row) -> Instrument:
    is_inverse = row.type == "inverse"
    market = MarketType.PERP_INVERSE if is_inverse else MarketType.PERP_LINEAR
    base, _, quote = row.name.partition("_")
    size = INVERSE_CONTRACT_SIZE if is_inverse else _number(row.quanto_multiplier, "quanto_multiplier")
    if size is None:
        raise DecodeError(CHANNEL, "schema", f"{row.name}: a contract of nothing")
    if not 0 <= row.funding_interval <= _MAX_FUNDING_S:
        raise DecodeError(CHANNEL, "schema", f"{row.name}: funded every {row.funding_interval} s")
    status = _STATUS.get(row.status, InstrumentStatus.HALTED)
    if row.in_delisting and status is InstrumentStatus.TRADING:
        status = InstrumentStatus.HALTED
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.name,
        pair=pair_name(base, quote, market),
        base=base,
        quote=quote,
        settle=base if is_inverse else quote,
        tick=_number(row.order_price_round, "order_price_round"),
        step=None if row.enable_decimal else "1",  # contracts; the step of fractional ones is not published
        contract_size=size,
        contract_unit=ContractUnit.QUOTE if is_inverse else ContractUnit.BASE,
        status=status,
        expiry_ns=row.delisting_time * NS_PER_S or None,
        funding_interval_s=row.funding_interval or None,
    )


def _unit_text(decimals: int) -> str:
    """`0.001` for 3."""
    if not 0 <= decimals <= _MAX_DECIMALS:
        raise DecodeError(CHANNEL, "schema", f"a precision of {decimals} decimals")
    return f"0.{'1':0>{decimals}}" if decimals else "1"


def _number(text: str, field: str) -> str | None:
    if not text:
        return None
    value = non_negative(text, CHANNEL, field)
    return None if is_zero(value) else value
