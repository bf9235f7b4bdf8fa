"""Symbols: what their spelling tells, and instruments from `GET /api/v5/public/instruments`.

    BTC-USDT                     spot
    BTC-USDT-SWAP, BTC-USD-SWAP  perpetual, linear and inverse
    BTC-USD-261225               dated; BTC-USD_UM_XPERP-310404: X-Perp, dated as well
    BTC-USD-261225-100000-C      option, not carried

The quote part may have a tail after `_`, which names the family, not the currency.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedplane_core.decimals import exact_product, is_zero, non_negative
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_MS, MarketType

from .wire import EXCHANGE, Body, decoder, ms_of, rows_of

CHANNEL = "instruments"
TYPES = ("SPOT", "SWAP", "FUTURES")
"""`instType` of what is carried."""

_MAX_NAME = 64
_TYPE_OF = {
    MarketType.SPOT: "SPOT",
    MarketType.PERP_LINEAR: "SWAP",
    MarketType.PERP_INVERSE: "SWAP",
    MarketType.DELIVERY: "FUTURES",
}


class Row(msgspec.Struct, frozen=True, gc=False):
    """`{"instType":"SWAP","instId":"BTC-USD-SWAP","uly":"BTC-USD","ctType":"inverse","ctVal":"100","ctMult":"1","ctValCcy":"USD","settleCcy":"BTC","tickSz":"0.1","lotSz":"1","state":"live",...}`

    `baseCcy` and `quoteCcy` are "" on derivatives, the fields of contracts on spot.
    """

    instType: str
    instId: str
    state: str
    tickSz: str = ""
    lotSz: str = ""
    baseCcy: str = ""
    quoteCcy: str = ""
    uly: str = ""
    settleCcy: str = ""
    ctType: str = ""
    ctVal: str = ""
    ctMult: str = ""
    listTime: str = ""
    expTime: str = ""


_rows = decoder(Body[Row])


def type_of(market: MarketType) -> str:
    """The `instType` of a market."""
    return _TYPE_OF[market]


def index_of(name: str) -> str:
    """The index that a derivative follows: `BTC-USD` of `BTC-USD_UM_XPERP-310404`."""
    base, _, rest = name.partition("-")
    return f"{base}-{rest.partition('-')[0].partition('_')[0]}"


def market_of(name: str, channel: str = "-") -> MarketType:
    """The market that a spelling tells.

    Raises: DecodeError `unknown_instrument` for an option and for what this venue cannot have.
    """
    parts = name.split("-")
    is_wide = len(name) > _MAX_NAME or not all(part.replace("_", "").isalnum() for part in parts)
    if not is_wide and len(parts) == 2:
        return MarketType.SPOT
    if not is_wide and len(parts) == 3:
        if parts[2] == "SWAP":
            return MarketType.PERP_INVERSE if parts[1] == "USD" else MarketType.PERP_LINEAR
        if len(parts[2]) == 6 and parts[2].isascii() and parts[2].isdecimal():
            return MarketType.DELIVERY
    raise DecodeError(channel, "unknown_instrument", repr(name[:_MAX_NAME]))


def unit_of(name: str) -> ContractUnit:
    """What a contract of that spelling counts: those quoted in plain `USD` are inverse."""
    return ContractUnit.QUOTE if name.split("-")[1] == "USD" else ContractUnit.BASE


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every instrument in the bodies, options left out.

    Raises: DecodeError. Source: v5 docs, "Get instruments", read 2026-11-20.
    """
    rows = [row for body in bodies for row in rows_of(CHANNEL, _rows.decode, body)]
    return [_instrument(row) for row in rows if row.instType in TYPES]


def _instrument(row: Row) -> Instrument:
    is_spot = row.instType == "SPOT"
    market = _market(row)
    base, quote = (row.baseCcy, row.quoteCcy) if is_spot else _currencies(row)
    if not (base and quote and row.instId):
        raise DecodeError(CHANNEL, "schema", f"{row.instId[:_MAX_NAME]!r} names no currencies")
    expires_ms = ms_of(row.expTime, CHANNEL, "expTime")
    listed_ms = ms_of(row.listTime, CHANNEL, "listTime")
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.instId,
        pair=pair_name(base, quote, market, row.instId.rpartition("-")[2] if market is MarketType.DELIVERY else ""),
        base=base,
        quote=quote,
        settle=row.settleCcy,
        tick=_step(row.tickSz, "tickSz"),
        step=_step(row.lotSz, "lotSz"),
        contract_size=None if is_spot else _contract_size(row),
        contract_unit=ContractUnit.QUOTE if row.ctType == "inverse" else ContractUnit.BASE,
        status=InstrumentStatus.TRADING if row.state == "live" else InstrumentStatus.HALTED,
        listed_ns=None if listed_ms is None else listed_ms * NS_PER_MS,
        expiry_ns=None if expires_ms is None else expires_ms * NS_PER_MS,
    )


def _market(row: Row) -> MarketType:
    if row.instType == "SPOT":
        return MarketType.SPOT
    if row.ctType not in ("linear", "inverse"):
        raise DecodeError(CHANNEL, "schema", f"{row.instId[:_MAX_NAME]!r} is neither linear nor inverse")
    if row.instType == "FUTURES":
        return MarketType.DELIVERY
    return MarketType.PERP_INVERSE if row.ctType == "inverse" else MarketType.PERP_LINEAR


def _currencies(row: Row) -> tuple[str, str]:
    base, _, quote = index_of(row.uly or row.instId).partition("-")
    return base, quote


def _step(text: str, field: str) -> str | None:
    """`""` and zero: not known."""
    if not text:
        return None
    value = non_negative(text, CHANNEL, field)
    return None if is_zero(value) else value


def _contract_size(row: Row) -> str:
    """`ctVal` x `ctMult`: so many base units, or quote units of an inverse contract."""
    value, factor = _step(row.ctVal, "ctVal"), _step(row.ctMult or "1", "ctMult")
    if value is None or factor is None:
        raise DecodeError(CHANNEL, "contract_size", f"{row.instId[:_MAX_NAME]!r} has none")
    return exact_product(value, factor, channel=CHANNEL, field="ctVal")
