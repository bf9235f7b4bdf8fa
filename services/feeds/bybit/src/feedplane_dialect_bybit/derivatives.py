"""Candles, tickers and liquidations."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import orjson
from feedplane_core.decimals import Dec, decimal_text, exact_product, quotient
from feedplane_core.dialect import (
    CandleMoved,
    Happening,
    InterestMoved,
    LiquidationDone,
    Marked,
    Market,
    Message,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import FundingRate, Kline, Liquidation, MarketEvent, MarkPrice, OpenInterest
from feedplane_core.names import NS_PER_MS, Feed, Liquidated, MarketType

from .channel import EXCHANGE, INTERVALS_S, BaseStream, base_text, ms
from .listing import FUNDING_MINUTES, is_inverse, world_name

_TURNOVER_PLACES = 8


class Liquidations(BaseStream):
    """`allLiquidation`: `S` is the side of the position, so `Buy` where a long died."""

    feeds = frozenset({Feed.LIQUIDATIONS})

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str) -> None:
        want = Want(kind=LiquidationDone, instrument=world_name(category, symbol))
        super().__init__(venue, category, topic, symbol, [want])

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, LiquidationDone):
            return ()
        market, done_ms = self._market, ms(happening.ts_ns)
        price, qty = market.price_text(happening.price), market.qty_text(happening.qty)
        side = "Buy" if happening.is_long else "Sell"
        event = Liquidation(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self._symbol,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if happening.is_long else Liquidated.SHORT,
            price=price,
            qty=base_text(market, qty, price),
        )
        row = {"T": done_ms, "s": self._symbol, "S": side, "v": qty, "p": price}
        return (self._message("snapshot", done_ms, [row], event),)


def volumes(market: Market, candle: CandleMoved) -> tuple[Dec, Dec]:
    """(volume, turnover): base and quote; of inverse contracts USD and the base coin, at the mean price of the candle."""
    volume = market.qty_text(candle.volume)
    if not is_inverse(market):
        return volume, market.turnover_text(candle.turnover)
    if not candle.turnover:
        return volume, "0"
    dollars = Decimal(volume)
    value = quotient(dollars * dollars, Decimal(market.turnover_text(candle.turnover)), _TURNOVER_PLACES)
    return volume, decimal_text(value)


def kline_event(market: Market, candle: CandleMoved, ts_event_ns: int, now_ns: int) -> Kline:
    volume, turnover = volumes(market, candle)
    return Kline(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_ns=candle.open_ns,
        interval_s=candle.interval_s,
        open=market.price_text(candle.open),
        high=market.price_text(candle.high),
        low=market.price_text(candle.low),
        close=market.price_text(candle.close),
        volume=turnover if is_inverse(market) else volume,
        trades=None,
        is_closed=candle.is_closed,
    )


class Klines(BaseStream):
    """`kline.<interval>`: every interval, with or without trades."""

    feeds = frozenset({Feed.KLINES})

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str, interval: str) -> None:
        want = Want(kind=CandleMoved, instrument=world_name(category, symbol), interval_s=INTERVALS_S[interval])
        super().__init__(venue, category, topic, symbol, [want])
        self._interval = interval

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, CandleMoved):
            return ()
        market, pushed_ms, open_ms = self._market, ms(happening.ts_ns), ms(happening.open_ns)
        event = kline_event(market, happening, pushed_ms * NS_PER_MS, now_ns)
        volume, turnover = volumes(market, happening)
        row = {
            "start": open_ms,
            "end": open_ms + happening.interval_s * 1000 - 1,
            "interval": self._interval,
            "open": event.open,
            "close": event.close,
            "high": event.high,
            "low": event.low,
            "volume": volume,
            "turnover": turnover,
            "confirm": happening.is_closed,
            "timestamp": pushed_ms,
        }
        payload = orjson.dumps({"topic": self._topic, "data": [row], "ts": pushed_ms, "type": "snapshot"})
        return (Message(payload=payload, events=(event,)),)


class Tickers(BaseStream):
    """`tickers` of derivatives: a snapshot, then the fields that have changed; what a field means is told again whenever it or its kin is in a frame."""

    feeds = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str) -> None:
        name = world_name(category, symbol)
        wants = [Want(kind=Marked, instrument=name), Want(kind=InterestMoved, instrument=name)]
        super().__init__(venue, category, topic, symbol, wants)
        self._said: dict[str, str] = {}

    def welcome(self, now_ns: int) -> Sequence[Message]:
        fields = ticker_fields(self._market)
        self._said = fields
        done_ms = ms(self._venue.now_ns())
        price = self._market.listing.start_price
        more = {
            "lastPrice": price,
            "prevPrice24h": price,
            "volume24h": "0",
            "preOpenPrice": "",
            "curPreListingPhase": "",
        }
        return (self._ticker_message("snapshot", more | fields, done_ms, now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        fields = ticker_fields(self._market)
        changed = {key: value for key, value in fields.items() if self._said.get(key) != value}
        self._said = fields
        if not changed:
            return ()
        return (self._ticker_message("delta", changed, ms(happening.ts_ns), now_ns),)

    def _ticker_message(self, kind: str, fields: dict[str, str], done_ms: int, now_ns: int) -> Message:
        data = {"symbol": self._symbol, **fields}
        body = {"topic": self._topic, "type": kind, "data": data, "cs": self._market.seq, "ts": done_ms}
        return Message(payload=orjson.dumps(body), events=tuple(self._events(fields, done_ms, now_ns)))

    def _events(self, fields: dict[str, str], done_ms: int, now_ns: int) -> list[MarketEvent]:
        market, said = self._market, self._said
        place = market.listing.market_type, self._symbol, done_ms * NS_PER_MS, now_ns
        events: list[MarketEvent] = []
        if fields.keys() & {"markPrice", "indexPrice"}:
            events.append(_mark_event(*place, said["markPrice"], said["indexPrice"]))
        is_funded = market.listing.market_type is not MarketType.DELIVERY
        if is_funded and fields.keys() & {"fundingRate", "nextFundingTime", "fundingIntervalHour"}:
            events.append(_funding_event(*place, said["fundingRate"], int(said["nextFundingTime"])))
        if "singleOpenInterest" in fields:
            amount = base_text(market, said["singleOpenInterest"], said["markPrice"])
            events.append(_interest_event(*place, amount))
        return events


def ticker_fields(market: Market) -> dict[str, str]:
    """What a ticker says of mark, funding and open interest as they are now."""
    one_side = market.qty_text(market.open_interest)
    both = exact_product(one_side, "2")
    fields = {
        "markPrice": market.mark_text(market.mark),
        "indexPrice": market.mark_text(market.index),
        "openInterest": both,
        "openInterestValue": _value_text(market, both),
        "singleOpenInterest": one_side,
    }
    if market.listing.market_type is MarketType.DELIVERY:
        return fields | {"fundingRate": "", "nextFundingTime": "", "deliveryTime": "2027-03-26T08:00:00Z"}
    return fields | {
        "fundingRate": market.mark_text(market.funding),
        "nextFundingTime": str(ms(market.next_funding_ns)),
        "fundingIntervalHour": str(FUNDING_MINUTES // 60),
    }


def _value_text(market: Market, qty: Dec) -> Dec:
    mark = Decimal(market.mark_text(market.mark))
    value = quotient(Decimal(qty), mark, 2) if is_inverse(market) else Decimal(qty) * mark
    return decimal_text(value.quantize(Decimal("0.01")))


def _mark_event(
    market_type: MarketType, instrument: str, ts_event_ns: int, now_ns: int, mark: Dec, index: Dec
) -> MarkPrice:
    return MarkPrice(
        exchange=EXCHANGE,
        market_type=market_type,
        instrument=instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        mark_price=mark,
        index_price=index,
    )


def _funding_event(
    market_type: MarketType, instrument: str, ts_event_ns: int, now_ns: int, rate: Dec, next_ms: int
) -> FundingRate:
    return FundingRate(
        exchange=EXCHANGE,
        market_type=market_type,
        instrument=instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        rate=rate,
        interval_s=FUNDING_MINUTES * 60,
        next_funding_ns=next_ms * NS_PER_MS,
    )


def _interest_event(
    market_type: MarketType, instrument: str, ts_event_ns: int, now_ns: int, amount: Dec
) -> OpenInterest:
    return OpenInterest(
        exchange=EXCHANGE,
        market_type=market_type,
        instrument=instrument,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=now_ns,
        open_interest=amount,
    )


class SpotTickers(BaseStream):
    """`tickers` of spot: a snapshot with each trade; no quotes, no mark, so it means no event."""

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str) -> None:
        want = Want(kind=TradeDone, instrument=world_name(category, symbol))
        super().__init__(venue, category, topic, symbol, [want])

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._last_message(ms(self._venue.now_ns())),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._last_message(ms(happening.ts_ns)),)

    def _last_message(self, done_ms: int) -> Message:
        market = self._market
        trade, start = market.last_trade, market.listing.start_price
        last = start if trade is None else market.price_text(trade.price)
        data = {"symbol": self._symbol, "lastPrice": last, "highPrice24h": start, "lowPrice24h": start}
        data |= {"prevPrice24h": start, "volume24h": "0", "turnover24h": "0", "price24hPcnt": "0"}
        return self._message(
            "snapshot", done_ms, data | {"usdIndexPrice": market.mark_text(market.index)}, cs=market.seq
        )
