"""Instruments: `GET /api/v2/symbols` (spot) and `GET /api/v1/contracts/active` (futures)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from feedplane_core.decimals import Dec, is_zero, plain, positive
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_MS, MarketType

from .wire import EXCHANGE, NOTHING, Symbol, Text, TradeType, decoding, is_nothing, number_text

CHANNEL = "instruments"

_PERPETUAL, _DATED = "FFWCSX", "FFICSX"
_STATUS = {
    "Open": InstrumentStatus.TRADING,
    "Settled": InstrumentStatus.DELISTED,
    "Closed": InstrumentStatus.DELISTED,
}
"""All others (Init, BeingSettled, Paused, CancelOnly) are listed but may be silent."""
_COINS = {"XBT": "BTC"}
"""Futures write BTC as XBT."""
_MAX_FUNDING_S = 86_400
_MAX_MS = 9_223_372_036_854


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One spot symbol or one contract; the latter has a `type`. Numbers of contracts are JSON numbers, kept as their digits."""

    symbol: Symbol
    baseCurrency: Text
    quoteCurrency: Text
    priceIncrement: str | None = None
    baseIncrement: str | None = None
    enableTrading: bool = True
    type: str = ""
    status: str = ""
    settleCurrency: str | None = None
    tickSize: msgspec.Raw = NOTHING
    lotSize: msgspec.Raw = NOTHING
    multiplier: msgspec.Raw = NOTHING
    isInverse: bool = False
    firstOpenDate: int | None = None
    expireDate: int | None = None
    fundingRateGranularity: int | None = None
    openInterest: msgspec.Raw = NOTHING
    markPrice: msgspec.Raw = NOTHING


class Body(msgspec.Struct, frozen=True, gc=False):
    """`{"code":"200000","data":[...]}`; a refusal has another code and a `msg`."""

    code: str
    data: msgspec.Raw = NOTHING
    msg: str = ""


_body = msgspec.json.Decoder(Body)
_rows: msgspec.json.Decoder[list[Row] | Row] = msgspec.json.Decoder(list[Row] | Row)


def data_of(body: bytes, channel: str) -> bytes:
    """`data` of a REST body, still JSON.

    Raises: DecodeError `venue_error` for a refusal, and for the answer without data that an overloaded venue gives.
    """
    envelope = decoding(channel, _body.decode, body)
    data = bytes(envelope.data)
    if envelope.code != "200000" or data == b"null":
        raise DecodeError(channel, "venue_error", f"{envelope.code} {envelope.msg or 'no data'}"[:200])
    return data


def trade_type_of(instrument: Instrument) -> TradeType:
    return TradeType.SPOT if instrument.market_type is MarketType.SPOT else TradeType.FUTURES


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every symbol and contract of the bodies, whatever its status. Raises: DecodeError."""
    found: list[Instrument] = []
    for body in bodies:
        rows = decoding(CHANNEL, _rows.decode, data_of(body, CHANNEL))
        found += [_contract(row) if row.type else _pair(row) for row in (rows if isinstance(rows, list) else [rows])]
    return found


def decode_contract(data: bytes, channel: str) -> Row:
    """One contract: the `data` of `GET /api/v1/contracts/{symbol}`. Raises: DecodeError."""
    row = decoding(channel, _rows.decode, data)
    if isinstance(row, list) or not row.type:
        raise DecodeError(channel, "schema", "not one contract")
    return row


def _pair(row: Row) -> Instrument:
    if row.priceIncrement is None or row.baseIncrement is None:
        raise DecodeError(CHANNEL, "schema", f"{row.symbol}: neither a contract nor a spot pair with increments")
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=row.symbol,
        pair=pair_name(row.baseCurrency, row.quoteCurrency, MarketType.SPOT),
        base=row.baseCurrency,
        quote=row.quoteCurrency,
        tick=positive(row.priceIncrement, CHANNEL, "priceIncrement"),
        step=positive(row.baseIncrement, CHANNEL, "baseIncrement"),
        status=InstrumentStatus.TRADING if row.enableTrading else InstrumentStatus.HALTED,
    )


def _contract(row: Row) -> Instrument:
    """Linear: `multiplier` base units a contract. Inverse: its absolute value (the venue writes -1) in quote units."""
    size = plain(number_text(row.multiplier), CHANNEL, "multiplier").removeprefix("-")
    if is_zero(size):
        raise DecodeError(CHANNEL, "number", "multiplier is zero")
    market = _market_of(row)
    base, quote = _coin(row.baseCurrency), _coin(row.quoteCurrency)
    expiry = _expiry_text(row) if market is MarketType.DELIVERY else ""
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.symbol,
        pair=pair_name(base, quote, market, expiry),
        base=base,
        quote=quote,
        settle=_coin(row.settleCurrency or ""),
        tick=_optional(row.tickSize, "tickSize"),
        step=_optional(row.lotSize, "lotSize"),
        contract_size=size,
        contract_unit=ContractUnit.QUOTE if row.isInverse else ContractUnit.BASE,
        status=_STATUS.get(row.status, InstrumentStatus.HALTED),
        listed_ns=_ms_ns(row.firstOpenDate),
        expiry_ns=_ms_ns(row.expireDate),
        funding_interval_s=_funding_s(row) if market is not MarketType.DELIVERY else None,
    )


def _market_of(row: Row) -> MarketType:
    if row.type == _DATED:
        return MarketType.DELIVERY
    if row.type != _PERPETUAL:
        raise DecodeError(CHANNEL, "schema", f"{row.symbol}: contract type {row.type[:32]!r}")
    return MarketType.PERP_INVERSE if row.isInverse else MarketType.PERP_LINEAR


def _coin(name: str) -> str:
    return _COINS.get(name, name)


def _optional(raw: msgspec.Raw, field: str) -> Dec | None:
    return None if is_nothing(raw) else positive(number_text(raw), CHANNEL, field)


def _ms_ns(stamp: int | None) -> int | None:
    if not stamp:
        return None
    if not 0 < stamp <= _MAX_MS:
        raise DecodeError(CHANNEL, "number_range", "a date does not fit 64 bits of ns")
    return stamp * NS_PER_MS


def _expiry_text(row: Row) -> str:
    """`261225`."""
    expiry_ns = _ms_ns(row.expireDate)
    if expiry_ns is None:
        raise DecodeError(CHANNEL, "schema", f"{row.symbol} is dated without a date")
    return datetime.fromtimestamp(expiry_ns // (1_000 * NS_PER_MS), UTC).strftime("%y%m%d")


def _funding_s(row: Row) -> int | None:
    seconds = (row.fundingRateGranularity or 0) // 1_000
    if not 0 <= seconds <= _MAX_FUNDING_S:
        raise DecodeError(CHANNEL, "schema", f"{row.symbol} is funded every {seconds} s")
    return seconds or None
