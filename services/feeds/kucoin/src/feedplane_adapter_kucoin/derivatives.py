"""Mark and index price, funding and open interest of futures."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from feedplane_core.decimals import is_zero, non_negative, plain, positive
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import MarketType

from .symbols import Row, decode_contract
from .units import Units
from .wire import EXCHANGE, NOTHING, Stamp, Symbol, is_nothing, ns_of, number_text

MARK, FUNDING, INSTRUMENT, INTEREST = "mark-price", "funding-fee", "instrument", "contracts"
MARK_SUBJECT, FUNDING_SUBJECT = "mark.index.price", "funding.rate"

Granularity: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
"""Milliseconds, at most a day."""

_PREDICTED_MS = 60_000
"""Granularity of the running estimate; that of a settled rate is the funding interval."""


class UtaMark(msgspec.Struct, frozen=True, gc=False):
    """`d` of `mark-price`: `{"s":"ETHUSDTM","mp":"84517.2","ip":"84564.02","oi":"11793380","ts":1790984885000}`; `oi` counts contracts."""

    s: Symbol
    mp: str
    ts: Stamp
    ip: str | None = None
    oi: str | None = None


class UtaFunding(msgspec.Struct, frozen=True, gc=False):
    """`d` of `funding-fee`: `{"s":"XBTUSDTM","fr":"0.000072","ft":1786809600000,"lfr":"0.000069","nt":1786838400000,"gl":28800000,"fc":"0.003","ff":"-0.003"}`.

    `fr` is the rate of the coming settlement at `nt`; `lfr` the one settled at `ft`.
    """

    s: Symbol
    fr: str
    nt: Stamp | None = None
    gl: Granularity | None = None


class InstrumentData(msgspec.Struct, frozen=True, gc=False):
    """`data` of `/contract/instrument`, by subject.

    `{"markPrice":0.80694,"indexPrice":0.80695,"granularity":1000,"timestamp":1705881600000}` or
    `{"granularity":60000,"fundingRate":0.000053,"timestamp":1705708800000}`
    """

    timestamp: Stamp
    granularity: Granularity = 1
    markPrice: msgspec.Raw = NOTHING
    indexPrice: msgspec.Raw = NOTHING
    fundingRate: msgspec.Raw = NOTHING


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /api/v1/contract/funding-rates`: `{"symbol":"XBTUSDTM","timepoint":1702310700000,"fundingRate":6.1E-4}`."""

    timepoint: Stamp
    fundingRate: msgspec.Raw


def decode_uta_mark(raw: UtaMark, units: Units, recv_ns: int) -> list[MarketEvent]:
    """Mark and index price, and the open interest in base units; of inverse contracts it is converted at the mark price."""
    ts_event_ns, mark = ns_of(raw.ts, MARK), positive(raw.mp, MARK, "mp")
    events: list[MarketEvent] = [_mark(units, mark, raw.ip, ts_event_ns, recv_ns)]
    if raw.oi:
        events.append(_interest(units, raw.oi, mark, ts_event_ns, recv_ns, MARK))
    return events


def decode_uta_funding(raw: UtaFunding, units: Units, pushed_ns: int, recv_ns: int) -> FundingRate:
    """The data has no time of its own: the event time is that of the push, about a second after each full minute."""
    interval_s = units.funding_interval_s if raw.gl is None else raw.gl // 1_000
    next_ns = None if raw.nt is None else ns_of(raw.nt, FUNDING)
    return _funding(units, raw.fr, interval_s or None, next_ns, pushed_ns, recv_ns, FUNDING)


def decode_instrument(raw: InstrumentData, subject: str, units: Units, recv_ns: int) -> MarketEvent:
    """Raises: DecodeError `unknown_channel` for a subject that is not carried."""
    ts_event_ns = ns_of(raw.timestamp, INSTRUMENT)
    if subject == MARK_SUBJECT:
        mark = positive(_text(raw.markPrice, "markPrice"), INSTRUMENT, "markPrice")
        index = None if is_nothing(raw.indexPrice) else number_text(raw.indexPrice)
        return _mark(units, mark, index, ts_event_ns, recv_ns)
    if subject != FUNDING_SUBJECT:
        raise DecodeError(INSTRUMENT, "unknown_channel", f"subject {subject[:32]!r}")
    is_predicted = raw.granularity == _PREDICTED_MS
    interval_s = units.funding_interval_s if is_predicted else raw.granularity // 1_000 or None
    rate = _text(raw.fundingRate, "fundingRate")
    return _funding(units, rate, interval_s, None, ts_event_ns, recv_ns, INSTRUMENT)


def decode_funding_row(row: FundingRow, units: Units, recv_ns: int) -> FundingRate:
    """A rate as settled, at the time of settlement."""
    rate, at_ns = number_text(row.fundingRate), ns_of(row.timepoint, "funding-rates")
    return _funding(units, rate, units.funding_interval_s, None, at_ns, recv_ns, "funding-rates")


def decode_open_interest(data: bytes, units: Units, recv_ns: int) -> list[MarketEvent]:
    """`data` of `GET /api/v1/contracts/{symbol}`: open contracts as of now; the body has no time. Raises: DecodeError."""
    row = decode_contract(data, INTEREST)
    if row.symbol != units.symbol:
        raise DecodeError(INTEREST, "schema", f"{row.symbol!r} where {units.symbol!r} was asked for")
    interest = _text(row.openInterest, "openInterest")
    price = "1" if units.market is MarketType.PERP_LINEAR else _mark_of(row)
    return [_interest(units, interest, price, None, recv_ns, INTEREST)]


def _mark_of(row: Row) -> str:
    return positive(_text(row.markPrice, "markPrice"), INTEREST, "markPrice")


def _text(raw: msgspec.Raw, field: str) -> str:
    if is_nothing(raw):
        raise DecodeError(INSTRUMENT, "schema", f"no {field}")
    return number_text(raw)


def _mark(units: Units, mark: str, index: str | None, ts_event_ns: int, recv_ns: int) -> MarkPrice:
    """An index that is not known comes as nothing, "" or zero."""
    known = non_negative(index, MARK, "index") if index else "0"
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        mark_price=mark,
        index_price=None if is_zero(known) else known,
    )


def _funding(
    units: Units,
    rate: str,
    interval_s: int | None,
    next_ns: int | None,
    ts_event_ns: int,
    recv_ns: int,
    channel: str,
) -> FundingRate:
    return FundingRate(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        rate=plain(rate, channel, "rate"),
        interval_s=interval_s,
        next_funding_ns=next_ns,
    )


def _interest(
    units: Units, contracts: str, price: str, ts_event_ns: int | None, recv_ns: int, channel: str
) -> OpenInterest:
    contracts = non_negative(contracts, channel, "open interest")
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=units.market,
        instrument=units.symbol,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=recv_ns,
        open_interest=units.qty(contracts, price, channel),
    )
