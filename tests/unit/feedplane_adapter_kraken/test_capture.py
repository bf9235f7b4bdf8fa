"""Real books: the captures speak WebSocket v1, whose checksum has the same construction over texts that carry all their zeros."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
from feedplane_adapter_kraken.book import Precision, SpotRule
from feedplane_core.book import OrderBook
from feedplane_core.frames import FrameReceived
from feedplane_testing.venues import capture_records

DEPTH = 1000


def _books(frames: list[bytes]) -> Counter[str]:
    """Every v1 book frame through a book cut to the subscribed depth: how many updates pass their checksum."""
    books: dict[str, OrderBook] = {}
    seen: Counter[str] = Counter()
    for frame in frames:
        message: Any = orjson.loads(frame)
        if not isinstance(message, list) or not message[-2].startswith("book-"):
            continue
        pair, payloads = message[-1], message[1:-2]
        if "as" in payloads[0]:
            books[pair] = OrderBook()
            books[pair].replace(_levels(payloads[0]["bs"]), _levels(payloads[0]["as"]))
            continue
        book = books[pair]
        for payload in payloads:
            book.apply(_levels(payload.get("b", [])), _levels(payload.get("a", [])))
        book.prune(DEPTH)
        seen["passed" if _checksum(book) == int(payloads[-1]["c"]) else "failed"] += 1
    return seen


def _levels(rows: list[list[str]]) -> list[list[str]]:
    return [row[:2] for row in rows]


def _checksum(book: OrderBook) -> int | None:
    """With the precisions that the texts of the best level show: they are the pair's."""
    price, qty = book.asks.top(1)[0]
    precision = Precision(len(price.partition(".")[2]), len(qty.partition(".")[2]))
    return SpotRule("X", {"X": precision}, DEPTH).checksum(book.bids.top(10), book.asks.top(10))


def test_every_recorded_update_passes_its_checksum() -> None:
    names = [f"KRAKEN.ws.{number}.0" for number in (48, 49, 50)]
    captures = [records for name in names if (records := capture_records(name)) is not None]
    if not captures:
        pytest.skip("no captures beside the checkout")
    seen: Counter[str] = Counter()
    for records in captures:
        seen += _books([record.payload for record in records if isinstance(record, FrameReceived)])

    assert seen["passed"] >= 4_000
    assert not seen["failed"]


def test_official_v1_example() -> None:
    """Spot WebSocket v1, "Book checksum"."""
    asks = [[f"0.{price:05d}", "0.00000500"] for price in range(5005, 5055, 5)]
    bids = [[f"0.{price:05d}", "0.00000500"] for price in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)]

    assert SpotRule("X", {"X": Precision(5, 8)}, 10).checksum(bids, asks) == 974947235
