"""A recorded session of the classic system: nothing refused, everything counted apart from the adapter."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from feedplane_adapter_kucoin import ADAPTER
from feedplane_core.adapter import Options
from feedplane_core.events import BookSnapshot, DepthDiff, Gap, Kline, MarketEvent, TopOfBook, Trade, type_name
from feedplane_core.frames import FrameReceived, Record, decode_records, merged
from feedplane_core.sync import BookSync
from feedplane_testing.venues import capture_records


@pytest.fixture(scope="module")
def records() -> list[Record]:
    found = [capture_records(name) for name in ("KUCOIN.0", "KUCOIN.ws.1.0", "KUCOIN.http.0.0")]
    if None in found:
        pytest.skip("no captures beside the checkout")
    return list(merged(*(part for part in found if part is not None)))


@pytest.fixture(scope="module")
def messages(records: list[Record]) -> list[dict[str, Any]]:
    frames = [json.loads(record.payload) for record in records if isinstance(record, FrameReceived)]
    return [frame for frame in frames if frame["type"] == "message"]


@pytest.fixture(scope="module")
def events(records: list[Record]) -> list[MarketEvent]:
    decoded = list(decode_records(ADAPTER(), records))
    assert [outcome.error for outcome in decoded if outcome.error is not None] == []
    return [event for outcome in decoded for event in outcome.events]


def test_counts_per_type_equal_an_independent_count(messages: list[dict[str, Any]], events: list[MarketEvent]) -> None:
    kinds = {"trade.l3match": "trade", "trade.l2update": "depth_diff", "trade.ticker": "top_of_book"}
    expected = Counter(kinds[m["subject"]] for m in messages if m["subject"] in kinds)
    found = Counter(map(type_name, events))

    assert {kind: found[kind] for kind in kinds.values()} == expected
    assert expected["depth_diff"] == 3_853


def test_diffs_hold_every_priced_row_and_no_other(messages: list[dict[str, Any]], events: list[MarketEvent]) -> None:
    diffs = [event for event in events if isinstance(event, DepthDiff)]
    updates = [m["data"] for m in messages if m["subject"] == "trade.l2update"]

    for diff, wire in zip(diffs, updates, strict=True):
        assert (diff.instrument, diff.first_seq, diff.last_seq) == (
            wire["symbol"],
            wire["sequenceStart"],
            wire["sequenceEnd"],
        )
        for levels, side in ((diff.bids, "bids"), (diff.asks, "asks")):
            assert [list(level) for level in levels] == [row[:2] for row in wire["changes"][side] if row[0] != "0"]


def test_trades_and_quotes_are_the_digits_of_the_wire(
    messages: list[dict[str, Any]], events: list[MarketEvent]
) -> None:
    matches = [m["data"] for m in messages if m["subject"] == "trade.l3match"]
    tickers = [m["data"] for m in messages if m["subject"] == "trade.ticker"]

    assert [(t.trade_id, t.price, t.qty, t.aggressor, t.ts_event_ns) for t in events if isinstance(t, Trade)] == [
        (m["tradeId"], m["price"], m["size"], m["side"], int(m["time"])) for m in matches
    ]
    quotes = [(q.bid_price, q.bid_qty, q.ask_price, q.ask_qty, q.seq) for q in events if isinstance(q, TopOfBook)]
    assert quotes == [
        (t["bestBid"], t["bestBidSize"], t["bestAsk"], t["bestAskSize"], int(t["sequence"])) for t in tickers
    ]


@pytest.mark.parametrize("system", ["uta", "classic"])
def test_books_sync_and_never_break(events: list[MarketEvent], system: str) -> None:
    """Whichever system is the live one, a recording of the classic one replays."""
    adapter = ADAPTER(Options(switches={"system": system}))
    syncs: dict[str, BookSync] = {}
    gaps: list[str] = []
    for event in events:
        if isinstance(event, BookSnapshot | DepthDiff):
            sync = syncs.setdefault(
                event.instrument,
                BookSync(event.exchange, event.market_type, event.instrument, adapter.book_rule(None)),
            )
            kept = sync.on_snapshot(event) if isinstance(event, BookSnapshot) else sync.on_diff(event)
            gaps += [gap.reason for gap in kept if isinstance(gap, Gap)]

    assert len(syncs) == 9
    assert all(sync.is_publishable for sync in syncs.values())
    assert set(gaps) <= {"start"}


def test_the_ticker_is_the_top_of_the_book(events: list[MarketEvent]) -> None:
    """Where ticker and book are of one sequence, they agree: both channels count in one space."""
    sync: BookSync | None = None
    tops: dict[int, tuple[str, str]] = {}
    quotes: dict[int, tuple[str, str]] = {}
    for event in events:
        if event.instrument != "BCHSV-USDT":
            continue
        if isinstance(event, TopOfBook):
            assert event.seq is not None
            quotes[event.seq] = event.bid_price, event.ask_price
        elif isinstance(event, BookSnapshot | DepthDiff):
            if sync is None:
                sync = BookSync(event.exchange, event.market_type, event.instrument, ADAPTER().book_rule(None))
            if isinstance(event, BookSnapshot):
                sync.on_snapshot(event)
            else:
                sync.on_diff(event)
            bid, ask = sync.book.bids.best(), sync.book.asks.best()
            if sync.is_synced and sync.last_seq is not None and bid is not None and ask is not None:
                tops[sync.last_seq] = bid[0], ask[0]
    common = tops.keys() & quotes.keys()

    assert len(common) > 50
    assert {seq: tops[seq] for seq in common} == {seq: quotes[seq] for seq in common}


def test_a_candle_is_closed_by_the_next_one(events: list[MarketEvent]) -> None:
    candles = [k for k in events if isinstance(k, Kline) and k.instrument == "BCHSV-USDT"]

    assert [(k.open_ns // 10**9, k.is_closed) for k in candles] == [
        (1619378280, False),
        (1619378280, True),
        (1619378340, False),
    ]
    assert candles[1].volume == candles[0].volume
