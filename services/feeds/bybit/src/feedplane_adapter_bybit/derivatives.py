"""Mark, index, funding and open interest from `tickers.<symbol>`; liquidations from `allLiquidation.<symbol>`."""

from __future__ import annotations

from collections import Counter

import msgspec
from feedplane_core.decimals import exact_product, is_zero, non_negative, plain, positives
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, Liquidated, MarketType

from .symbols import Place, base_qty
from .wire import EXCHANGE, Kind, Ms, Side, check_symbol, ms_of

TICKERS = "tickers"
LIQUIDATION = "allLiquidation"
SAMPLED_LIQUIDATION = "liquidation"
FUNDING = "funding"

_HALF = "0.5"


class TickerData(msgspec.Struct, frozen=True, gc=False):
    """Of a delta only what has changed is there; `None` here says that it is not. `""` says that there is no value."""

    symbol: str
    markPrice: str | None = None
    indexPrice: str | None = None
    fundingRate: str | None = None
    nextFundingTime: str | None = None  # milliseconds
    fundingIntervalHour: str | None = None
    openInterest: str | None = None  # both sides added
    singleOpenInterest: str | None = None  # since 2026-06-11


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """`{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"66667.10"},"cs":9532239501,"ts":1760325052730}`"""

    type: Kind
    ts: Ms
    data: TickerData


class Known(msgspec.Struct, frozen=True, gc=False):
    """What a ticker has said of one symbol since its snapshot."""

    mark: str | None = None
    index: str | None = None
    rate: str | None = None
    next_funding_ms: int | None = None
    interval_s: int | None = None


class LiquidationRow(msgspec.Struct, frozen=True, gc=False):
    """`S` is the side of the position, `p` the price at which it is bankrupt."""

    T: Ms
    s: str
    S: Side
    v: str
    p: str


class LiquidationFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}`"""

    data: list[LiquidationRow]


class SampledRow(msgspec.Struct, frozen=True, gc=False):
    updatedTime: Ms
    symbol: str
    side: Side
    size: str
    price: str


class SampledFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"topic":"liquidation.BTCUSDT","type":"snapshot","ts":1673251091822,"data":{"updatedTime":1673251091822,"symbol":"BTCUSDT","side":"Sell","size":"0.1","price":"17000"}}`"""

    data: SampledRow


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /v5/market/funding/history`."""

    symbol: str
    fundingRate: str
    fundingRateTimestamp: str


def decode_ticker(raw: Ticker, place: Place, symbol: str, recv_ns: int, known: dict[str, Known]) -> list[MarketEvent]:
    """Each datum of which a field is in the frame, with what has not changed as it was. No datum has a time of its own.

    Source: v5 docs, "Ticker", read 2026-11-20.
    """
    data = raw.data
    check_symbol(data.symbol, symbol, TICKERS)
    now = _merged(Known() if raw.type == "snapshot" else known.get(symbol, Known()), data)
    at_ns = raw.ts * NS_PER_MS
    events: list[MarketEvent] = []
    if (data.markPrice is not None or data.indexPrice is not None) and (now.mark or now.index):
        events.append(
            MarkPrice(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                mark_price=now.mark,
                index_price=now.index,
            )
        )
    if now.rate is not None and _speaks_of_funding(data) and place.market is not MarketType.DELIVERY:
        events.append(
            FundingRate(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                rate=now.rate,
                interval_s=now.interval_s or place.funding_interval_s,
                next_funding_ns=None if now.next_funding_ms is None else now.next_funding_ms * NS_PER_MS,
            )
        )
    open_interest = _one_side(data)
    if open_interest is not None and (now.mark is not None or not place.is_inverse):
        events.append(
            OpenInterest(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=at_ns,
                ts_recv_ns=recv_ns,
                open_interest=base_qty(place, symbol, open_interest, now.mark or "0", TICKERS),
            )
        )
    known[symbol] = now
    return events


