"""What holds for every event of every venue."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    FundingRate,
    Kline,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    TopOfBook,
    Trade,
)
from feedplane_core.identity import identity_of
from feedplane_core.jsonlines import event_dict, event_from_dict

_PLAIN = re.compile(r"-?\d{1,20}(\.\d{1,18})?").fullmatch
_INT64 = 1 << 63


def assert_sound(event: MarketEvent) -> None:
    """Numbers are finite plain text that fits the stores, prices positive, times in range, and the event survives JSON."""
    assert event.instrument
    assert 0 < event.ts_recv_ns < _INT64
    assert event.ts_event_ns is None or 0 < event.ts_event_ns < _INT64
    assert identity_of(event)
    match event:
        case Trade() | Liquidation():
            _positive(event.price)
            _positive(event.qty)
        case TopOfBook():
            _sound_quote(event)
        case BookSnapshot() | DepthDiff():
            _sound_book(event)
        case Kline():
            _sound_kline(event)
        case MarkPrice():
            assert event.mark_price is not None or event.index_price is not None
            for price in (event.mark_price, event.index_price):
                if price is not None:
                    _positive(price)
        case FundingRate():
            assert _PLAIN(event.rate)
            assert event.interval_s is None or 0 < event.interval_s <= 86_400
        case OpenInterest():
            _not_negative(event.open_interest)
    assert event_from_dict(event_dict(event)).instrument == event.instrument


def _positive(text: str) -> None:
    assert _PLAIN(text), text
    assert Decimal(text) > 0, text


def _not_negative(text: str) -> None:
    assert _PLAIN(text), text
    assert Decimal(text) >= 0, text


def _sound_quote(quote: TopOfBook) -> None:
    for text in (quote.bid_price, quote.ask_price):
        _not_negative(text)  # 0 where a side is empty
    for text in (quote.bid_qty, quote.ask_qty):
        _not_negative(text)


def _sound_book(book: BookSnapshot | DepthDiff) -> None:
    for side in (book.bids, book.asks):
        for price, qty in side:
            _positive(price)
            _not_negative(qty)
    for seq in (book.first_seq, book.last_seq, book.prev_seq):
        assert seq is None or -1 <= seq < _INT64
    if book.first_seq is not None and book.last_seq is not None:
        assert book.first_seq <= book.last_seq


def _sound_kline(kline: Kline) -> None:
    for text in (kline.open, kline.high, kline.low, kline.close):
        _positive(text)
    _not_negative(kline.volume)
    assert kline.interval_s > 0
    assert 0 < kline.open_ns < _INT64


def without(event: Any, *fields: str) -> dict[str, Any]:
    """An event as a dict, less these fields."""
    return {key: value for key, value in msgspec.to_builtins(event).items() if key not in fields}
