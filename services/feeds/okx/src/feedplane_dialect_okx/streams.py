"""Trades, quotes, books and tickers, and the base of all channels. A payload is the frame without its `arg`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import orjson
from feedplane_core.dialect import (
    Beat,
    DepthBatch,
    Happening,
    LevelInts,
    Market,
    Message,
    QuoteMoved,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent, TopOfBook, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed

from .listing import EXCHANGE, brief, in_base, type_of

BATCH_NS = 100 * NS_PER_MS
_TICKER_NS = 100 * NS_PER_MS
HEARTBEAT_NS = 60 * NS_PER_S
DEPTH = 400
TOP_DEPTH = 5


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def data(*rows: object, action: str = "") -> bytes:
    return orjson.dumps(({"action": action} if action else {}) | {"data": list(rows)})


class BaseStream(ABC):
    """What channels share. Those that begin with their newest message for whoever subscribes keep it in `_newest`."""

    feeds: frozenset[Feed] = frozenset()

    def __init__(self, venue: Venue, instrument: str, *wants: Want) -> None:
        self.instrument = instrument
        self.wants = wants
        self._venue = venue
        self._newest: Message | None = None

    @property
    def market(self) -> Market:
        return self._venue.markets[self.instrument]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        return () if self._newest is None else (self._newest,)

    @abstractmethod
    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]: ...

    def with_wrong_checksum(self, message: Message) -> Message | None:
        """Checksums are 0 since 2026-06-23: there is none to be wrong."""
        return None


def trade_parts(market: Market, trade: TradeDone, now_ns: int) -> tuple[dict[str, object], Trade]:
    """A row of `trades-all` or of a page, and what it means."""
    price, qty = brief(market.price_text(trade.price)), brief(market.qty_text(trade.qty))
    name, done_ms = market.listing.instrument, ms(trade.ts_ns)
    row: dict[str, object] = {"instId": name, "tradeId": str(trade.number), "px": price, "sz": qty}
    row |= {"side": "buy" if trade.is_buy else "sell", "ts": str(done_ms), "source": "0"}
    event = Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=name,
        ts_event_ns=done_ms * NS_PER_MS,
        ts_recv_ns=now_ns,
        trade_id=str(trade.number),
        price=price,
        qty=in_base(market.listing, qty, price),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )
    return row, event


class Trades(BaseStream):
    """`trades-all`: each fill. `trades`: aggregated, here always a group of one. Both begin with the last fill there was."""

    feeds = frozenset({Feed.TRADES})

    def __init__(self, venue: Venue, instrument: str, is_aggregated: bool) -> None:
        super().__init__(venue, instrument, Want(kind=TradeDone, instrument=instrument))
        self._is_aggregated = is_aggregated

    def welcome(self, now_ns: int) -> Sequence[Message]:
        trade = self.market.last_trade
        return () if trade is None else (self._message(trade, now_ns),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return (self._message(happening, now_ns),) if isinstance(happening, TradeDone) else ()

    def _message(self, trade: TradeDone, now_ns: int) -> Message:
        row, event = trade_parts(self.market, trade, now_ns)
        if self._is_aggregated:
            row |= {"count": "1", "seqId": trade.seq}
        return Message(payload=data(row), events=(event,))


class Quotes(BaseStream):
    """`bbo-tbt`: the best level of each side when it has changed."""

    feeds = frozenset({Feed.L1})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=QuoteMoved, instrument=instrument))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        if self._newest is None:
            (bid, bid_qty), (ask, ask_qty) = self.market.bids(1)[0], self.market.asks(1)[0]
            self._newest = self._message(
                QuoteMoved(
                    instrument=self.instrument,
                    ts_ns=self._venue.now_ns(),
                    seq=self.market.seq,
                    bid=bid,
                    bid_qty=bid_qty,
                    ask=ask,
                    ask_qty=ask_qty,
                ),
                now_ns,
            )
        return (self._newest,)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, QuoteMoved):
            return ()
        self._newest = self._message(happening, now_ns)
        return (self._newest,)

    def _message(self, quote: QuoteMoved, now_ns: int) -> Message:
        market, moved_ms = self.market, ms(quote.ts_ns)
        bid_rows, (bid,) = level_rows(market, [(quote.bid, quote.bid_qty)])
        ask_rows, (ask,) = level_rows(market, [(quote.ask, quote.ask_qty)])
        event = TopOfBook(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=moved_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bid_price=bid[0],
            bid_qty=bid[1],
            ask_price=ask[0],
            ask_qty=ask[1],
            seq=quote.seq,
        )
        row = {"asks": ask_rows, "bids": bid_rows, "ts": str(moved_ms), "seqId": quote.seq}
        return Message(payload=data(row), events=(event,))


def level_rows(market: Market, levels: Sequence[LevelInts]) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Rows `[price, quantity, "0", orders]` as sent, and levels in base units as meant."""
    rows, meant = [], []
    for tick, steps in levels:
        price, qty = brief(market.price_text(tick)), brief(market.qty_text(steps)) if steps else "0"
        rows.append([price, qty, "0", str(1 + steps % 9) if steps else "0"])
        meant.append((price, in_base(market.listing, qty, price) if steps else "0"))
    return rows, meant