def _speaks_of_funding(data: TickerData) -> bool:
    return data.fundingRate is not None or data.nextFundingTime is not None or data.fundingIntervalHour is not None


def _merged(before: Known, data: TickerData) -> Known:
    """Raises: DecodeError for a field that is no number."""
    mark, index, rate = before.mark, before.index, before.rate
    next_ms, interval_s = before.next_funding_ms, before.interval_s
    if data.markPrice is not None:
        mark = _price(data.markPrice, "markPrice")
    if data.indexPrice is not None:
        index = _price(data.indexPrice, "indexPrice")
    if data.fundingRate is not None:
        rate = plain(data.fundingRate, TICKERS, "fundingRate") if data.fundingRate else None
    if data.nextFundingTime is not None:
        next_ms = ms_of(data.nextFundingTime, TICKERS, "nextFundingTime")
    if data.fundingIntervalHour is not None:
        interval_s = _hours_s(data.fundingIntervalHour)
    return Known(mark, index, rate, next_ms, interval_s)


def _price(text: str, field: str) -> str | None:
    if not text:
        return None
    price = non_negative(text, TICKERS, field)
    return None if is_zero(price) else price


def _hours_s(text: str) -> int | None:
    if text in ("", "0"):
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 2 or int(text) > 24 or not int(text):
        raise DecodeError(TICKERS, "schema", "fundingIntervalHour is no number of hours")
    return int(text) * 3_600


def _one_side(data: TickerData) -> str | None:
    """Of both sides added (`openInterest`) the half is one."""
    if data.singleOpenInterest:
        return non_negative(data.singleOpenInterest, TICKERS, "singleOpenInterest")
    if data.openInterest:
        both = non_negative(data.openInterest, TICKERS, "openInterest")
        return exact_product(both, _HALF, channel=TICKERS, field="openInterest")
    return None


def decode_liquidations(raw: LiquidationFrame, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """All of them, batched by 500 ms. `Buy`: a long died, and what met the book was a sell.

    Source: v5 docs, "All Liquidation", read 2026-11-20.
    """
    events: list[MarketEvent] = []
    seen: Counter[LiquidationRow] = Counter()
    for row in raw.data:
        check_symbol(row.s, symbol, LIQUIDATION)
        price, qty = positives(LIQUIDATION, row.p, row.v)
        events.append(
            Liquidation(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=symbol,
                ts_event_ns=row.T * NS_PER_MS,
                ts_recv_ns=recv_ns,
                liquidated=Liquidated.LONG if row.S == "Buy" else Liquidated.SHORT,
                price=price,
                qty=base_qty(place, symbol, qty, price, LIQUIDATION),
                ordinal=seen[row],
            )
        )
        seen[row] += 1
    return events


def decode_sampled(raw: SampledFrame, place: Place, symbol: str, recv_ns: int) -> list[MarketEvent]:
    """The channel before `allLiquidation`, with the same fields under other names.

    Source: v5 docs of 2023, "Liquidation" (`side` is the position's: `Buy`, a long was liquidated), as read by third parties; withdrawn in 2025.
    """
    row = raw.data
    new = LiquidationRow(row.updatedTime, row.symbol, row.side, row.size, row.price)
    return decode_liquidations(LiquidationFrame([new]), place, symbol, recv_ns)


def decode_funding_row(row: FundingRow, place: Place, recv_ns: int) -> FundingRate:
    """A rate that was charged, at the time of charging; the stream's are estimates."""
    charged_ms = ms_of(row.fundingRateTimestamp, FUNDING, "fundingRateTimestamp")
    if charged_ms is None:
        raise DecodeError(FUNDING, "schema", "a rate without its time")
    return FundingRate(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=row.symbol,
        ts_event_ns=charged_ms * NS_PER_MS,
        ts_recv_ns=recv_ns,
        rate=plain(row.fundingRate, FUNDING, "fundingRate"),
        interval_s=place.funding_interval_s,
        next_funding_ns=None,
    )
