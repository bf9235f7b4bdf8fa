"""What all channels share: numbers as JavaScript prints them, and messages that count themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal

from feedplane_core.dialect import Beat, Happening, Market, Message, TradeDone, Venue, Want
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed

EXCHANGE = "bitfinex"
HEARTBEAT_NS = 15 * NS_PER_S
INTERVALS_S = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "3h": 10800,
    "6h": 21600,
    "12h": 43200,
    "1D": 86400,
    "1W": 604800,
    "14D": 1209600,
}
_FIRST_TRADE_ID = 1_900_000_000
_IDS_PER_NUMBER = 10_000


class Numbered(Message, frozen=True, kw_only=True, gc=False):
    """A message with its place in its channel, so that each socket numbers it as it would have, withheld or repeated.

    `number` is `None` for a welcome, which says with `after` what went before it. `payload` is an array without the channel's id: `["te",[...]]`.
    """

    number: int | None
    after: int = 0
    ts_ms: int


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def short(text: str) -> str:
    """Plain text without the zeros that a number does not have."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def js(text: str) -> str:
    """A number as JSON.stringify prints it: an exponent below 0.000001."""
    plain = short(text)
    value = Decimal(plain)
    if not value or abs(value) >= Decimal("1e-6"):
        return plain
    digits = "".join(map(str, value.normalize().as_tuple().digits))
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e{value.adjusted()}"


def trade_id(market: Market, number: int) -> int:
    """Global over all pairs, growing in each."""
    return _FIRST_TRADE_ID + number * _IDS_PER_NUMBER + int(market.listing.extra["number"])


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ms(trade.ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        trade_id=str(trade_id(market, trade.number)),
        price=short(market.price_text(trade.price)),
        qty=short(market.qty_text(trade.qty)),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


def trade_row(market: Market, trade: TradeDone) -> str:
    """`[ID,MTS,AMOUNT,PRICE]`"""
    sign = "" if trade.is_buy else "-"
    qty, price = js(market.qty_text(trade.qty)), js(market.price_text(trade.price))
    return f"[{trade_id(market, trade.number)},{ms(trade.ts_ns)},{sign}{qty},{price}]"


class BaseStream(ABC):
    """One channel: its place, its count of messages, and a heartbeat every 15 s, busy or not."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, wants: Sequence[Want]) -> None:
        self.instrument = instrument
        self.wants = (*wants, Want(kind=Beat, instrument=instrument, every_ns=HEARTBEAT_NS))
        self._venue = venue
        self._count = 0

    @property
    def _market(self) -> Market:
        return self._venue.markets[self.instrument]

    def _say(self, payload: str, ts_ns: int, *events: MarketEvent) -> Message:
        self._count += 1
        return Numbered(payload=payload.encode(), events=events, number=self._count, ts_ms=ms(ts_ns))

    def _greet(self, payload: str, ts_ns: int, *events: MarketEvent) -> Message:
        return Numbered(payload=payload.encode(), events=events, number=None, after=self._count, ts_ms=ms(ts_ns))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        """`null`, where a channel has nothing to begin with."""
        return (self._greet("[null]", self._venue.now_ns()),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if isinstance(happening, Beat):
            return (self._say('["hb"]', happening.ts_ns),)
        return self._on(happening, now_ns)

    @abstractmethod
    def _on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None
