"""Mark, index, funding and liquidations of contracts."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from feedplane_core.dialect import Beat, Happening, LiquidationDone, Marked, Message, Venue, Want
from feedplane_core.events import FundingRate, Liquidation, MarkPrice
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Liquidated, MarketType

from .channel import EXCHANGE, PERIOD_S, PUSH_DELAY_MS, BaseStream, ms
from .listing import FUNDING_HOURS, in_coins, number
from .streams import frame

FUNDING_EVERY_NS = 60 * NS_PER_S


class Prices(BaseStream):
    """`market.<code>.mark_price.<period>` and `market.<code>.index.<period>`: a candle, once a second; its numbers are texts."""

    feeds = frozenset({Feed.MARK_PRICE})

    def __init__(self, venue: Venue, topic: str, instrument: str, period_s: int, *, is_mark: bool) -> None:
        super().__init__(venue, topic, instrument, Want(kind=Marked, instrument=instrument))
        self._period_s = period_s
        self._is_mark = is_mark

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return ()
        market, at_ms = self._market(self.instrument), ms(happening.ts_ns)
        price = market.mark_text(happening.mark if self._is_mark else happening.index)
        opened_s = at_ms // 1000 // self._period_s * self._period_s
        tick: dict[str, object] = {"id": opened_s, "open": price, "close": price, "high": price, "low": price}
        tick |= {"amount": "0", "vol": "0", "count": "0"}
        event = MarkPrice(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            mark_price=price if self._is_mark else None,
            index_price=None if self._is_mark else price,
        )
        payload = frame(self.topic, at_ms, orjson.dumps(tick).decode())
        return (Message(payload=payload, events=(event,), is_binary=True),)


def notice(topic: str, ts_ms: int, row: str) -> bytes:
    """`{"op":"notify",...}` of one row."""
    return f'{{"op":"notify","topic":"{topic}","ts":{ts_ms},"data":[{row}]}}'.encode()


class Funding(BaseStream):
    """`public.<code>.funding_rate`: at once, then every 60 s."""

    feeds = frozenset({Feed.FUNDING})

    def __init__(self, venue: Venue, topic: str, instrument: str) -> None:
        super().__init__(venue, topic, instrument, Want(kind=Beat, instrument=instrument, every_ns=FUNDING_EVERY_NS))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return (self._message(ms(self._venue.now_ns()), now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._message(ms(happening.ts_ns), now_ns),)

    def _message(self, at_ms: int, now_ns: int) -> Message:
        market = self._market(self.instrument)
        rate, next_ms = market.mark_text(market.funding), ms(market.next_funding_ns)
        row = {
            "symbol": market.listing.base,
            "contract_code": self.instrument,
            "fee_asset": market.listing.quote,
            "funding_time": str(at_ms // 60_000 * 60_000),
            "funding_rate": rate,
            "estimated_rate": None,
            "settlement_time": str(next_ms),
        }
        event = FundingRate(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            rate=rate,
            interval_s=FUNDING_HOURS * 3_600,
            next_funding_ns=next_ms * NS_PER_MS,
        )
        payload = notice(self.topic, at_ms, orjson.dumps(row).decode())
        return Message(payload=payload, events=(event,), is_binary=True)


class Liquidations(BaseStream):
    """`public.<code>.liquidation_orders`, `public.*.liquidation_orders`: `sell` closed a long."""

    feeds = frozenset({Feed.LIQUIDATIONS})

    def __init__(self, venue: Venue, topic: str, instrument: str) -> None:
        super().__init__(venue, topic, instrument, Want(kind=LiquidationDone, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, LiquidationDone):
            return ()
        market, done_ms = self._market(happening.instrument), ms(happening.ts_ns)
        listing, price = market.listing, market.price_text(happening.price)
        if listing.contract_size is None:
            return ()
        coins, direction = in_coins(listing, happening.qty), "sell" if happening.is_long else "buy"
        row = f'{{"symbol":"{listing.base}","contract_code":"{happening.instrument}","direction":"{direction}"'
        row += f',"offset":"close","volume":{happening.qty},"price":{number(price)},"created_at":{done_ms}'
        row += f',"amount":{coins},"trade_turnover":{market.turnover_text(happening.price * happening.qty)}'
        row += f',"pair":"{listing.base}-{listing.quote}","business_type":"swap"}}'
        event = Liquidation(
            exchange=EXCHANGE,
            market_type=listing.market_type,
            instrument=happening.instrument,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if happening.is_long else Liquidated.SHORT,
            price=price,
            qty=coins,
        )
        return (Message(payload=notice(self.topic, done_ms + PUSH_DELAY_MS, row), events=(event,), is_binary=True),)


def open_price(topic: str, instrument: str, kind: str, venue: Venue) -> BaseStream | None:
    """Of the index socket."""
    name, _, period = kind.partition(".")
    if name not in ("mark_price", "index") or period not in PERIOD_S:
        return None
    return Prices(venue, topic, instrument, PERIOD_S[period], is_mark=name == "mark_price")


def open_notice(topic: str, venue: Venue) -> BaseStream | None:
    """Of the notification socket: `public.<code or *>.<kind>`."""
    _, _, rest = topic.partition(".")
    code, _, kind = rest.partition(".")
    instrument = "" if code == "*" else code
    if kind == "liquidation_orders":
        return Liquidations(venue, topic, instrument)
    if kind == "funding_rate" and instrument:
        is_perpetual = venue.markets[instrument].listing.market_type is MarketType.PERP_LINEAR
        return Funding(venue, topic, instrument) if is_perpetual else None
    return None
