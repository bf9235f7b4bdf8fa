"""Mark and index price, funding, open interest and liquidations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
from feedplane_core.decimals import non_negative, plain, positive, positives
from feedplane_core.events import FundingRate, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, Liquidated

from .places import Place
from .wire import EXCHANGE, Ms, Side, check_name, ms_of

MARK = "mark-price"
INDEX = "index-tickers"
FUNDING = "funding-rate"
OPEN_INTEREST = "open-interest"
LIQUIDATION = "liquidation-orders"

_MAX_INTERVAL_MS = 86_400_000


class MarkRow(msgspec.Struct, frozen=True, gc=False):
    """`{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"84660.1","ts":"1744590349506"}`"""

    instId: str
    markPx: str
    ts: Ms


class IndexRow(msgspec.Struct, frozen=True, gc=False):
    """`{"instId":"BTC-USDT","idxPx":"103895","open24h":"..","high24h":"..","low24h":"..","sodUtc0":"..","sodUtc8":"..","ts":"1746942707815"}`"""

    instId: str
    idxPx: str
    ts: Ms


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """`{"fundingRate":"0.0001875391284828","fundingTime":"1700726400000","instId":"BTC-USD-SWAP","nextFundingRate":"","nextFundingTime":"1700755200000","settFundingRate":"0.00016998","ts":"1700724675402",...}`"""

    instId: str
    fundingRate: str
    fundingTime: str = ""
    nextFundingTime: str = ""
    ts: str = ""


class SettledRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `GET /api/v5/public/funding-rate-history`: `fundingRate` was predicted, `realizedRate` charged."""

    instId: str
    realizedRate: str
    fundingTime: Ms


class InterestRow(msgspec.Struct, frozen=True, gc=False):
    """`{"instId":"BTC-USDT-SWAP","instType":"SWAP","oi":"2216113.01","oiCcy":"22161.1301","oiUsd":"1939251795.5","ts":"1743041250440"}`"""

    instId: str
    oiCcy: str
    ts: Ms


class Order(msgspec.Struct, frozen=True, gc=False):
    """`side` is the forced order's, `bkPx` the price at which the position was bankrupt, not that of a fill."""

    side: Side
    bkPx: str
    sz: str
    ts: Ms


class LiquidationRow(msgspec.Struct, frozen=True, gc=False):
    """`{"details":[{"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],"instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}`"""

    instId: str
    details: list[Order]


class MarkFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[MarkRow]


class IndexFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[IndexRow]


class FundingFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[FundingRow]


class InterestFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[InterestRow]


class LiquidationFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[LiquidationRow]


def decode_marks(raw: MarkFrame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """The mark alone: the index comes on a channel of its own, at times of its own."""
    events: list[MarketEvent] = []
    for row in raw.data:
        check_name(row.instId, place.name, MARK)
        events.append(_mark(place, row.ts, recv_ns, mark=positive(row.markPx, MARK, "markPx"), index=None))
    return events


def decode_index(raw: IndexFrame, index: str, places: Iterable[Place], recv_ns: int) -> list[MarketEvent]:
    """The index alone, for each of these instruments."""
    events: list[MarketEvent] = []
    for row in raw.data:
        check_name(row.instId, index, INDEX)
        price = positive(row.idxPx, INDEX, "idxPx")
        events += [_mark(place, row.ts, recv_ns, mark=None, index=price) for place in places]
    return events


def _mark(place: Place, ts: int, recv_ns: int, *, mark: str | None, index: str | None) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        mark_price=mark,
        index_price=index,
    )


def decode_funding(raw: FundingFrame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """The running rate, which is charged at `fundingTime`.

    Source: v5 docs, "Funding rate channel", read 2026-11-20.
    """
    events: list[MarketEvent] = []
    for row in raw.data:
        check_name(row.instId, place.name, FUNDING)
        charged_ms = ms_of(row.fundingTime, FUNDING, "fundingTime")
        ts_ms = ms_of(row.ts, FUNDING, "ts")
        events.append(
            FundingRate(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=place.name,
                ts_event_ns=None if ts_ms is None else ts_ms * NS_PER_MS,
                ts_recv_ns=recv_ns,
                rate=plain(row.fundingRate, FUNDING, "fundingRate"),
                interval_s=_interval_s(charged_ms, ms_of(row.nextFundingTime, FUNDING, "nextFundingTime")),
                next_funding_ns=None if charged_ms is None else charged_ms * NS_PER_MS,
            )
        )
    return events


def _interval_s(charged_ms: int | None, following_ms: int | None) -> int | None:
    """1, 2, 4, 6 or 8 hours, and it may change; anything beyond a day is no interval."""
    if charged_ms is None or following_ms is None or not 1_000 <= following_ms - charged_ms <= _MAX_INTERVAL_MS:
        return None
    return (following_ms - charged_ms) // 1_000


def decode_settled(row: SettledRow, place: Place, recv_ns: int) -> FundingRate:
    """A rate that was charged, at the time of charging; the stream's are running estimates."""
    check_name(row.instId, place.name, FUNDING)
    return FundingRate(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=place.name,
        ts_event_ns=row.fundingTime * NS_PER_MS,
        ts_recv_ns=recv_ns,
        rate=plain(row.realizedRate, FUNDING, "realizedRate"),
        interval_s=None,
        next_funding_ns=None,
    )


def decode_open_interest(raw: InterestFrame, place: Place, recv_ns: int) -> list[MarketEvent]:
    """`oiCcy` counts the base coin on linear and inverse contracts alike; `oi` counts contracts."""
    events: list[MarketEvent] = []
    for row in raw.data:
        check_name(row.instId, place.name, OPEN_INTEREST)
        events.append(
            OpenInterest(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=place.name,
                ts_event_ns=row.ts * NS_PER_MS,
                ts_recv_ns=recv_ns,
                open_interest=non_negative(row.oiCcy, OPEN_INTEREST, "oiCcy"),
            )
        )
    return events


def decode_liquidations(
    raw: LiquidationFrame, place_of: Callable[[str, str], Place | None], recv_ns: int
) -> list[MarketEvent]:
    """Orders of all instruments of a type; those that are not followed are left out. `buy` closes a short.

    Source: v5 docs, "Liquidation orders channel", read 2026-11-20.
    """
    events: list[MarketEvent] = []
    seen: Counter[tuple[str, Order]] = Counter()
    for row in raw.data:
        place = place_of(row.instId, LIQUIDATION)
        if place is None:
            continue
        for order in row.details:
            price, qty = positives(LIQUIDATION, order.bkPx, order.sz)
            events.append(
                Liquidation(
                    exchange=EXCHANGE,
                    market_type=place.market,
                    instrument=place.name,
                    ts_event_ns=order.ts * NS_PER_MS,
                    ts_recv_ns=recv_ns,
                    liquidated=Liquidated.LONG if order.side == "sell" else Liquidated.SHORT,
                    price=price,
                    qty=place.base_qty(qty, price, LIQUIDATION),
                    ordinal=seen[place.name, order],
                )
            )
            seen[place.name, order] += 1
    return events
