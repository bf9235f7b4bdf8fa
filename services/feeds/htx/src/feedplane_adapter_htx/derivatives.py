"""Mark and index price, funding, liquidations and open interest of linear contracts."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec
from feedplane_core.decimals import Dec, non_negative, plain, positive
from feedplane_core.events import FundingRate, Liquidation, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, Liquidated, MarketType

from .symbols import Place, Places
from .wire import EXCHANGE, MaybeNumber, Ms, Number, Seq, is_absent, ms_of, text_of

MARK = "mark_price"
INDEX = "index"
BASIS = "basis"
FUNDING = "funding_rate"
LIQUIDATION = "liquidation_orders"
OPEN_INTEREST = "open_interest"


class PriceTick(msgspec.Struct, frozen=True, gc=False):
    """A candle of a price: `{"id":1529898780,"open":"9800.12","close":"9800.12",...}`; `close` is the price now."""

    close: Number


class PriceFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.BTC-USDT.mark_price.1min","ts":1489474082831,"tick":{...}}`."""

    tick: PriceTick
    ts: Ms


class BasisTick(msgspec.Struct, frozen=True, gc=False):
    """`{"id":1617164040,"index_price":"58686.78","contract_price":"58765","basis":"78.2","basis_rate":"0.00133"}`."""

    index_price: Number


class BasisFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"ch":"market.BTC-USDT.basis.1min.close","ts":1617164081549,"tick":{...}}`."""

    tick: BasisTick
    ts: Ms


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """`{"symbol":"BTC","contract_code":"BTC-USDT","funding_time":"1603778700000","funding_rate":"-0.000220068774978695","settlement_time":"1603785600000",...}`."""

    contract_code: str
    funding_rate: MaybeNumber = msgspec.UNSET
    settlement_time: MaybeNumber = msgspec.UNSET


class FundingFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"op":"notify","topic":"public.BTC-USDT.funding_rate","ts":1603778748166,"data":[{...}]}`."""

    data: list[FundingRow]
    ts: Ms


class LiquidationRow(msgspec.Struct, frozen=True, gc=False):
    """`{"contract_code":"O3-USDT","direction":"sell","offset":"close","volume":432,"price":0.7858,"created_at":1639122193172,"amount":432,...}`; pages have a `query_id`."""

    contract_code: str
    direction: Literal["buy", "sell"]
    volume: Number
    price: Number
    created_at: Ms
    query_id: Seq = 0


class LiquidationFrame(msgspec.Struct, frozen=True, gc=False):
    """`{"op":"notify","topic":"public.O3-USDT.liquidation_orders","ts":1639122193214,"data":[{...}]}`."""

    data: list[LiquidationRow]


class OpenInterestRow(msgspec.Struct, frozen=True, gc=False):
    """`{"volume":190,"amount":0.19,"symbol":"BTC","value":2491.1,"contract_code":"BTC-USDT",...}`: contracts, coins, quote."""

    contract_code: str
    volume: Number


class ChargedRow(msgspec.Struct, frozen=True, gc=False):
    """Of `swap_historical_funding_rate`: `{"contract_code":"BTC-USDT","funding_rate":"0.0001","realized_rate":"0.0001","funding_time":"1603756800000",...}`."""

    contract_code: str
    funding_time: Number
    funding_rate: MaybeNumber = msgspec.UNSET
    realized_rate: MaybeNumber = msgspec.UNSET


def decode_price(raw: PriceFrame, symbol: str, market: MarketType, channel: str, recv_ns: int) -> MarkPrice:
    """The mark, or the index: each has a topic of its own, so an event holds one of them.

    Source: HTX documents, "Subscribe Mark Price Kline Data", "Subscribe Index Kline Data", read 2026-11-20.
    """
    price = positive(text_of(raw.tick.close, channel), channel, "close")
    is_mark = channel == MARK
    return _price(symbol, market, raw.ts, recv_ns, mark=price if is_mark else None, index=None if is_mark else price)


def decode_basis(raw: BasisFrame, symbol: str, market: MarketType, recv_ns: int) -> MarkPrice:
    """The index that the basis is measured against; the rest follows from other channels. Never subscribed.

    Source: HTX documents, "Subscribe Basis Data", read 2026-11-20.
    """
    index = positive(text_of(raw.tick.index_price, BASIS), BASIS, "index_price")
    return _price(symbol, market, raw.ts, recv_ns, mark=None, index=index)


def _price(symbol: str, market: MarketType, ts: int, recv_ns: int, *, mark: str | None, index: str | None) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=market,
        instrument=symbol,
        ts_event_ns=ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        mark_price=mark,
        index_price=index,
    )


def decode_funding(
    row: FundingRow, ts: int, market: MarketType, interval_s: int | None, recv_ns: int
) -> FundingRate | None:
    """The rate of the current period, charged at `settlement_time`. `estimated_rate` is deprecated and not read.

    Source: HTX documents, "Subscribe Funding Rate", read 2026-11-20; live check 2026-09-23.
    """
    if is_absent(row.funding_rate):
        return None
    next_ms = ms_of(row.settlement_time, FUNDING, "settlement_time")
    return FundingRate(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.contract_code,
        ts_event_ns=ts * NS_PER_MS,
        ts_recv_ns=recv_ns,
        rate=_rate(row.funding_rate),
        interval_s=interval_s,
        next_funding_ns=next_ms * NS_PER_MS if next_ms is not None else None,
    )


def decode_charged(row: ChargedRow, market: MarketType, interval_s: int | None, recv_ns: int) -> FundingRate | None:
    """A rate that was charged, at the time of charging."""
    rate = row.funding_rate if is_absent(row.realized_rate) else row.realized_rate
    time_ms = ms_of(row.funding_time, FUNDING, "funding_time")
    if is_absent(rate) or time_ms is None:
        return None
    return FundingRate(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.contract_code,
        ts_event_ns=time_ms * NS_PER_MS,
        ts_recv_ns=recv_ns,
        rate=_rate(rate),
        interval_s=interval_s,
        next_funding_ns=None,
    )


def _rate(raw: MaybeNumber) -> Dec:
    """A zero is written `"0E-18"`."""
    return plain("" if raw is msgspec.UNSET else text_of(raw, FUNDING), FUNDING, "rate")


def decode_liquidations(rows: list[LiquidationRow], places: Places, recv_ns: int) -> list[Liquidation]:
    """`direction` is the side of the order that closed the position: `sell` ended a long. Rows have no id; equal ones of a message are told apart by their place.

    Source: HTX documents, "Subscribe Liquidation Order Data", read 2026-11-20.
    """
    seen: Counter[tuple[str, int, str, str, str]] = Counter()
    events = []
    for row in rows:
        place = places[row.contract_code]
        price = positive(text_of(row.price, LIQUIDATION), LIQUIDATION, "price")
        qty = _contracts(row.volume, place)
        key = (row.contract_code, row.created_at, row.direction, price, qty)
        events.append(
            Liquidation(
                exchange=EXCHANGE,
                market_type=place.market,
                instrument=row.contract_code,
                ts_event_ns=row.created_at * NS_PER_MS,
                ts_recv_ns=recv_ns,
                liquidated=Liquidated.LONG if row.direction == "sell" else Liquidated.SHORT,
                price=price,
                qty=qty,
                ordinal=seen[key],
            )
        )
        seen[key] += 1
    return events


def _contracts(raw: Number, place: Place) -> str:
    volume = positive(text_of(raw, LIQUIDATION), LIQUIDATION, "volume")
    return place.book_qty(volume) if place.book_qty is not None else volume


def decode_open_interest(row: OpenInterestRow, ts: int | None, place: Place, recv_ns: int) -> OpenInterest:
    """Open contracts in base units. Source: HTX documents, "Query Open Interest", read 2026-11-20."""
    volume = non_negative(text_of(row.volume, OPEN_INTEREST), OPEN_INTEREST, "volume")
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=place.market,
        instrument=row.contract_code,
        ts_event_ns=ts * NS_PER_MS if ts is not None else None,
        ts_recv_ns=recv_ns,
        open_interest=place.book_qty(volume) if place.book_qty is not None else volume,
    )
