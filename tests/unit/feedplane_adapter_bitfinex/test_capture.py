"""Bitfinex: a recording of seven pairs (2021-04-17), where it lies beside the checkout."""

from __future__ import annotations

import pytest
from feedplane_adapter_bitfinex import Bitfinex
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.frames import Decoded, FrameReceived, decode_records
from feedplane_core.sync import BookSync
from feedplane_testing.venues import capture_records


@pytest.fixture(scope="module")
def decoded() -> list[Decoded]:
    records = capture_records("BITFINEX.ws.11.0")
    if records is None:
        pytest.skip("no captures beside the checkout")
    return list(decode_records(Bitfinex(), records))


def test_every_frame_is_understood(decoded: list[Decoded]) -> None:
    frames = [outcome for outcome in decoded if isinstance(outcome.record, FrameReceived)]

    assert len(frames) > 1_600
    assert not [outcome.error for outcome in frames if outcome.error is not None]


def test_the_venue_keeps_a_hundred_levels_by_itself(decoded: list[Decoded]) -> None:
    books: dict[str, BookSync] = {}
    longest = 0
    for event in (event for outcome in decoded for event in outcome.events):
        assert isinstance(event, BookSnapshot | DepthDiff)
        rule = Bitfinex().book_rule(None)
        sync = books.setdefault(event.instrument, BookSync("bitfinex", event.market_type, event.instrument, rule))
        assert (sync.on_snapshot(event) if isinstance(event, BookSnapshot) else sync.on_diff(event)) == [event]
        assert not sync.book.is_crossed()
        longest = max(longest, len(sync.book.bids), len(sync.book.asks))

    assert len(books) == 7
    assert longest == 100
