"""Trades and books, and which channel a topic stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

import msgspec
from feedplane_core.dialect import DepthBatch, Happening, LevelInts, Message, TradeDone, Venue, Want
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .channel import EXCHANGE, INTERVALS_S, BaseStream, js, ms, short, trade_event, trade_row
from .derivatives import Candles, Liquidations, Status
from .listing import is_perpetual

LENGTHS = ("1", "25", "100", "250")
BOOK_EVERY_NS = {"F0": 100 * NS_PER_MS, "F1": 2 * NS_PER_S}
CHECKSUM_EVERY_NS = 2_500 * NS_PER_MS
CHECKED = 25
_SNAPSHOT_TRADES = 30


class Trades(BaseStream):
    """`te`, then `tu` of the same id; the last 30 for a newcomer, newest first, which are no news."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, symbol: str) -> None:
        super().__init__(venue, symbol, [Want(kind=TradeDone, instrument=symbol)])

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market = self._market
        newest = 0 if market.last_trade is None else market.last_trade.number
        trades = market.trades(newest - _SNAPSHOT_TRADES + 1, _SNAPSHOT_TRADES)
        rows = ",".join(trade_row(market, trade) for trade in reversed(trades))
        return (self._greet(f"[[{rows}]]", self._venue.now_ns()),)

    def _on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, TradeDone):
            return ()
        row = trade_row(self._market, happening)
        event = trade_event(self._market, happening, now_ns)
        return (
            self._say(f'["te",{row}]', happening.ts_ns, event),
            self._say(f'["tu",{row}]', happening.ts_ns),
        )


class Book(BaseStream):
    """`book`: a snapshot for the newcomer, then one level a frame among the best of the subscribed length; a checksum every 2.5 s while something moves."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, symbol: str, freq: str, length: int) -> None:
        every_ns = BOOK_EVERY_NS[freq]
        super().__init__(venue, symbol, [Want(kind=DepthBatch, instrument=symbol, every_ns=every_ns)])
        self._length = length
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._market_seq: int | None = None
        self._checked_ns = 0

    def welcome(self, now_ns: int) -> Sequence[Message]:
        self._look()
        self._market_seq = self._market.seq
        at_ns, levels = self._venue.now_ns(), self._market.levels_text
        bids, asks = levels(self._bids.items()), levels(self._asks.items())
        rows = [f"[{js(p)},1,{js(q)}]" for p, q in bids] + [f"[{js(p)},1,-{js(q)}]" for p, q in asks]
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=self._market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ms(at_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=[[short(p), short(q)] for p, q in bids],
            asks=[[short(p), short(q)] for p, q in asks],
            depth=self._length,
        )
        return (self._greet(f"[[{','.join(rows)}]]", at_ns, event),)

    def _on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        if self._market_seq is not None and happening.prev_seq > self._market_seq:
            self._count += 1  # as if a frame had been lost on the way to everybody
        self._market_seq = happening.last_seq
        old_bids, old_asks = self._bids, self._asks
        self._look()
        moved = [(level, True) for level in changes(old_bids, self._bids)]
        moved += [(level, False) for level in changes(old_asks, self._asks)]
        moved.sort(
            key=lambda change: change[0][1] != 0
        )  # what goes first goes first: the book is never crossed between
        messages = [self._level(level, happening.ts_ns, now_ns, is_bid=is_bid) for level, is_bid in moved]
        if moved and happening.ts_ns - self._checked_ns >= CHECKSUM_EVERY_NS and self._length >= CHECKED:
            self._checked_ns = happening.ts_ns
            messages.append(self._checksum(happening.ts_ns, now_ns))
        return messages

    def _look(self) -> None:
        self._bids, self._asks = dict(self._market.bids(self._length)), dict(self._market.asks(self._length))

    def _level(self, level: LevelInts, ts_ns: int, now_ns: int, *, is_bid: bool) -> Message:
        ((price, qty),) = self._market.levels_text([level])
        sign = "" if is_bid else "-"
        payload = f"[[{js(price)},1,{sign}{js(qty)}]]" if level[1] else f"[[{js(price)},0,{sign}1]]"
        told = [[short(price), short(qty) if level[1] else "0"]]
        event = self._diff(told if is_bid else [], [] if is_bid else told, ts_ns, now_ns)
        return self._say(payload, ts_ns, event)

    def _checksum(self, ts_ns: int, now_ns: int) -> Message:
        """CRC-32 of `bid:amount:ask:-amount:...`, as a signed number."""
        levels = self._market.levels_text
        bids, asks = levels([*self._bids.items()][:CHECKED]), levels([*self._asks.items()][:CHECKED])
        words: list[str] = []
        for place in range(CHECKED):
            words += [js(text) for level in bids[place : place + 1] for text in level]
            for price, qty in asks[place : place + 1]:
                words += [js(price), f"-{js(qty)}"]
        value = crc32(":".join(words).encode())
        event = self._diff([], [], ts_ns, now_ns, checksum=value)
        return self._say(f'["cs",{_signed(value)}]', ts_ns, event)

    def _diff(
        self,
        bids: list[list[str]],
        asks: list[list[str]],
        ts_ns: int,
        now_ns: int,
        checksum: int | None = None,
    ) -> DepthDiff:
        return DepthDiff(
            exchange=EXCHANGE,
            market_type=self._market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ms(ts_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=bids,
            asks=asks,
            checksum=checksum,
        )

    def with_wrong_checksum(self, message: Message) -> Message | None:
        if not message.payload.startswith(b'["cs",'):
            return None
        value = int(message.payload[6:-1])
        return msgspec.structs.replace(message, payload=b'["cs",%d]' % (value ^ 1))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def changes(old: Mapping[int, int], new: Mapping[int, int]) -> list[LevelInts]:
    """Levels that differ; 0 for those that have left."""
    return [(tick, new.get(tick, 0)) for tick in sorted(old.keys() | new.keys()) if old.get(tick) != new.get(tick)]


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    """The channel behind `trades:tBTCUSD`, `book:tBTCUSD P0 F0 100`, `candles:trade:1m:tBTCUSD`, `status:liq:global`; `None` for what is acknowledged and silent."""
    channel, _, rest = topic.partition(":")
    match channel:
        case "trades":
            return Trades(venue, rest)
        case "book":
            symbol, prec, freq, length = rest.split(" ")
            return Book(venue, symbol, freq, int(length)) if prec == "P0" else None
        case "candles":
            _, interval, symbol = rest.split(":", 2)
            return Candles(venue, symbol, INTERVALS_S[interval])
        case "status" if rest == "liq:global":
            return Liquidations(venue)
        case "status":
            return Status(venue, rest.removeprefix("deriv:"))
    return None


def book_topic(symbol: str, prec: str, freq: str, length: str) -> str:
    return f"book:{symbol} {prec} {freq} {length}"


def is_derivative(venue: Venue, symbol: str) -> bool:
    """In a replay every name is known and none can be looked at."""
    market = venue.markets.get(symbol)
    return symbol in venue.markets and (market is None or is_perpetual(market))
