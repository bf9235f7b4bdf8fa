"""What records do to keys."""

from __future__ import annotations

from typing import Any

import pytest
from feedplane_core.events import BookTop, DerivedL1, Event, Gap, Kline, MarkPrice, OpenInterest, Status, TopOfBook
from feedplane_core.names import Feed, KeyStyle, MarketType, Mode
from feedplane_testing.journals import T0_NS, batches_of, depth_diff, head, top_of_book, trade
from feedplane_writer.redis_sink.books import Books
from feedplane_writer.redis_sink.entries import Entry, HotKey
from feedplane_writer.redis_sink.keyspace import Keyspace, Source
from feedplane_writer.redis_sink.kinds import HEAD_FIELDS
from feedplane_writer.redis_sink.rows import updates_of


class Space:
    """A keyspace, the entries that are due, and one journal."""

    def __init__(self, style: KeyStyle = KeyStyle.FLAT, *named: MarketType) -> None:
        self.due: dict[Entry, None] = {}
        self.keyspace = Keyspace(style, self.due.setdefault, lambda: 0, {"binance_futures": named} if named else {})
        self.source = Source(Books("j"))

    def take(self, *events: Event, source: Source | None = None) -> None:
        for record_type, batch in batches_of(events):
            self.keyspace.take(source or self.source, record_type, batch)

    def key(self, kind: str, instrument: str = "BTCUSDT") -> HotKey:
        name = f"last:{kind}:binance_futures:{instrument}".encode()
        return next(e for e in self.keyspace.entries() if e.key == name)  # type: ignore[return-value]

    def values(self, kind: str) -> dict[str, str]:
        key = self.key(kind)
        return dict(zip((*HEAD_FIELDS, *key.kind.fields), key.values, strict=True))


def status(number: int, said: str, feed: Feed | None) -> Status:
    return Status(**head(number), status_feed=feed, status=said)


def derived(number: int) -> DerivedL1:
    return DerivedL1(**head(number), bid_price="1", bid_qty="1", ask_price="2", ask_qty="1", seq=number)


def top(number: int, depth: int, levels: int, **more: Any) -> BookTop:
    side = [[str(100 + i), f"{i}.50"] for i in range(levels)]
    return BookTop(**head(number) | more, depth=depth, bids=side, asks=side, seq=number)


def test_mark_and_index_may_come_in_rows_of_their_own() -> None:
    space = Space()
    space.take(
        MarkPrice(**head(1), mark_price="1.50", index_price="2"),
        MarkPrice(**head(2), mark_price="1.60", index_price=None),
        MarkPrice(**head(3), mark_price=None, index_price="3"),
    )

    values = space.values("mark")
    assert (values["mark_px"], values["index_px"], values["ts_recv_ns"]) == ("1.6", "3", str(T0_NS + 3_007))
    assert space.source.books.superseded == {"mark_price": 2}


def test_short_books_fill_every_field_so_that_no_old_level_stays() -> None:
    (record_type, batch), *_ = batches_of([top(1, 5, 5), top(2, 5, 2), top(3, 5, 3, instrument="X")])

    by_instrument = {update.instrument: update for update in updates_of(record_type, batch)}

    side = ["100", "0.5", "101", "1.5", *["0"] * 6]
    assert list(by_instrument["BTCUSDT"].values[3:]) == side + side
    assert by_instrument["X"].values[3 + 4] == "102"


def test_a_slice_of_a_batch_reads_its_own_levels() -> None:
    ((record_type, batch),) = batches_of([top(n, 5, 1 + n % 5, instrument=f"S{n}") for n in range(10)])

    (update,) = updates_of(record_type, batch.slice(7, 1))

    assert (update.instrument, list(update.values[3:9])) == ("S7", ["100", "0.5", "101", "1.5", "102", "2.5"])


def test_books_deeper_than_their_key_are_cut() -> None:
    ((record_type, batch),) = batches_of([top(1, 5, 9, instrument="A"), top(2, 5, 9, instrument="B")])

    assert [len(update.values) for update in updates_of(record_type, batch)] == [23, 23]
    assert [update.values[3] for update in updates_of(record_type, batch)] == ["100", "100"]


def test_records_without_a_key_are_settled_at_once() -> None:
    space = Space()
    candle: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close", "volume"), "1")
    space.take(
        depth_diff(1),
        Kline(**head(2), open_ns=0, interval_s=60, trades=None, is_closed=True, **candle),
        top(3, 10, 3),
        status(4, "listed", None),
    )

    assert space.source.books.written == {"ob_diffs": 1, "klines": 1, "ob_top20": 1, "status": 1}
    assert not space.due


def test_every_row_is_open_or_settled() -> None:
    space = Space()
    space.take(
        *(top_of_book(n) for n in range(10)),
        *(trade(n) for n in range(3)),
        top(1, 5, 5),
        top(2, 20, 20),
        top(3, 20, 20),
    )

    assert space.source.books.written == {"l1": 9, "ob_top20": 1}
    assert space.source.books.open_rows == 1 + 3 + 1 + 1


