"""What all channels share: names, units, conversion of inverse contracts, and the shape of a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal

import orjson
from feedplane_core.decimals import Dec, decimal_text, quotient
from feedplane_core.dialect import Happening, LevelInts, Market, Message, TradeDone, Venue, Want
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.names import NS_PER_MS, Aggressor, Feed

from .listing import SPOT, category_of, is_inverse, world_name

EXCHANGE = "bybit"
PUSH_DELAY_MS = 2
"""Push time `ts` is so much after engine time `cts` and `T`."""
INTERVALS_S = {
    "1": 60,
    "3": 180,
    "5": 300,
    "15": 900,
    "30": 1800,
    "60": 3600,
    "120": 7200,
    "240": 14400,
    "360": 21600,
    "720": 43200,
    "D": 86400,
    "W": 604800,
}
_SPOT_ID_BASE = 2_100_000_000_000_000_000


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def base_text(market: Market, qty: Dec, price: Dec) -> Dec:
    """A wire quantity in base units: inverse contracts are worth 1 USD each."""
    if not is_inverse(market):
        return qty
    value = quotient(Decimal(qty), Decimal(price))
    return decimal_text(value.normalize() if value else Decimal(0))


def levels_in_base(market: Market, levels: Sequence[Sequence[Dec]]) -> list[list[Dec]]:
    return [[price, base_text(market, qty, price)] for price, qty in levels]


def trade_id(market: Market, number: int) -> str:
    """A long decimal on spot, a UUID elsewhere."""
    if category_of(market) == SPOT:
        return str(_SPOT_ID_BASE + number)
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    price = market.price_text(trade.price)
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ms(trade.ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        trade_id=trade_id(market, trade.number),
        price=price,
        qty=base_text(market, market.qty_text(trade.qty), price),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


class BaseStream(ABC):
    """What every channel shares: its place, its feeds, its topic, and that no channel of this venue carries a checksum.

    `category` and `topic` together name it: two categories speak of one topic each in their own way.
    """

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, category: str, topic: str, symbol: str, wants: Sequence[Want]) -> None:
        self.instrument = world_name(category, symbol)
        self.wants = tuple(wants)
        self._topic = topic
        self._is_spot = category == SPOT
        self._venue = venue
        self._symbol = symbol

    @property
    def _market(self) -> Market:
        return self._venue.markets[self.instrument]

    def _frame(self, kind: str, done_ms: int, **rest: object) -> bytes:
        """The envelope; its keys come in another order on spot."""
        pushed_ms = done_ms + PUSH_DELAY_MS
        head: Mapping[str, object] = {"topic": self._topic, "type": kind, "ts": pushed_ms}
        if self._is_spot:
            head = {"topic": self._topic, "ts": pushed_ms, "type": kind}
        return orjson.dumps({**head, **rest})

    def _message(self, kind: str, done_ms: int, data: object, *events: MarketEvent, **rest: object) -> Message:
        return Message(payload=self._frame(kind, done_ms, data=data, **rest), events=events)

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return ()

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        return None


def changes(old: Mapping[int, int], new: Mapping[int, int], *, is_bid: bool) -> list[LevelInts]:
    """Levels that differ, best first; 0 for those that have left."""
    return [
        (tick, new.get(tick, 0))
        for tick in sorted(old.keys() | new.keys(), reverse=is_bid)
        if old.get(tick) != new.get(tick)
    ]
