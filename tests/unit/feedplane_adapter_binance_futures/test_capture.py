"""A recording of the real venue decodes without a refusal, and books synced from it stay right."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from feedplane_adapter_binance_futures import ADAPTER
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Gap, type_name
from feedplane_core.frames import FrameReceived, Record, merged, replay
from feedplane_core.sync import BookSync
from feedplane_testing.venues import CAPTURES, capture_records

FILES = ("BINANCE_FUTURES.0", "BINANCE_FUTURES.http.0.0", "BINANCE_FUTURES.ws.1.0")
TYPE_OF = {"aggTrade": "trade", "depthUpdate": "depth_diff", "bookTicker": "top_of_book", "kline": "kline"}


@pytest.fixture(scope="module")
def capture() -> list[Record]:
    found = [capture_records(name) for name in FILES]
    if any(records is None for records in found):
        pytest.skip(f"no captures in {CAPTURES.name}/ beside the checkout")
    return list(merged(*(records for records in found if records is not None)))


def test_every_frame_decodes_and_counts_agree(capture: list[Record]) -> None:
    outcomes = list(replay(ADAPTER(), capture))

    frames = [orjson.loads(record.payload) for record in capture if isinstance(record, FrameReceived)]
    counted = Counter(TYPE_OF[frame["data"]["e"]] for frame in frames)
    assert [outcome for outcome in outcomes if isinstance(outcome, DecodeError)] == []
    decoded = Counter(type_name(outcome) for outcome in outcomes if not isinstance(outcome, DecodeError))
    assert len(frames) == 1_535
    assert decoded == counted | {"book_snapshot": 4}


def test_every_book_of_the_capture_syncs_without_a_break(capture: list[Record]) -> None:
    adapter = ADAPTER()
    books: dict[str, BookSync] = {}
    gaps: list[Gap] = []
    for event in replay(adapter, capture):
        if isinstance(event, BookSnapshot | DepthDiff):
            sync = books.setdefault(
                event.instrument,
                BookSync(event.exchange, event.market_type, event.instrument, adapter.book_rule(None)),
            )
            step = sync.on_snapshot if isinstance(event, BookSnapshot) else sync.on_diff
            gaps += [out for out in step(event) if isinstance(out, Gap)]  # type: ignore[arg-type]
            assert not sync.book.is_crossed()

    assert len(books) == 4
    assert all(sync.is_synced for sync in books.values())
    assert {gap.reason for gap in gaps} <= {"start"}, "only what came before the first snapshot may be missing"
