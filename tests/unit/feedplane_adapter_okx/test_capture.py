"""A recorded session of 2022, of before numbers: nothing refused, all 290 checksums reproduced, contracts included."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from feedplane_adapter_okx import ADAPTER
from feedplane_core.adapter import Adapter
from feedplane_core.events import BookSnapshot, DepthDiff, Gap, MarketEvent, Trade, type_name
from feedplane_core.frames import FrameReceived, Record, Replay, RestAnswer, merged
from feedplane_core.instruments import Instrument
from feedplane_core.sync import BookSync
from feedplane_testing.venues import capture_records


class Session:
    """The capture through one adapter."""

    def __init__(self, records: list[Record]) -> None:
        self.frames = [json.loads(r.payload) for r in records if isinstance(r, FrameReceived)]
        self.adapter: Adapter = ADAPTER()
        replay = Replay(self.adapter)
        decoded = [replay.feed(record) for record in records]
        assert [outcome.error for outcome in decoded if outcome.error is not None] == []
        self.events: list[MarketEvent] = [event for outcome in decoded for event in outcome.events]
        answers = [r for r in records if isinstance(r, RestAnswer) and r.url.endswith(("SPOT", "SWAP", "FUTURES"))]
        known = self.adapter.decode_instruments([answer.body for answer in answers])
        self.instruments: dict[str, Instrument] = {i.instrument: i for i in known}

    def rows(self, channel: str) -> list[dict[str, Any]]:
        return [f for f in self.frames if f.get("arg", {}).get("channel") == channel and "data" in f]


@pytest.fixture(scope="module")
def session() -> Session:
    found = [capture_records(name) for name in ("OKX.0", "OKX.ws.1.0")]
    if None in found:
        pytest.skip("no captures beside the checkout")
    return Session(list(merged(*(part for part in found if part is not None))))


def test_counts_per_type_equal_an_independent_count(session: Session) -> None:
    actions = Counter(frame["action"] for frame in session.rows("books"))

    assert Counter(map(type_name, session.events)) == {
        "trade": len(session.rows("trades")),
        "book_snapshot": actions["snapshot"],
        "depth_diff": actions["update"],
    }
    assert actions == {"snapshot": 3, "update": 287}


def test_trades_are_the_digits_of_the_wire(session: Session) -> None:
    trades = [event for event in session.events if isinstance(event, Trade)]

    for trade, frame in zip(trades, session.rows("trades"), strict=True):
        (row,) = frame["data"]
        assert (trade.trade_id, trade.price, trade.aggressor) == (row["tradeId"], row["px"], row["side"])
        assert trade.instrument == "BTC-USDT" or trade.qty != row["sz"]


def test_every_checksum_of_every_book_is_reproduced(session: Session) -> None:
    """Quantities of the two inverse contracts were divided by the price; the verifier finds the contracts again."""
    books: dict[str, BookSync] = {}
    for event in session.events:
        if not isinstance(event, BookSnapshot | DepthDiff):
            continue
        assert event.checksum
        name = event.instrument
        if name not in books:
            rule = session.adapter.book_rule(session.instruments[name])
            books[name] = BookSync("okx", event.market_type, name, rule)
        kept = books[name].on_snapshot(event) if isinstance(event, BookSnapshot) else books[name].on_diff(event)
        assert kept == [event]

    assert books.keys() == {"BTC-USDT", "UNI-USD-SWAP", "BTC-USD-220527"}
    assert all(book.is_publishable and book.counts.checksum_failures == 0 for book in books.values())
    assert len(books["BTC-USDT"].book.bids) == len(books["BTC-USDT"].book.asks) == 400


def test_one_changed_level_fails_the_checksum(session: Session) -> None:
    books = [e for e in session.events if isinstance(e, BookSnapshot | DepthDiff) and e.instrument == "UNI-USD-SWAP"]
    rule = session.adapter.book_rule(session.instruments["UNI-USD-SWAP"])
    sync = BookSync("okx", books[0].market_type, "UNI-USD-SWAP", rule)
    assert isinstance(books[0], BookSnapshot)
    sync.on_snapshot(books[0])
    changed = next(e for e in books[1:] if isinstance(e, DepthDiff) and e.bids and e.bids[0][1] != "0")
    before = books[1 : books.index(changed)]
    for diff in before:
        assert isinstance(diff, DepthDiff)
        sync.on_diff(diff)
    (price, _), *others = changed.bids

    kept = sync.on_diff(msgspec.structs.replace(changed, bids=[(price, "195.198"), *others]))

    assert [event.reason for event in kept if isinstance(event, Gap)] == ["checksum"]
