"""From contracts to base units, by symbol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from feedplane_core.decimals import Dec, Levels, exact_product, is_zero
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import MarketType

from .wire import EXCHANGE

_MEMO_CAP = 1 << 14
_MAX_LEARNED = 10_000

_SPOT = re.compile(r"[^\W_][\w.$+]*-[^\W_]\w*").fullmatch
_DATED = re.compile(r"[^\W_]+M[FGHJKMNQUVXZ]\d{2}").fullmatch
_PERPETUAL = re.compile(r"[^\W_]+(USDT|USDC|USD)M").fullmatch


class Units:
    """What decoding needs to know of one symbol. Spot sizes are in base units already."""

    def __init__(self, market: MarketType, symbol: str, funding_interval_s: int | None = None) -> None:
        self.market = market
        self.symbol = symbol
        self.funding_interval_s = funding_interval_s

    def qty(self, size: Dec, price: Dec, channel: str) -> Dec:
        """`size` (plain) in base units at `price` (plain, positive). Raises: DecodeError `contract_size`, `number_range`."""
        return size

    def levels(self, levels: Levels, channel: str) -> Levels:
        """Checked levels with their sizes in base units."""
        return levels

    def _not_nothing(self, base: Dec, size: Dec, channel: str) -> Dec:
        if is_zero(base) and not is_zero(size):
            raise DecodeError(channel, "number_range", "quantity is below 18 decimals of the base")
        return base


class LinearContracts(Units):
    """So many base units a contract. Sizes are whole numbers of contracts and repeat, so products are remembered."""

    def __init__(self, market: MarketType, symbol: str, contract_size: Dec, funding_interval_s: int | None) -> None:
        super().__init__(market, symbol, funding_interval_s)
        self._contract_size = contract_size
        self._memo: dict[Dec, Dec] = {}

    def qty(self, size: Dec, price: Dec, channel: str) -> Dec:
        base = self._memo.get(size)
        if base is None:
            base = self._not_nothing(exact_product(size, self._contract_size, channel=channel), size, channel)
            if len(self._memo) >= _MEMO_CAP:
                self._memo.clear()
            self._memo[size] = base
        return base

    def levels(self, levels: Levels, channel: str) -> Levels:
        memo, qty = self._memo, self.qty
        return [(price, memo.get(size) or qty(size, price, channel)) for price, size in levels]


class InverseContracts(Units):
    """So many quote units a contract: the base depends on the price."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument.market_type, instrument.instrument, instrument.funding_interval_s)
        self._instrument = instrument

    def qty(self, size: Dec, price: Dec, channel: str) -> Dec:
        if size == "0":
            return size
        if is_zero(price):
            raise DecodeError(channel, "number", "price is not positive")
        return self._not_nothing(self._instrument.base_qty(size, price), size, channel)

    def levels(self, levels: Levels, channel: str) -> Levels:
        return [(price, self.qty(size, price, channel)) for price, size in levels]


class UnknownContracts(Units):
    """A derivative whose instrument is not known: prices and rates can be told, quantities cannot."""

    def qty(self, size: Dec, price: Dec, channel: str) -> Dec:
        raise DecodeError(channel, "contract_size", f"{self.symbol}: how much a contract is worth is not known")

    def levels(self, levels: Levels, channel: str) -> Levels:
        raise DecodeError(channel, "contract_size", f"{self.symbol}: how much a contract is worth is not known")


def units_of(instrument: Instrument) -> Units:
    market, symbol, funding_s = instrument.market_type, instrument.instrument, instrument.funding_interval_s
    if market is MarketType.SPOT:
        return Units(market, symbol)
    if instrument.contract_size is None:
        return UnknownContracts(market, symbol, funding_s)
    if instrument.contract_unit is ContractUnit.QUOTE:
        return InverseContracts(instrument)
    return LinearContracts(market, symbol, instrument.contract_size, funding_s)


def guessed_units(symbol: str, contract_size: Dec | None, channel: str) -> Units:
    """What the spelling of an unknown symbol tells: `BTC-USDT` spot, `XBTUSDTM` and `XBTUSDCM` linear, `XBTUSDM` and `XBTMZ26` inverse.

    `contract_size` is what a contract is assumed to be worth. Raises: DecodeError `unknown_instrument` for a symbol that this venue cannot have.
    """
    if _SPOT(symbol):
        return Units(MarketType.SPOT, symbol)
    perpetual = _PERPETUAL(symbol)
    if perpetual is not None:
        market = MarketType.PERP_INVERSE if perpetual[1] == "USD" else MarketType.PERP_LINEAR
    elif _DATED(symbol):
        market = MarketType.DELIVERY
    else:
        raise DecodeError(channel, "unknown_instrument", repr(symbol[:64]))
    if contract_size is None:
        return UnknownContracts(market, symbol)
    unit = ContractUnit.BASE if market is MarketType.PERP_LINEAR else ContractUnit.QUOTE
    return units_of(
        Instrument(
            exchange=EXCHANGE,
            market_type=market,
            instrument=symbol,
            pair=symbol,
            base="",
            quote="",
            contract_size=contract_size,
            contract_unit=unit,
        )
    )


class Directory:
    """The symbols that are known, for all sessions of one adapter."""

    def __init__(self, contract_size: Dec | None) -> None:
        self.contract_size = contract_size
        self.known: dict[str, Units] = {}

    def add(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            self.known[instrument.instrument] = units_of(instrument)

    def lookup(self, *, is_strict: bool) -> Lookup:
        return Lookup(self.known, self.contract_size, is_strict=is_strict)


class Lookup:
    """Symbol -> units.

    A live session admits only instruments that the venue has named, so that a damaged symbol cannot become an instrument of its own; offline any symbol that
    this venue could have is taken for what it is spelled as.
    """

    def __init__(self, known: Mapping[str, Units], contract_size: Dec | None, *, is_strict: bool) -> None:
        self._known = known
        self._contract_size = contract_size
        self._is_strict = is_strict
        self._learned: dict[str, Units] = {}

    def __call__(self, symbol: str, channel: str) -> Units:
        """Raises: DecodeError `unknown_instrument`."""
        units = self._known.get(symbol) or self._learned.get(symbol)
        if units is not None:
            return units
        if self._is_strict and self._known:
            raise DecodeError(channel, "unknown_instrument", repr(symbol[:64]))
        units = guessed_units(symbol, self._contract_size, channel)
        if len(self._learned) < _MAX_LEARNED:
            self._learned[symbol] = units
        return units
