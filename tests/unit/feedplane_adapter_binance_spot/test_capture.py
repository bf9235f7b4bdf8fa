"""A recorded session of the real venue: nothing refused, everything counted apart from the adapter."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from feedplane_adapter_binance_spot import ADAPTER
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent, TopOfBook, Trade, type_name
from feedplane_core.frames import FrameReceived, Record, decode_records, merged
from feedplane_core.sync import BookSync
from feedplane_testing.venues import capture_records


@pytest.fixture(scope="module")
def records() -> list[Record]:
    found = [capture_records(name) for name in ("BINANCE.0", "BINANCE.http.0.0", "BINANCE.ws.1.0")]
    if None in found:
        pytest.skip("no captures beside the checkout")
    return list(merged(*(part for part in found if part is not None)))


@pytest.fixture(scope="module")
def events(records: list[Record]) -> list[MarketEvent]:
    decoded = list(decode_records(ADAPTER(), records))
    assert [outcome.error for outcome in decoded if outcome.error is not None] == []
    return [event for outcome in decoded for event in outcome.events]


def test_counts_per_type_equal_an_independent_count(records: list[Record], events: list[MarketEvent]) -> None:
    kinds = {"aggTrade": "trade", "depth": "depth_diff", "bookTicker": "top_of_book", "kline_1m": "kline"}
    frames = [json.loads(r.payload) for r in records if isinstance(r, FrameReceived)]
    expected = Counter(kinds[frame["stream"].split("@")[1]] for frame in frames)
    expected["book_snapshot"] = 4

    assert Counter(map(type_name, events)) == expected


def test_numbers_are_the_digits_of_the_wire(records: list[Record], events: list[MarketEvent]) -> None:
    frames = [json.loads(r.payload)["data"] for r in records if isinstance(r, FrameReceived)]
    books = [e for e in events if isinstance(e, DepthDiff)]
    quotes = [e for e in events if isinstance(e, TopOfBook)]
    trades = [e for e in events if isinstance(e, Trade)]

    wire_books = [(f["s"], f["U"], f["u"], f["b"], f["a"]) for f in frames if f.get("e") == "depthUpdate"]
    assert [
        (e.instrument, e.first_seq, e.last_seq, [list(x) for x in e.bids], [list(x) for x in e.asks]) for e in books
    ] == wire_books
    wire_quotes = [(f["u"], f["b"], f["B"], f["a"], f["A"]) for f in frames if "e" not in f]
    assert [(e.seq, e.bid_price, e.bid_qty, e.ask_price, e.ask_qty) for e in quotes] == wire_quotes
    wire_trades = [(str(f["a"]), f["p"], f["q"], f["m"]) for f in frames if f.get("e") == "aggTrade"]
    assert [(e.trade_id, e.price, e.qty, e.aggressor == "sell") for e in trades] == wire_trades


def test_every_book_syncs_and_agrees_with_the_quotes(events: list[MarketEvent]) -> None:
    """Snapshots join and no diff is missing; where a quote and the book stand at the same update id, they say the same."""
    rule, agreed = ADAPTER().book_rule(None), 0
    syncs: dict[str, BookSync] = {}
    quotes = {(event.instrument, event.seq): event for event in events if isinstance(event, TopOfBook)}
    for event in events:
        if not isinstance(event, BookSnapshot | DepthDiff):
            continue
        sync = syncs.setdefault(event.instrument, BookSync(event.exchange, event.market_type, event.instrument, rule))
        if isinstance(event, BookSnapshot):
            sync.on_snapshot(event)
        else:
            sync.on_diff(event)
        quote = quotes.get((event.instrument, sync.last_seq))
        if sync.is_synced and quote is not None:
            best = sync.book.bids.best(), sync.book.asks.best()
            assert [list(level or ()) for level in best] == [
                [quote.bid_price, quote.bid_qty],
                [quote.ask_price, quote.ask_qty],
            ]
            agreed += 1

    assert len(syncs) == 4
    assert all(sync.is_publishable for sync in syncs.values())
    assert all(sync.counts.gaps <= 1 for sync in syncs.values())  # the start, where diffs came before the snapshot
    assert agreed > 0
