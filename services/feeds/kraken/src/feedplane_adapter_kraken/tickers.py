"""Kraken Futures' `ticker`: quote, mark and index, funding and open interest in one message, at most once a second."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import is_zero, plain
from feedplane_core.events import FundingRate, MarketEvent, MarkPrice, OpenInterest, TopOfBook
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import NS_PER_MS, MarketType

from .directory import base_qty
from .symbols import FUNDING_INTERVAL_S
from .wire import EXCHANGE, Ms, Name, Number, ms_ns, size_of, text_of

TICKER = "ticker"


class Ticker(msgspec.Struct, gc=False, kw_only=True):
    """`{"feed":"ticker","product_id":"PI_XBTUSD","time":1612270825253,"bid":34832.5,"ask":34847.5,"bid_size":42864,"ask_size":2300,"index":34803.45,"markPrice":34844.25,"openInterest":107706940,"relative_funding_rate":-1.01604219e-6,"next_funding_rate_time":1612282800000,...}`

    What has no value is absent, funding fields when they are zero.
    """

    product_id: Name
    time: Ms
    bid: Number = None
    ask: Number = None
    bid_size: Number = None
    ask_size: Number = None
    index: Number = None
    markPrice: Number = None
    openInterest: Number = None
    funding_rate: Number = None
    relative_funding_rate: Number = None
    next_funding_rate_time: Number = None


def decode_ticker(ticker: Ticker, contract: Instrument, recv_ns: int) -> list[MarketEvent]:
    """Quote, mark, funding and open interest, as far as they are there, all of the ticker's time.

    Source: Futures WebSocket, "Ticker" feed, read 2026-11-20.
    """
    at_ns = ticker.time * NS_PER_MS
    mark = _price_or_none(ticker.markPrice, "markPrice")
    found = (
        _quote(ticker, contract, at_ns, recv_ns),
        _mark(ticker, mark, contract, at_ns, recv_ns),
        _funding(ticker, contract, at_ns, recv_ns),
        _open_interest(ticker, mark, contract, at_ns, recv_ns),
    )
    return [event for event in found if event is not None]


def _quote(ticker: Ticker, contract: Instrument, at_ns: int, recv_ns: int) -> TopOfBook | None:
    if ticker.bid is None and ticker.ask is None:
        return None
    bid, bid_qty = _side(ticker.bid, ticker.bid_size, contract)
    ask, ask_qty = _side(ticker.ask, ticker.ask_size, contract)
    return TopOfBook(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        bid_price=bid,
        bid_qty=bid_qty,
        ask_price=ask,
        ask_qty=ask_qty,
    )


def _side(price: Number, size: Number, contract: Instrument) -> tuple[str, str]:
    """An empty side is 0."""
    price_text = "0" if price is None else size_of(price, TICKER, "price")
    size_text = "0" if size is None else size_of(size, TICKER, "size")
    if is_zero(price_text) or is_zero(size_text):
        return price_text, "0"
    return price_text, base_qty(contract, size_text, price_text, TICKER)


def _mark(ticker: Ticker, mark: str | None, contract: Instrument, at_ns: int, recv_ns: int) -> MarkPrice | None:
    index = _price_or_none(ticker.index, "index")
    if mark is None and index is None:
        return None
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        mark_price=mark,
        index_price=index,
    )


def _funding(ticker: Ticker, contract: Instrument, at_ns: int, recv_ns: int) -> FundingRate | None:
    """The relative rate, a fraction of the price per hour. The absolute one cannot be told without a price, so where only it is there nothing is said."""
    if contract.market_type is MarketType.DELIVERY:
        return None
    rate = ticker.relative_funding_rate
    if rate is None and ticker.funding_rate is not None:
        return None
    next_ns = ticker.next_funding_rate_time
    return FundingRate(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        rate="0" if rate is None else plain(text_of(rate, TICKER, "relative_funding_rate"), TICKER, "rate"),
        interval_s=FUNDING_INTERVAL_S,
        next_funding_ns=None if next_ns is None else ms_ns(next_ns, TICKER, "next_funding_rate_time"),
    )


def _open_interest(
    ticker: Ticker, mark: str | None, contract: Instrument, at_ns: int, recv_ns: int
) -> OpenInterest | None:
    """Of inverse contracts dollars, worth so much at the mark price; without one there is no telling."""
    if ticker.openInterest is None or (mark is None and contract.contract_unit is ContractUnit.QUOTE):
        return None
    contracts = size_of(ticker.openInterest, TICKER, "openInterest")
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=contract.market_type,
        instrument=contract.instrument,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        open_interest="0" if is_zero(contracts) else base_qty(contract, contracts, mark or "1", TICKER),
    )


def _price_or_none(value: Number, field: str) -> str | None:
    if value is None:
        return None
    price = size_of(value, TICKER, field)
    return None if is_zero(price) else price
