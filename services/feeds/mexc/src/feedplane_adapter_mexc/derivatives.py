"""Mark, index, funding and open interest of contracts: `push.ticker`, `push.fair.price`, `push.index.price`, `push.funding.rate`."""

from __future__ import annotations

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS

from .symbols import Place, base_qty
from .wire import ABSENT, EXCHANGE, Ms, Number, is_absent, non_negative_of, plain_of, positive_of, price_or_none

TICKER, FAIR, INDEX, FUNDING = "push.ticker", "push.fair.price", "push.index.price", "push.funding.rate"
REST_FUNDING = "funding"

_LONGEST_CYCLE_MS = 24 * 3_600_000
"""Contracts are charged every 1, 2, 4, 8 or 24 hours."""


class TickerData(msgspec.Struct, frozen=True, gc=False):
    """`bid1` and `ask1` are prices without sizes: no quote."""

    symbol: str
    timestamp: Ms | None = None
    fairPrice: Number = ABSENT
    indexPrice: Number = ABSENT
    fundingRate: Number = ABSENT
    holdVol: Number = ABSENT


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """`{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","fairPrice":76374.4,"indexPrice":76385.8,"timestamp":1731137509138,"holdVol":95479623,"fundingRate":0.0001,...},"channel":"push.ticker","ts":1731137509138}`"""

    channel: str
    symbol: str
    data: TickerData
    ts: Ms


class PriceData(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    price: Number


class Price(msgspec.Struct, frozen=True, gc=False):
    """`{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","price":75986},"channel":"push.fair.price","ts":1789498540821}`"""

    channel: str
    symbol: str
    data: PriceData
    ts: Ms


class RateData(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    rate: Number
    nextSettleTime: Ms | None = None


class Rate(msgspec.Struct, frozen=True, gc=False):
    """`{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","rate":0.000081,"nextSettleTime":1789516800000},"channel":"push.funding.rate","ts":1789498561049}`"""

    channel: str
    symbol: str
    data: RateData
    ts: Ms


class SettledRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /api/v1/contract/funding_rate/history`."""

    symbol: str
    fundingRate: Number
    settleTime: Ms


def decode_ticker(
    raw: Ticker, place: Place, symbol: str, recv_ns: int, settles_ms: dict[str, int]
) -> list[MarketEvent]:
    """Each datum that is in the frame. Its funding rate comes without the time of its settlement, which is that of the socket's last `push.funding.rate` if it still lies ahead.

    Source: contract docs, "Public channels, Ticker", read 2026-11-20.
    """
    data = raw.data
    check_symbol(data.symbol, symbol, TICKER)
    at_ms = raw.ts if data.timestamp is None else data.timestamp
    at_ns = at_ms * NS_PER_MS
    mark, index = (
        price_or_none(data.fairPrice, TICKER, "fairPrice"),
        price_or_none(data.indexPrice, TICKER, "indexPrice"),
    )
    events: list[MarketEvent] = []
    if mark is not None or index is not None:
        events.append(_mark(place, symbol, at_ns, recv_ns, mark, index))
    if not is_absent(data.fundingRate):
        settles = settles_ms.get(symbol, 0)
        rate = plain_of(data.fundingRate, TICKER, "fundingRate")
        events.append(
            _funding(
                place, symbol, at_ns, recv_ns, rate, settles if at_ms < settles <= at_ms + _LONGEST_CYCLE_MS else None
            )
        )
    if not is_absent(data.holdVol) and (mark is not None or not place.is_inverse):
        contracts = non_negative_of(data.holdVol, TICKER, "holdVol")
        events.append(
            OpenInterest(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                open_interest=base_qty(place, symbol, contracts, mark or "1", TICKER),
            )
        )
    return events


def decode_fair(raw: Price, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    check_symbol(raw.data.symbol, symbol, FAIR)
    mark = positive_of(raw.data.price, FAIR, "price")
    return [_mark(place, symbol, raw.ts * NS_PER_MS, recv_ns, mark, None)]


def decode_index(raw: Price, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    check_symbol(raw.data.symbol, symbol, INDEX)
    index = positive_of(raw.data.price, INDEX, "price")
    return [_mark(place, symbol, raw.ts * NS_PER_MS, recv_ns, None, index)]


def decode_rate(raw: Rate, place: Place, symbol: str, recv_ns: int, settles_ms: dict[str, int]) -> list[MarketEvent]:
    """A fraction for the settlement to come; it moves until then."""
    check_symbol(raw.data.symbol, symbol, FUNDING)
    rate = plain_of(raw.data.rate, FUNDING, "rate")
    if raw.data.nextSettleTime is not None:
        settles_ms[symbol] = raw.data.nextSettleTime
    return [_funding(place, symbol, raw.ts * NS_PER_MS, recv_ns, rate, raw.data.nextSettleTime)]


def decode_settled(row: SettledRow, place: Place, symbol: str, recv_ns: int) -> FundingRate:
    """A rate as it was charged."""
    check_symbol(row.symbol, symbol, REST_FUNDING)
    rate = plain_of(row.fundingRate, REST_FUNDING, "fundingRate")
    return _funding(place, symbol, row.settleTime * NS_PER_MS, recv_ns, rate, None)


def check_symbol(found: str, expected: str, channel: str) -> None:
    """Raises: DecodeError where a payload is of another instrument than its frame."""
    if found != expected:
        raise DecodeError(channel, "schema", f"{found[:64]!r} in a frame of {expected[:64]!r}")


def _mark(place: Place, symbol: str, at_ns: int, recv_ns: int, mark: str | None, index: str | None) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        mark_price=mark,
        index_price=index,
    )


def _funding(place: Place, symbol: str, at_ns: int, recv_ns: int, rate: str, next_ms: int | None) -> FundingRate:
    return FundingRate(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=at_ns,
        ts_recv_ns=recv_ns,
        rate=rate,
        interval_s=place.funding_interval_s,
        next_funding_ns=None if next_ms is None else next_ms * NS_PER_MS,
    )
