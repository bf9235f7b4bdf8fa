"""A recorded session of the real venue: nothing refused, everything counted apart from the adapter."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from feedplane_adapter_coinbase import ADAPTER
from feedplane_core.events import BookSnapshot, DepthDiff, MarketEvent, Trade, type_name
from feedplane_core.frames import FrameReceived, Record, RestAnswer, decode_records, merged
from feedplane_core.names import Aggressor
from feedplane_core.sync import BookSync
from feedplane_testing.venues import capture_records


@pytest.fixture(scope="module")
def records() -> list[Record]:
    found = [capture_records(name) for name in ("COINBASE.0", "COINBASE.ws.28.0")]
    if None in found:
        pytest.skip("no captures beside the checkout")
    return list(merged(*(part for part in found if part is not None)))


@pytest.fixture(scope="module")
def frames(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.payload) for record in records if isinstance(record, FrameReceived)]


@pytest.fixture(scope="module")
def events(records: list[Record]) -> list[MarketEvent]:
    decoded = list(decode_records(ADAPTER(), records))
    assert [outcome.error for outcome in decoded if outcome.error is not None] == []
    return [event for outcome in decoded for event in outcome.events]


def test_counts_per_type_equal_an_independent_count(frames: list[dict[str, Any]], events: list[MarketEvent]) -> None:
    kinds = {"match": "trade", "l2update": "depth_diff", "snapshot": "book_snapshot"}
    expected = Counter(kinds[frame["type"]] for frame in frames if frame["type"] in kinds)

    assert Counter(map(type_name, events)) == expected
    assert expected["trade"] == 97


def test_numbers_are_the_digits_of_the_wire(frames: list[dict[str, Any]], events: list[MarketEvent]) -> None:
    diffs = [event for event in events if isinstance(event, DepthDiff)]
    updates = [frame for frame in frames if frame["type"] == "l2update"]

    for event, wire in zip(diffs, updates, strict=True):
        sides = {"buy": event.bids, "sell": event.asks}
        for side, levels in sides.items():
            assert [list(level) for level in levels] == [c[1:] for c in wire["changes"] if c[0] == side]


def test_aggressor_is_the_side_of_the_ticker(frames: list[dict[str, Any]], events: list[MarketEvent]) -> None:
    """`ticker` names the taker, `matches` the maker: the decoded aggressor must agree with the former."""
    takers = {(f["product_id"], str(f["trade_id"])): f["side"] for f in frames if f["type"] == "ticker"}
    trades = [event for event in events if isinstance(event, Trade)]

    assert all(trade.aggressor is Aggressor(takers[trade.instrument, trade.trade_id]) for trade in trades)


def test_books_sync_and_never_stay_crossed(events: list[MarketEvent]) -> None:
    rule = ADAPTER().book_rule(None)
    syncs: dict[str, BookSync] = {}
    for event in events:
        if isinstance(event, BookSnapshot | DepthDiff):
            sync = syncs.setdefault(
                event.instrument, BookSync(event.exchange, event.market_type, event.instrument, rule)
            )
            if isinstance(event, BookSnapshot):
                sync.on_snapshot(event)
            else:
                sync.on_diff(event)

    assert len(syncs) == 10
    assert all(sync.is_publishable and sync.counts.gaps == 0 for sync in syncs.values())


def test_nothing_was_lost_in_the_recording(records: list[Record]) -> None:
    session = ADAPTER().session()
    for record in records:
        if isinstance(record, FrameReceived):
            session.decode(record.payload, record.recv_ns)

    assert session.actions() == []


def test_products_are_all_read(records: list[Record]) -> None:
    (body,) = [record.body for record in records if isinstance(record, RestAnswer)]
    rows = json.loads(body)

    instruments = ADAPTER().decode_instruments([body])

    assert [(i.instrument, i.tick, i.step) for i in instruments] == [
        (row["id"], row["quote_increment"], row["base_increment"]) for row in rows
    ]
    assert {i.status.value for i in instruments} == {"trading"}
