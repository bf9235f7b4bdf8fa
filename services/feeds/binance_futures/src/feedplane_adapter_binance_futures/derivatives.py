"""Mark and index price, funding, open interest and liquidations."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from feedplane_core.decimals import is_zero, non_negative, plain, positive
from feedplane_core.events import FundingRate, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, Liquidated, MarketType

from .symbols import EXCHANGE
from .wire import Ms, Payload, Symbol, decoding

MARK = "markPrice"
LIQUIDATION = "forceOrder"
OPEN_INTEREST = "openInterest"
FUNDING = "fundingRate"


class MarkPriceUpdate(Payload, frozen=True, gc=False, tag="markPriceUpdate", kw_only=True):
    """`{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.62","P":"11784.25","r":"0.00038167","T":1562306400000,"st":1}`"""

    E: Ms
    p: str
    i: str = ""
    r: str = ""
    T: Annotated[int, msgspec.Meta(ge=0, le=9_223_372_036_854)] = 0  # next funding; 0 on dated contracts


class Order(msgspec.Struct, frozen=True, gc=False):
    """`o` of a forceOrder: the liquidation order as it was filled."""

    s: str
    S: Literal["BUY", "SELL"]
    q: str
    p: str
    ap: str
    z: str
    T: Ms


class ForceOrder(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="forceOrder"):
    """`{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","q":"0.014","p":"9910","ap":"9910","X":"FILLED","z":"0.014","T":1568014460893},"st":1}`"""

    o: Order
    st: int = 1

    @property
    def s(self) -> str:
        return self.o.s


class OpenInterestBody(msgspec.Struct, frozen=True, gc=False):
    """`{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}`"""

    openInterest: str
    symbol: Symbol
    time: Ms


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /fapi/v1/fundingRate`."""

    symbol: Symbol
    fundingRate: str
    fundingTime: Ms


_open_interest_body = msgspec.json.Decoder(OpenInterestBody)


def decode_mark(raw: MarkPriceUpdate, market: MarketType, recv_ns: int, interval_s: int | None) -> list[MarketEvent]:
    """Mark and index price, and the running estimate of the funding rate where the contract has funding.

    `r` is "" on dated contracts. `interval_s` is not in the stream: see `symbols.decode_instruments`.
    """
    at_ns = raw.E * NS_PER_MS
    events: list[MarketEvent] = [
        MarkPrice(
            exchange=EXCHANGE,
            market_type=market,
            instrument=raw.s,
            ts_event_ns=at_ns,
            ts_recv_ns=recv_ns,
            mark_price=positive(raw.p, MARK, "p"),
            index_price=_price_or_none(raw.i),
        )
    ]
    if raw.r and market is not MarketType.DELIVERY:
        events.append(
            FundingRate(
                exchange=EXCHANGE,
                market_type=market,
                instrument=raw.s,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                rate=plain(raw.r, MARK, "r"),
                interval_s=interval_s,
                next_funding_ns=raw.T * NS_PER_MS if raw.T > 0 else None,
            )
        )
    return events


def _price_or_none(text: str) -> str | None:
    """An index that is not known comes as "" or as zero."""
    if not text:
        return None
    price = non_negative(text, MARK, "i")
    return None if is_zero(price) else price


def decode_liquidation(raw: ForceOrder, market: MarketType, recv_ns: int) -> list[MarketEvent]:
    """A throttled sample: at most one order per symbol and second. `S` is the order's side: SELL closes a long.

    Price and quantity are those of the fill (`ap`, `z`), those of the order where nothing was filled yet.
    """
    order = raw.o
    is_filled = not is_zero(non_negative(order.z, LIQUIDATION, "z"))
    return [
        Liquidation(
            exchange=EXCHANGE,
            market_type=market,
            instrument=order.s,
            ts_event_ns=order.T * NS_PER_MS,
            ts_recv_ns=recv_ns,
            liquidated=Liquidated.LONG if order.S == "SELL" else Liquidated.SHORT,
            price=positive(order.ap if is_filled else order.p, LIQUIDATION, "price"),
            qty=positive(order.z if is_filled else order.q, LIQUIDATION, "qty"),
        )
    ]


def decode_open_interest(body: bytes, market: MarketType, recv_ns: int) -> OpenInterest:
    """Body of `GET /fapi/v1/openInterest`: base units, one side.

    Raises: DecodeError.
    """
    raw = decoding(OPEN_INTEREST, _open_interest_body.decode, body)
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=market,
        instrument=raw.symbol,
        ts_event_ns=raw.time * NS_PER_MS,
        ts_recv_ns=recv_ns,
        open_interest=non_negative(raw.openInterest, OPEN_INTEREST, "openInterest"),
    )


def decode_funding_row(raw: FundingRow, market: MarketType, recv_ns: int, interval_s: int | None) -> FundingRate:
    """A rate that was charged, at the time of charging; the stream's are estimates, stamped each second."""
    return FundingRate(
        exchange=EXCHANGE,
        market_type=market,
        instrument=raw.symbol,
        ts_event_ns=raw.fundingTime * NS_PER_MS,
        ts_recv_ns=recv_ns,
        rate=plain(raw.fundingRate, FUNDING, "fundingRate"),
        interval_s=interval_s,
        next_funding_ns=None,
    )
