"""Rows of the futures history: executions and funding rates. The routes are documented; the shapes here follow the venue's examples and are not confirmed."""

from __future__ import annotations

from typing import Literal

import msgspec
from feedplane_core.decimals import plain
from feedplane_core.events import FundingRate, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, Aggressor

from .directory import base_qty
from .symbols import FUNDING_INTERVAL_S
from .wire import EXCHANGE, Ms, Name, Number, iso_ns, price_of, text_of

EXECUTIONS = "executions"
FUNDING = "funding"


class Order(msgspec.Struct, gc=False):
    direction: Literal["Buy", "Sell"]


class Execution(msgspec.Struct, gc=False):
    """`{"uid":"...","makerOrder":{...,"direction":"Buy"},"takerOrder":{...,"direction":"Sell"},"timestamp":1612266317519,"quantity":"15000","price":"34969.5",...}`"""

    uid: Name
    takerOrder: Order
    timestamp: Ms
    quantity: Number
    price: Number


class _Wrapped(msgspec.Struct, gc=False):
    execution: Execution


class Happened(msgspec.Struct, gc=False):
    """`{"Execution":{"execution":{...},"takerReducedQuantity":""}}`; other kinds of events are left out."""

    Execution: _Wrapped | None = None


class Element(msgspec.Struct, gc=False):
    event: Happened


class ExecutionsBody(msgspec.Struct, gc=False):
    """`{"elements":[{"uid":"...","timestamp":1612266317519,"event":{"Execution":{"execution":{...}}}}],"len":1,"continuationToken":"..."}`"""

    elements: list[Element]
    continuationToken: str | None = None


class RateRow(msgspec.Struct, gc=False):
    """`{"timestamp":"2022-06-28T00:00:00.000Z","fundingRate":-8.15861558e-10,"relativeFundingRate":-1.6898883333333e-5}`"""

    timestamp: str
    relativeFundingRate: Number


class RatesBody(msgspec.Struct, gc=False):
    """`{"result":"success","rates":[...]}`"""

    rates: list[RateRow]


def decode_execution(element: Element, contract: Instrument, recv_ns: int) -> Trade | None:
    """The taker's direction is the aggressor's; `uid` is taken for the one of the stream."""
    if element.event.Execution is None:
        return None
    execution = element.event.Execution.execution
    price = price_of(execution.price, EXECUTIONS)
    return Trade(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=execution.timestamp * NS_PER_MS,
        ts_recv_ns=recv_ns,
        trade_id=execution.uid,
        price=price,
        qty=base_qty(contract, price_of(execution.quantity, EXECUTIONS, "quantity"), price, EXECUTIONS),
        aggressor=Aggressor.BUY if execution.takerOrder.direction == "Buy" else Aggressor.SELL,
    )


def decode_rate(row: RateRow, contract: Instrument, recv_ns: int) -> FundingRate:
    """A rate that was charged, at its time; the ticker's are estimates."""
    rate = plain(text_of(row.relativeFundingRate, FUNDING, "relativeFundingRate"), FUNDING, "relativeFundingRate")
    return FundingRate(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=iso_ns(row.timestamp, FUNDING) or None,
        ts_recv_ns=recv_ns,
        rate=rate,
        interval_s=FUNDING_INTERVAL_S,
        next_funding_ns=None,
    )
