"""Futures feeds: trades with liquidations among them, a level a message, and the ticker of everything else."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from feedplane_core.dialect import (
    DepthBatch,
    Happening,
    LiquidationDone,
    Marked,
    Market,
    Message,
    TradeDone,
    Venue,
    Want,
)
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    FundingRate,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    TopOfBook,
    Trade,
)
from feedplane_core.names import NS_PER_MS, Aggressor, Feed, Liquidated, MarketType

from .channel import BaseStream
from .text import EXCHANGE, base_text, level_objects, ms, number, scientific, shortest, wire_levels

_REAL_TIME_NS = 20 * NS_PER_MS
_TOLD_TRADES = 100
_WHOLE = 1 << 20
_FUNDING_S = 3600


def uid(instrument: str, kind: str, count: int) -> str:
    return str(UUID(bytes=blake2b(f"{instrument}:{kind}:{count}".encode(), digest_size=16).digest()))


def trade_event(market: Market, trade: TradeDone, now_ns: int) -> Trade:
    price = shortest(market.price_text(trade.price))
    return Trade(
        exchange=EXCHANGE,
        market_type=market.listing.market_type,
        instrument=trade.instrument,
        ts_event_ns=ms(trade.ts_ns) * NS_PER_MS,
        ts_recv_ns=now_ns,
        trade_id=uid(trade.instrument, "fill", trade.number),
        price=price,
        qty=base_text(market, shortest(market.qty_text(trade.qty)), price),
        aggressor=Aggressor.BUY if trade.is_buy else Aggressor.SELL,
    )


class Fills(BaseStream):
    """`trade`: first a snapshot, newest first; liquidations are fills of their own type."""

    feeds = frozenset({Feed.TRADES, Feed.LIQUIDATIONS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        wants = (Want(kind=kind, instrument=instrument) for kind in (TradeDone, LiquidationDone))
        super().__init__(venue, instrument, *wants)

    def welcome(self, now_ns: int) -> Sequence[Message]:
        last = self._market.last_trade
        trades = [] if last is None else self._market.trades(last.number - _TOLD_TRADES + 1, _TOLD_TRADES)
        rows = [self._row(trade) for trade in reversed(trades)]
        body = {"feed": "trade_snapshot", "product_id": self.instrument, "trades": rows}
        events = tuple(trade_event(self._market, trade, now_ns) for trade in trades)
        return (Message(payload=orjson.dumps(body), events=events),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if isinstance(happening, TradeDone):
            event = trade_event(self._market, happening, now_ns)
            return (Message(payload=orjson.dumps(self._row(happening)), events=(event,)),)
        return (self._liquidation(happening, now_ns),) if isinstance(happening, LiquidationDone) else ()

    def _row(self, trade: TradeDone) -> dict[str, object]:
        return {
            "feed": "trade",
            "product_id": self.instrument,
            "uid": uid(self.instrument, "fill", trade.number),
            "side": "buy" if trade.is_buy else "sell",
            "type": "fill",
            "seq": trade.number,
            "time": ms(trade.ts_ns),
            "qty": number(shortest(self._market.qty_text(trade.qty))),
            "price": number(shortest(self._market.price_text(trade.price))),
        }

    def _liquidation(self, done: LiquidationDone, now_ns: int) -> Message:
        """The taker is the one that dies: a long sells."""
        market = self._market
        price, contracts = shortest(market.price_text(done.price)), shortest(market.qty_text(done.qty))
        fill_uid, at_ms, qty = (
            uid(self.instrument, "liquidation", done.number),
            ms(done.ts_ns),
            base_text(market, contracts, price),
        )
        body = {"feed": "trade", "product_id": self.instrument, "uid": fill_uid}
        body |= {"side": "sell" if done.is_long else "buy", "type": "liquidation"}
        row = body | {"seq": done.number, "time": at_ms, "qty": number(contracts), "price": number(price)}
        trade = Trade(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            trade_id=fill_uid,
            price=price,
            qty=qty,
            aggressor=Aggressor.SELL if done.is_long else Aggressor.BUY,
        )
        liquidation = Liquidation(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            liquidated=Liquidated.LONG if done.is_long else Liquidated.SHORT,
            price=price,
            qty=qty,
            order_id=fill_uid,
        )
        return Message(payload=orjson.dumps(row), events=(trade, liquidation))


class Depth(BaseStream):
    """`book`: the whole book, then a level a message, numbered by one. The world numbers changes, some of which a batch merges: so levels are numbered here."""

    feeds = frozenset({Feed.OB_DIFFS})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=DepthBatch, instrument=instrument, every_ns=_REAL_TIME_NS))
        self._seq = self._world_seq = self._market.seq

    def _levels(self, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        """In base units; a level that is gone is 0."""
        market, wire = self._market, wire_levels(self._market, levels)
        return [
            (price, base_text(market, qty, price) if steps else "0")
            for (price, qty), (_, steps) in zip(wire, levels, strict=True)
        ]

    def welcome(self, now_ns: int) -> Sequence[Message]:
        market, at_ms = self._market, ms(self._now())
        bids, asks = market.bids(_WHOLE), market.asks(_WHOLE)
        body: dict[str, object] = {"feed": "book_snapshot", "product_id": self.instrument, "timestamp": at_ms}
        body |= {"seq": self._seq, "tickSize": None, "bids": level_objects(wire_levels(market, bids))}
        event = BookSnapshot(
            exchange=EXCHANGE,
            market_type=market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=at_ms * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=self._levels(bids),
            asks=self._levels(asks),
            last_seq=self._seq,
        )
        payload = orjson.dumps(body | {"asks": level_objects(wire_levels(market, asks))})
        return (Message(payload=payload, events=(event,)),)

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, DepthBatch):
            return ()
        if happening.prev_seq != self._world_seq:  # a fault has moved the numbers
            self._seq = happening.prev_seq
        self._world_seq = happening.last_seq
        sides = (("buy", happening.bids), ("sell", happening.asks))
        return [self._message(side, level, happening.ts_ns, now_ns) for side, levels in sides for level in levels]

    def _message(self, side: str, level: tuple[int, int], ts_ns: int, now_ns: int) -> Message:
        self._seq += 1
        ((price, qty),) = wire_levels(self._market, [level])
        changed = self._levels([level])
        body = {"feed": "book", "product_id": self.instrument, "side": side, "seq": self._seq, "price": number(price)}
        event = DepthDiff(
            exchange=EXCHANGE,
            market_type=self._market.listing.market_type,
            instrument=self.instrument,
            ts_event_ns=ms(ts_ns) * NS_PER_MS,
            ts_recv_ns=now_ns,
            bids=changed if side == "buy" else [],
            asks=changed if side == "sell" else [],
            first_seq=self._seq,
            last_seq=self._seq,
        )
        payload = orjson.dumps(body | {"qty": number(qty) if level[1] else 0, "timestamp": ms(ts_ns)})
        return Message(payload=payload, events=(event,))


class Tickers(BaseStream):
    """`ticker`, once a second: quote, mark, index, funding and open interest. Funding fields are absent when zero."""

    feeds = frozenset({Feed.L1, Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})

    def __init__(self, venue: Venue, instrument: str) -> None:
        super().__init__(venue, instrument, Want(kind=Marked, instrument=instrument))

    def on(self, happening: Happening, now_ns: int) -> Sequence[Message]:
        if not isinstance(happening, Marked):
            return ()
        market, at_ms = self._market, ms(happening.ts_ns)
        ((bid, bid_qty),), ((ask, ask_qty),) = wire_levels(market, market.bids(1)), wire_levels(market, market.asks(1))
        mark, index = shortest(market.mark_text(happening.mark)), shortest(market.mark_text(happening.index))
        interest = shortest(market.qty_text(market.open_interest))
        body: dict[str, object] = {"feed": "ticker", "product_id": self.instrument, "time": at_ms}
        body |= {"bid": number(bid), "ask": number(ask), "bid_size": number(bid_qty), "ask_size": number(ask_qty)}
        body |= {"volume": 0, "dtm": 0, "leverage": "50x", "index": number(index), "last": number(bid), "premium": 0.1}
        body |= {"openInterest": number(interest), "markPrice": number(mark), "suspended": False, "post_only": False}
        at_ns = at_ms * NS_PER_MS
        place: dict[str, Any] = {
            "exchange": EXCHANGE,
            "market_type": market.listing.market_type,
            "instrument": self.instrument,
        }
        events: list[MarketEvent] = [
            TopOfBook(
                **place,
                ts_event_ns=at_ns,
                ts_recv_ns=now_ns,
                bid_price=bid,
                bid_qty=base_text(market, bid_qty, bid),
                ask_price=ask,
                ask_qty=base_text(market, ask_qty, ask),
            ),
            MarkPrice(**place, ts_event_ns=at_ns, ts_recv_ns=now_ns, mark_price=mark, index_price=index),
        ]
        if market.listing.market_type is not MarketType.DELIVERY:
            body |= self._funding(happening)
            events.append(
                FundingRate(
                    **place,
                    ts_event_ns=at_ns,
                    ts_recv_ns=now_ns,
                    rate=shortest(market.mark_text(happening.funding)) if happening.funding else "0",
                    interval_s=_FUNDING_S,
                    next_funding_ns=ms(happening.next_funding_ns) * NS_PER_MS,
                )
            )
        events.append(
            OpenInterest(**place, ts_event_ns=at_ns, ts_recv_ns=now_ns, open_interest=base_text(market, interest, mark))
        )
        return (Message(payload=orjson.dumps(body), events=tuple(events)),)

    def _funding(self, marked: Marked) -> dict[str, object]:
        found: dict[str, object] = {"tag": "perpetual", "next_funding_rate_time": ms(marked.next_funding_ns)}
        if marked.funding:
            rate = number(scientific(self._market.mark_text(marked.funding)))
            found |= {"relative_funding_rate": rate, "relative_funding_rate_prediction": rate, "funding_rate": 1e-11}
        return found


def open_stream(topic: str, venue: Venue) -> BaseStream | None:
    """The feed behind a topic of `FuturesPeer`: `futures/book:PI_XBTUSD`."""
    feed, _, product = topic.removeprefix("futures/").partition(":")
    if product not in venue.markets:
        return None
    match feed:
        case "trade":
            return Fills(venue, product)
        case "book":
            return Depth(venue, product)
        case "ticker":
            return Tickers(venue, product)
    return None
