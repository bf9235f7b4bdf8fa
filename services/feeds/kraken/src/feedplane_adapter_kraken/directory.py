"""What is known of instruments, and what their contracts are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feedplane_core.errors import DecodeError, InstrumentError
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import MarketType

from .book import Precision
from .symbols import FUNDING_INTERVAL_S, decimals_of, guessed_spot_name, is_inverse, market_of, rest_name
from .wire import EXCHANGE


class Directory:
    """What is known of instruments; sessions and book rules look here, so that what is learned later reaches them."""

    def __init__(self, assumed_contract_size: str | None) -> None:
        self._assumed = assumed_contract_size
        self._contracts: dict[str, Instrument] = {}
        self._spot_of: dict[str, str] = {}
        self.precisions: dict[str, Precision] = {}

    def add(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            name = instrument.instrument
            if instrument.market_type is not MarketType.SPOT:
                if instrument.contract_size is not None:
                    self._contracts[name] = instrument
                continue
            self._spot_of[instrument.stream_id or rest_name(name)] = name
            if instrument.tick is not None and instrument.step is not None:
                self.precisions[name] = Precision(decimals_of(instrument.tick), decimals_of(instrument.step))

    def learn(self, precisions: Mapping[str, Precision]) -> None:
        """What the `instrument` channel says."""
        self.precisions.update(precisions)

    def spot_name(self, altname: str) -> str:
        """`XBTUSD` -> `BTC/USD`; empty where nothing tells."""
        return self._spot_of.get(altname) or guessed_spot_name(altname)

    def contract(self, symbol: str, channel: str) -> Instrument:
        """Raises: DecodeError `contract_size` for a contract that is not known, `unknown_instrument` for a name that none has."""
        held = self._contracts.get(symbol)
        if held is not None:
            return held
        market = market_of(symbol)
        if market is None:
            raise DecodeError(channel, "unknown_instrument", repr(symbol[:64]))
        if self._assumed is None:
            raise DecodeError(channel, "contract_size", f"{symbol}: how much a contract is worth is not known")
        return Instrument(
            exchange=EXCHANGE,
            market_type=market,
            instrument=symbol,
            pair=symbol,
            base="",
            quote="",
            contract_size=self._assumed,
            contract_unit=ContractUnit.QUOTE if is_inverse(symbol) else ContractUnit.BASE,
            funding_interval_s=None if market is MarketType.DELIVERY else FUNDING_INTERVAL_S,
        )


def base_qty(contract: Instrument, qty: str, price: str, channel: str) -> str:
    """`qty` contracts in base units; `price` (positive) is what inverse ones are converted at.

    Raises: DecodeError `number_range` where nothing would be left of the quantity, `contract_size` where that is not known.
    """
    try:
        base = contract.base_qty(qty, price)
    except InstrumentError as error:
        raise DecodeError(channel, "contract_size", str(error)) from error
    if base == "0" and qty.strip("0."):
        raise DecodeError(channel, "number_range", "quantity is below 18 decimals of the base")
    return base
