"""Symbols: `BTCUSDT` is spot, `BTC_USDT` a contract; what is known of each, and quantities in base units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from feedplane_core.decimals import Dec, is_zero
from feedplane_core.errors import DecodeError, InstrumentError
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus, pair_name
from feedplane_core.names import MarketType

from .wire import ABSENT, EXCHANGE, Number, decoding, is_absent, non_negative_of

CHANNEL = "instruments"
_MAX_MEMO = 512  # of each contract: there are a thousand
_MAX_SYMBOL_CHARS = 64
_INVERSE_QUOTE = "USD"

_SPOT_STATUS = {
    "1": InstrumentStatus.TRADING,
    "ENABLED": InstrumentStatus.TRADING,  # of the documents' example
    "2": InstrumentStatus.HALTED,
    "3": InstrumentStatus.DELISTED,
}
_CLOSED_TO_ALL = 4
_FUTURES_STATUS = {
    0: InstrumentStatus.TRADING,
    1: InstrumentStatus.HALTED,
    2: InstrumentStatus.DELISTED,
    3: InstrumentStatus.DELISTED,
    4: InstrumentStatus.HALTED,
}
_PERPETUAL = 1

Digits = Annotated[int, msgspec.Meta(ge=0, le=18)]


class Place:
    """What decoding needs to know of one symbol. `contract` is `None` where it is not known (a contract) or not needed (spot)."""

    __slots__ = ("contract", "counts_contracts", "funding_interval_s", "is_inverse", "is_linear", "market", "memo")

    def __init__(
        self, market: MarketType, contract: Instrument | None = None, funding_interval_s: int | None = None
    ) -> None:
        self.market = market
        self.contract = contract
        self.funding_interval_s = funding_interval_s
        self.is_linear = contract is not None and contract.contract_unit is ContractUnit.BASE
        self.is_inverse = market is MarketType.PERP_INVERSE
        self.counts_contracts = market is not MarketType.SPOT
        self.memo: dict[str, Dec] = {}
        """Base units by contracts, of linear ones: quantities repeat, and a product costs ten times a look."""


class SpotRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of `symbols` of `GET /api/v3/exchangeInfo`."""

    symbol: str
    baseAsset: str
    quoteAsset: str
    status: str = ""
    tradeSideType: int = 1
    quotePrecision: Digits | None = None
    baseAssetPrecision: Digits | None = None


class FuturesRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of `data` of `GET /api/v1/contract/detail`. `apiAllowed` and `isHidden` are about orders: data flows all the same."""

    symbol: str
    baseCoin: str
    quoteCoin: str
    settleCoin: str
    contractSize: Number
    state: int = 0
    futureType: int = _PERPETUAL
    priceUnit: Number = ABSENT
    volUnit: Number = ABSENT


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """One of `data` of `GET /api/v1/contract/funding_rate`."""

    symbol: str
    collectCycle: Annotated[int, msgspec.Meta(ge=0, le=8_760)] = 0  # hours


class _Body(msgspec.Struct, frozen=True, gc=False):
    """Any of the bodies, or a refusal of either API."""

    symbols: list[SpotRow] | None = None
    data: msgspec.Raw = ABSENT
    success: bool = True
    code: int = 0


class _Kind(msgspec.Struct, frozen=True, gc=False):
    """What a row of `data` is of."""

    contractSize: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body).decode
_kinds = msgspec.json.Decoder(list[_Kind]).decode
_contracts = msgspec.json.Decoder(list[FuturesRow]).decode
_fundings = msgspec.json.Decoder(list[FundingRow]).decode


def is_futures(symbol: str) -> bool:
    """The two markets never spell alike: contracts have an underscore."""
    return "_" in symbol


class Directory:
    """The symbols that are known; sessions share it."""

    def __init__(self, contract_size: str | None) -> None:
        self._contract_size = contract_size
        self.places: dict[str, Place] = {}

    def add(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            contract = instrument if instrument.market_type is not MarketType.SPOT else None
            place = Place(instrument.market_type, contract, instrument.funding_interval_s)
            self.places[instrument.instrument] = place

    def place(self, symbol: str) -> Place:
        """What is known of a symbol, or what its spelling tells.

        Raises: DecodeError `unknown_instrument` for a symbol that the venue cannot have.
        """
        return self.places.get(symbol) or self._guessed(symbol)

    def _guessed(self, symbol: str) -> Place:
        base, underscore, quote = symbol.rpartition("_")
        is_possible = quote.isalnum() and (base.replace("_", "").isalnum() if underscore else True)
        if not is_possible or len(symbol) > _MAX_SYMBOL_CHARS or symbol != symbol.upper():
            raise DecodeError("-", "unknown_instrument", repr(symbol[:_MAX_SYMBOL_CHARS]))
        if not underscore:
            return Place(MarketType.SPOT)
        is_inverse = quote == _INVERSE_QUOTE
        market = MarketType.PERP_INVERSE if is_inverse else MarketType.PERP_LINEAR
        contract = None
        if self._contract_size is not None:
            contract = Instrument(
                exchange=EXCHANGE,
                market_type=market,
                instrument=symbol,
                pair=pair_name(base, quote, market),
                base=base,
                quote=quote,
                contract_size=self._contract_size,
                contract_unit=ContractUnit.QUOTE if is_inverse else ContractUnit.BASE,
            )
        return Place(market, contract)


def base_qty(place: Place, symbol: str, qty: Dec, price: Dec, channel: str) -> Dec:
    """`qty` in base units: contracts times their size, of inverse ones divided by `price`.

    Raises: DecodeError `contract_size` for a contract that is not known, `number_range` where nothing would be left of the quantity.
    """
    if not place.counts_contracts:
        return qty
    known = place.memo.get(qty)
    if known is not None:
        return known
    if place.contract is None:
        raise DecodeError(channel, "contract_size", f"{symbol[:64]}: how much a contract is worth is not known")
    if is_zero(price):
        raise DecodeError(channel, "number", "price is not positive")
    try:
        base = place.contract.base_qty(qty, price)
    except InstrumentError as error:
        raise DecodeError(channel, "contract_size", str(error)) from error
    if is_zero(base) and not is_zero(qty):
        raise DecodeError(channel, "number_range", "quantity is below 18 decimals of the base")
    if place.is_linear:
        if len(place.memo) >= _MAX_MEMO:
            place.memo.clear()
        place.memo[qty] = base
    return base


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every instrument of the bodies; the one of funding rates says how often contracts are charged.

    Raises: DecodeError if one is none of the three.
    """
    pairs: list[SpotRow] = []
    contracts: list[FuturesRow] = []
    hours: dict[str, int] = {}
    for raw in bodies:
        body = decoding(CHANNEL, _body, raw)
        if body.symbols is not None:
            pairs += body.symbols
        elif is_absent(body.data) or not body.success or body.code:
            raise DecodeError(CHANNEL, "venue_error", raw[:200].decode(errors="replace"))
        elif any(not is_absent(kind.contractSize) for kind in decoding(CHANNEL, _kinds, bytes(body.data))):
            contracts += decoding(CHANNEL, _contracts, bytes(body.data))
        else:
            hours.update({row.symbol: row.collectCycle for row in decoding(CHANNEL, _fundings, bytes(body.data))})
    found = [_contract(row, market, hours.get(row.symbol, 0)) for row in contracts if (market := _market_of(row))]
    return [*map(_pair, pairs), *found]


