"""What a venue trades, as metadata: symbols, steps, contract sizes, status."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .decimals import Dec, exact_product, rounded_ratio
from .errors import InstrumentError
from .names import MarketType


class InstrumentStatus(StrEnum):
    """Whether frames are to be expected."""

    TRADING = "trading"
    HALTED = "halted"  # listed but silent: no staleness alarm
    DELISTED = "delisted"


class ContractUnit(StrEnum):
    """What `contract_size` counts."""

    BASE = "base"  # linear: one contract is so many base units
    QUOTE = "quote"  # inverse: one contract is worth so many quote units


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing of one venue. `tick`, `step` and `contract_size` are exact decimal text."""

    exchange: str
    market_type: MarketType
    instrument: str  # as the venue spells it
    pair: str  # canonical: "BTC-USDT", "BTC-USDT-PERP", "BTC-USDT-260327"
    base: str
    quote: str
    settle: str = ""
    tick: Dec | None = None
    step: Dec | None = None
    contract_size: Dec | None = None  # None: quantities are in base units already
    contract_unit: ContractUnit = ContractUnit.BASE
    status: InstrumentStatus = InstrumentStatus.TRADING
    listed_ns: int | None = None
    expiry_ns: int | None = None
    funding_interval_s: int | None = None  # None: no funding, or the venue does not say
    stream_id: str = ""  # the venue's other spelling or number for it, where its streams use one

    def base_qty(self, qty: Dec, price: Dec) -> Dec:
        """`qty` as the venue sends it, in base units.

        Linear contracts multiply exactly. Inverse ones divide by the price, rounded half-even to 18 decimals: the only rounding in Feedplane.
        Raises: InstrumentError if a derivative's contract size is not known.
        """
        if self.contract_size is None:
            if self.market_type is MarketType.PERP_INVERSE:
                raise InstrumentError(f"{self.exchange} {self.instrument}: contract size is not known")
            return qty
        if self.contract_unit is ContractUnit.BASE:
            return qty if self.contract_size == "1" else exact_product(qty, self.contract_size)
        return rounded_ratio((qty, self.contract_size), price)


def pair_name(base: str, quote: str, market_type: MarketType, expiry: str = "") -> str:
    """`BTC-USDT`, `BTC-USDT-PERP`, or with an expiry `BTC-USDT-260327`."""
    if market_type in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE):
        return f"{base}-{quote}-PERP"
    return f"{base}-{quote}-{expiry}" if expiry else f"{base}-{quote}"
