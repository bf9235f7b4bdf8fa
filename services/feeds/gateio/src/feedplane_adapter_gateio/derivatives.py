"""Mark, index, funding and open interest from `futures.tickers`; liquidations from `futures.public_liquidates`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from feedplane_core.decimals import is_zero, non_negative, plain, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_S, Liquidated

from .symbols import Place, base_qty
from .wire import ABSENT, EXCHANGE, Count, Envelope, Seconds, instant_ns, number_text

TICKERS = "futures.tickers"
LIQUIDATIONS = "futures.public_liquidates"
FUNDING = "funding_rate"


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """`{"contract":"BTC_USDT","mark_price":"62914.3","index_price":"62937.6","funding_rate":"0.000033","funding_interval":28800,"funding_next_apply":1785571200,"total_size":"651185722",...,"t":1785548246983}`

    Fields came over the years, and old frames lack them; `""` is no value. `funding_rate_indicative` is deprecated and equal.
    """

    contract: str
    mark_price: str = ""
    index_price: str = ""
    funding_rate: str = ""
    funding_interval: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    funding_next_apply: Seconds = 0
    total_size: msgspec.Raw = ABSENT
    t: Count = 0


class LiquidationRow(msgspec.Struct, frozen=True, gc=False):
    """`{"price":215.1,"size":-124,"time_ms":1541486601123,"contract":"BTC_USD"}`: the price is a JSON number."""

    price: msgspec.Raw
    size: msgspec.Raw
    time_ms: Annotated[int, msgspec.Meta(ge=1, le=9_223_372_036_854)]
    contract: str


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /futures/{settle}/funding_rate`: `{"t":1543968000,"r":"0.000157"}`."""

    t: Annotated[int, msgspec.Meta(ge=1, le=9_223_372_036)]
    r: str


TickerFrame = Envelope[Ticker | list[Ticker]]
LiquidationFrame = Envelope[LiquidationRow | list[LiquidationRow]]


def decode_ticker(row: Ticker, place: Place, pushed_ns: int | None, recv_ns: int) -> list[MarketEvent]:
    """Each datum that is there. Their time is the row's own, of old the frame's.

    Open interest counts contracts (inverse: USD, taken at the mark of the same row; without one there is no event).
    """
    at_ns = instant_ns(row.t, TICKERS) or pushed_ns
    mark, index = _price(row.mark_price, "mark_price"), _price(row.index_price, "index_price")
    events: list[MarketEvent] = []
    if mark is not None or index is not None:
        events.append(
            MarkPrice(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=row.contract,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                mark_price=mark,
                index_price=index,
            )
        )
    if row.funding_rate:
        events.append(
            FundingRate(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=row.contract,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                rate=plain(row.funding_rate, TICKERS, "funding_rate"),
                interval_s=row.funding_interval or place.funding_interval_s,
                next_funding_ns=row.funding_next_apply * NS_PER_S or None,
            )
        )
    size = number_text(row.total_size)
    if size and (mark is not None or not place.is_inverse):
        contracts = non_negative(size, TICKERS, "total_size")
        events.append(
            OpenInterest(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=row.contract,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                open_interest=base_qty(place, row.contract, contracts, mark or "0", TICKERS),
            )
        )
    return events


def _price(text: str, field: str) -> str | None:
    if not text:
        return None
    price = non_negative(text, TICKERS, field)
    return None if is_zero(price) else price


def decode_liquidation(row: LiquidationRow, place: Place, ordinal: int, recv_ns: int) -> MarketEvent:
    """`size` is signed like the order that closed the position: negative sold, so a long died.

    Source: by analogy with `order_size` of `GET /futures/{settle}/liq_orders`; the stream's own page does not say.
    """
    size = number_text(row.size)
    is_sell = size.startswith("-")
    price, contracts = positives(LIQUIDATIONS, number_text(row.price), size[1:] if is_sell else size)
    return Liquidation(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=row.contract,
        ts_event_ns=row.time_ms * 1_000_000,
        ts_recv_ns=recv_ns,
        liquidated=Liquidated.LONG if is_sell else Liquidated.SHORT,
        price=price,
        qty=base_qty(place, row.contract, contracts, price, LIQUIDATIONS),
        ordinal=ordinal,
    )


def decode_funding_row(row: FundingRow, symbol: str, place: Place, recv_ns: int) -> FundingRate:
    """A rate that was charged, at the time of charging; the stream's are of the running period."""
    if not row.r:
        raise DecodeError(FUNDING, "number", "no rate")
    return FundingRate(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=symbol,
        ts_event_ns=row.t * NS_PER_S,
        ts_recv_ns=recv_ns,
        rate=plain(row.r, FUNDING, "r"),
        interval_s=place.funding_interval_s,
        next_funding_ns=None,
    )