def _check_names(*names: str) -> None:
    if not all(names):
        raise DecodeError(CHANNEL, "schema", f"an instrument without name, base or quote: {names[0][:64]!r}")


def _pair(row: SpotRow) -> Instrument:
    _check_names(row.symbol, row.baseAsset, row.quoteAsset)
    status = _SPOT_STATUS.get(row.status, InstrumentStatus.HALTED)
    if status is InstrumentStatus.TRADING and row.tradeSideType == _CLOSED_TO_ALL:
        status = InstrumentStatus.HALTED
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=row.symbol,
        pair=pair_name(row.baseAsset, row.quoteAsset, MarketType.SPOT),
        base=row.baseAsset,
        quote=row.quoteAsset,
        tick=_unit(row.quotePrecision),
        step=_unit(row.baseAssetPrecision),
        status=status,
    )


def _unit(digits: int | None) -> Dec | None:
    """`0.01` for 2."""
    if digits is None:
        return None
    return "1" if not digits else f"0.{'1'.rjust(digits, '0')}"


def _market_of(row: FuturesRow) -> MarketType | None:
    """`None` for what is not carried: dated contracts (none was listed when this was read, so neither spelling nor date is known) and settlement in a third coin."""
    if row.futureType != _PERPETUAL:
        return None
    if row.settleCoin == row.quoteCoin:
        return MarketType.PERP_LINEAR
    return MarketType.PERP_INVERSE if row.settleCoin == row.baseCoin else None


def _contract(row: FuturesRow, market: MarketType, cycle_hours: int) -> Instrument:
    _check_names(row.symbol, row.baseCoin, row.quoteCoin)
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.symbol,
        pair=pair_name(row.baseCoin, row.quoteCoin, market),
        base=row.baseCoin,
        quote=row.quoteCoin,
        settle=row.settleCoin,
        tick=_number(row.priceUnit, "priceUnit"),
        step=_number(row.volUnit, "volUnit"),
        contract_size=_size(row),
        contract_unit=ContractUnit.QUOTE if market is MarketType.PERP_INVERSE else ContractUnit.BASE,
        status=_FUTURES_STATUS.get(row.state, InstrumentStatus.HALTED),
        funding_interval_s=cycle_hours * 3_600 or None,
    )


def _size(row: FuturesRow) -> Dec:
    size = _number(row.contractSize, "contractSize")
    if size is None:
        raise DecodeError(CHANNEL, "schema", f"{row.symbol[:64]!r}: contracts worth nothing")
    return size


def _number(number: Number, field: str) -> Dec | None:
    if is_absent(number):
        return None
    value = non_negative_of(number, CHANNEL, field)
    return None if is_zero(value) else value