@pytest.mark.parametrize(
    ("said", "feed", "states"),
    [
        ("resync", Feed.OB_DIFFS, {"l1": "resync", "top5": "resync", "oi": "synced"}),
        ("stale", Feed.OB_DIFFS, {"l1": "stale", "top5": "stale", "oi": "synced"}),
        ("disconnected", Feed.OPEN_INTEREST, {"l1": "synced", "top5": "synced", "oi": "stale"}),
        ("stopped", None, {"l1": "stale", "top5": "stale", "oi": "stale"}),
        ("halted", None, {"l1": "synced", "top5": "synced", "oi": "synced"}),
        ("stale", Feed.TRADES, {"l1": "synced", "top5": "synced", "oi": "synced"}),
    ],
)
def test_a_status_marks_the_keys_of_its_feed(said: str, feed: Feed | None, states: dict[str, str]) -> None:
    space = Space()
    space.take(derived(1), top(2, 5, 5), OpenInterest(**head(3), open_interest="1"))
    space.take(status(5, said, feed))

    assert {kind: space.key(kind).state for kind in states} == states


def test_a_native_quote_does_not_depend_on_the_book() -> None:
    space = Space()
    space.take(top_of_book(1), status(2, "resync", Feed.OB_DIFFS))

    assert space.key("l1").state == "synced"


def test_what_is_older_than_the_value_marks_nothing() -> None:
    space = Space()
    space.take(top_of_book(5))
    space.take(status(4, "stale", Feed.L1))

    assert space.key("l1").state == "synced"


def test_a_feed_that_speaks_again_does_not_make_a_book_right() -> None:
    space = Space()
    space.take(top(1, 5, 5), status(2, "resync", Feed.OB_DIFFS), status(3, "fresh", Feed.OB_DIFFS))
    assert space.key("top5").state == "resync"

    space.take(status(4, "synced", Feed.OB_DIFFS))
    assert space.key("top5").state == "synced"


def test_a_hole_that_closes_does_not_bring_a_dead_feed_to_life() -> None:
    space = Space()
    gap: dict[str, Any] = {"gap_id": "g", "gap_feed": Feed.L1, "from_ns": 1, "to_ns": None}
    space.take(top_of_book(1), status(2, "stopped", None))
    space.take(Gap(**head(3), **gap, state="closed"))
    assert space.key("l1").state == "stale"

    space.take(top_of_book(4))
    assert space.key("l1").state == "synced"


def test_a_good_word_about_a_value_of_an_earlier_run_is_not_passed_on() -> None:
    space = Space()
    space.take(status(1, "synced", Feed.OB_DIFFS))
    assert not space.due

    space.take(status(2, "resync", Feed.OB_DIFFS))  # a bad one is: redis may still show it as good
    assert {entry.key for entry in space.due} == {
        f"last:{kind}:binance_futures:BTCUSDT".encode() for kind in ("top5", "top20", "adv")
    }


def test_of_two_journals_the_newer_value_stays() -> None:
    space, other = Space(), Source(Books("other"))
    space.take(top_of_book(5))
    space.take(top_of_book(3), source=other)
    assert space.values("l1")["seq"] == "5"
    assert other.books.superseded == {"l1": 1}

    space.take(top_of_book(7), source=other)
    assert space.values("l1")["seq"] == "7"
    assert space.keyspace.silence(space.source) == 0  # the other one looks after the key now


def test_silence_marks_and_data_of_the_same_collector_restores() -> None:
    space = Space()
    space.source.mode = Mode.SIM
    space.take(top_of_book(1), top(2, 5, 5), status(3, "resync", Feed.OB_DIFFS))

    assert space.keyspace.silence(space.source) == 2
    assert {space.key(kind).state for kind in ("l1", "top5")} == {"sim-stale"}
    space.keyspace.resume(space.source)
    assert (space.key("l1").state, space.key("top5").state) == ("sim", "sim-stale")  # it was not good before


def test_tagged_keys_have_literal_braces() -> None:
    space = Space(KeyStyle.TAGGED)
    space.take(TopOfBook(**head(1), bid_price="1", bid_qty="1", ask_price="2", ask_qty="1"), trade(2))

    assert {entry.key for entry in space.keyspace.entries()} == {
        b"last:l1:{binance_futures|BTCUSDT}",
        b"stream:trades:{binance_futures|BTCUSDT}",
    }


def test_markets_that_are_named_in_keys_have_keys_of_their_own() -> None:
    """The same name on two markets: values, trades, what is said of books, and silence never meet."""
    space = Space(KeyStyle.FLAT, MarketType.PERP_LINEAR)
    spot = {"market_type": MarketType.SPOT}
    quotes = [
        TopOfBook(**head(1), bid_price="1", bid_qty="1", ask_price="2", ask_qty="1"),
        TopOfBook(**head(2) | spot, bid_price="3", bid_qty="1", ask_price="4", ask_qty="1"),
    ]
    space.take(*quotes, trade(3), top(4, 5, 5), top(5, 5, 5, **spot), status(6, "resync", Feed.OB_DIFFS))

    names = {entry.key for entry in space.keyspace.entries()}
    assert {name for name in names if b"l1" in name or b"trades" in name} == {
        b"last:l1:binance_futures:BTCUSDT",
        b"last:l1:binance_futures:BTCUSDT:perp_linear",
        b"stream:trades:binance_futures:BTCUSDT:perp_linear",
    }
    assert (space.values("l1")["bid_px"], space.key("l1", "BTCUSDT:perp_linear").values[3]) == ("3", "1")
    assert (space.key("top5").state, space.key("top5", "BTCUSDT:perp_linear").state) == ("synced", "resync")


def test_named_markets_share_the_slot_of_their_tag() -> None:
    space = Space(KeyStyle.TAGGED, MarketType.PERP_LINEAR)
    space.take(trade(1))

    assert {entry.key for entry in space.keyspace.entries()} == {b"stream:trades:{binance_futures|BTCUSDT:perp_linear}"}