def snapshot_parts(market: Market, depth: int, ts_ns: int, now_ns: int) -> tuple[dict[str, object], BookSnapshot]:
    """The book as it stands: the fields that socket and REST share, and what they mean."""
    bids, meant_bids = level_rows(market, market.bids(depth))
    asks, meant_asks = level_rows(market, market.asks(depth))
    event = BookSnapshot(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=market.listing.instrument,
        ts_event_ns=ms(ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        bids=meant_bids,
        asks=meant_asks,
        last_seq=market.seq,
        depth=depth,
    )
    return {"asks": asks, "bids": bids, "ts": str(ms(ts_ns)), "seqId": market.seq}, event


class Books(BaseStream):
    """`books`: 400 levels, then what changed each 100 ms, chained by `prevSeqId`; a minute of silence brings an empty link."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(
            venue,
            instrument,
            Want(kind=DepthBatch, instrument=instrument, every_ns=BATCH_NS),
            Want(kind=Beat, instrument=instrument, every_ns=HEARTBEAT_NS),
        )
        self._last_seq: int | None = None
        self._is_silent = True

    def welcome(self, now_ns: int) -> Sequence[Message]:
        row, event = snapshot_parts(self.market, DEPTH, self._venue.now_ns(), now_ns)
        self._last_seq = self.market.seq
        payload = data(row | {"checksum": 0, "prevSeqId": -1}, action="snapshot")
        return (Message(payload=payload, events=(event,)),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if isinstance(happening, DepthBatch):
            self._is_silent = False
            return (self._update(happening, now_ns),)
        was_silent, self._is_silent = self._is_silent, True
        if not was_silent or self._last_seq is None:
            return ()
        last = self._last_seq
        empty = DepthBatch(
            instrument=self.instrument,
            ts_ns=happening.ts_ns,
            every_ns=BATCH_NS,
            first_seq=last,
            last_seq=last,
            prev_seq=last,
            bids=[],
            asks=[],
        )
        return (self._update(empty, now_ns),)

    def _update(self, batch: DepthBatch, now_ns: int) -> Message:
        market, done_ms = self.market, ms(batch.ts_ns)
        self._last_seq = batch.last_seq
        bids, meant_bids = level_rows(market, batch.bids)
        asks, meant_asks = level_rows(market, batch.asks)
        row = {"asks": asks, "bids": bids, "ts": str(done_ms), "checksum": 0}
        row |= {"prevSeqId": batch.prev_seq, "seqId": batch.last_seq}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=done_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=meant_bids,
            asks=meant_asks,
            last_seq=batch.last_seq,
            prev_seq=batch.prev_seq,
        )
        return Message(payload=data(row, action="update"), events=(event,))


class TopBooks(BaseStream):
    """`books5`: the best five levels, whole each time."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=DepthBatch, instrument=instrument, every_ns=BATCH_NS))

    def welcome(self, now_ns: int) -> Sequence[Message]:
        row, event = snapshot_parts(self.market, TOP_DEPTH, self._venue.now_ns(), now_ns)
        return (Message(payload=data(row | {"instId": self.instrument}), events=(event,)),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        return self.welcome(now_ns) if isinstance(happening, DepthBatch) else ()


class Tickers(BaseStream):
    """`tickers`: moves with trades and quotes alike, so it means no event."""

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Beat, instrument=instrument, every_ns=_TICKER_NS))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        market, trade = self.market, self.market.last_trade
        ((bid, bid_qty, *_),), _ = level_rows(market, market.bids(1))
        ((ask, ask_qty, *_),), _ = level_rows(market, market.asks(1))
        last = brief(market.price_text(trade.price)) if trade else ""
        row = {"instType": type_of(market.listing), "instId": self.instrument, "last": last}
        row |= {"lastSz": brief(market.qty_text(trade.qty)) if trade else "", "ts": str(ms(happening.ts_ns))}
        return (Message(payload=data(row | {"askPx": ask, "askSz": ask_qty, "bidPx": bid, "bidSz": bid_qty})),)


def meaning(events: Sequence[MarketEvent], *rows: object) -> Message:
    return Message(payload=data(*rows), events=tuple(events))
