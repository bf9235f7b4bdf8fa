"""What decoding must know of an instrument: its market, and how its quantities become base units."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from feedplane_core.decimals import Dec, Levels, is_zero
from feedplane_core.errors import DecodeError, InstrumentError
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import MarketType

from .symbols import index_of, market_of, unit_of
from .wire import EXCHANGE


class Place(msgspec.Struct, frozen=True):
    """One instrument as decoders see it. `contract` is `None` where quantities are in base units already, and where the size is not known."""

    name: str
    market: MarketType
    contract: Instrument | None = None

    @property
    def is_spot(self) -> bool:
        return self.market is MarketType.SPOT

    def base_qty(self, qty: Dec, price: Dec, channel: str) -> Dec:
        """A quantity at a price, in base units.

        Raises: DecodeError `contract_size` for a derivative that is not known, `number_range` where the result does not fit.
        """
        if self.market is MarketType.SPOT:
            return qty
        if self.contract is None:
            raise DecodeError(
                channel, "contract_size", f"{self.name[:64]} counts contracts of a size that is not known"
            )
        try:
            base = self.contract.base_qty(qty, price)
        except InstrumentError as error:
            raise DecodeError(channel, "contract_size", str(error)) from error
        if base == "0" and not is_zero(qty):
            raise DecodeError(channel, "number_range", f"{qty} at {price} rounds to nothing")
        return base

    def base_levels(self, levels: Levels, channel: str) -> Levels:
        """Levels with their quantities in base units. A size of zero stays zero; no other becomes it, for that would remove the level."""
        if self.market is MarketType.SPOT:
            return levels
        if self.contract is None:
            return [(price, self.base_qty(qty, price, channel)) for price, qty in levels]  # refuses
        base_qty = self.contract.base_qty  # called for every level of every book: 0.3 us less than by the method above
        converted = [(price, qty if qty == "0" else base_qty(qty, price)) for price, qty in levels]
        if self.contract.contract_unit is ContractUnit.QUOTE:
            for (price, base), (_, qty) in zip(converted, levels, strict=True):
                if base == "0" and not is_zero(qty):
                    raise DecodeError(channel, "number_range", f"{qty} at {price} rounds to nothing")
        return converted


class Places:
    """All instruments that are known, by name and by index."""

    def __init__(self, assumed_size: Dec | None) -> None:
        self.known: dict[str, Place] = {}
        self.by_index: dict[str, dict[str, Place]] = {}
        """Derivatives of an index."""
        self._assumed_size = assumed_size

    def learn(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            name = instrument.instrument
            if instrument.market_type is MarketType.SPOT:
                self.known[name] = Place(name, MarketType.SPOT)
                continue
            place = self.known[name] = Place(name, instrument.market_type, instrument)
            self.by_index.setdefault(index_of(name), {})[name] = place

    def guess(self, name: str, channel: str) -> Place:
        """What the spelling tells of an instrument that is not known.

        Raises: DecodeError `unknown_instrument`.
        """
        market = market_of(name, channel)
        if market is MarketType.SPOT or self._assumed_size is None:
            return Place(name, market)
        base, _, quote = index_of(name).partition("-")
        assumed = Instrument(
            exchange=EXCHANGE,
            market_type=market,
            instrument=name,
            pair=name,
            base=base,
            quote=quote,
            contract_size=self._assumed_size,
            contract_unit=unit_of(name),
        )
        return Place(name, market, assumed)


class View:
    """The places of one session. A live one admits only what is known, so that a damaged symbol cannot become an instrument of its own."""

    _MAX_GUESSED = 10_000

    def __init__(self, places: Places, *, is_strict: bool) -> None:
        self._places = places
        self._is_strict = is_strict
        self._guessed: dict[str, Place] = {}

    def of_index(self, index: str, channel: str) -> Iterable[Place]:
        """The known derivatives of an index; where there is none, the index by its own name.

        Raises: DecodeError `unknown_instrument`.
        """
        derivatives = self._places.by_index.get(index)
        if derivatives:
            return derivatives.values()
        if market_of(index, channel) is not MarketType.SPOT:
            raise DecodeError(channel, "unknown_instrument", index[:64])
        return (Place(index, MarketType.SPOT),)

    def of(self, name: str, channel: str) -> Place:
        """Raises: DecodeError `unknown_instrument`."""
        place = self._places.known.get(name) or self._guessed.get(name)
        if place is not None:
            return place
        if self._is_strict and self._places.known:
            raise DecodeError(channel, "unknown_instrument", name[:64])
        place = self._places.guess(name, channel)
        if len(self._guessed) < self._MAX_GUESSED:
            self._guessed[name] = place
        return place

    def followed(self, name: str, channel: str) -> Place | None:
        """`of`, but `None` for an instrument that a live session does not know: some channels speak of all there are.

        Raises: DecodeError `unknown_instrument`.
        """
        place = self._places.known.get(name)
        if place is None and self._is_strict and self._places.known:
            return None
        return place or self.of(name, channel)
