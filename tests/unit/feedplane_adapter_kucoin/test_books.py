"""Where books begin, follow and break, for both systems."""

from __future__ import annotations

import orjson
import pytest
from feedplane_adapter_kucoin import ADAPTER
from feedplane_core.adapter import Options, Verdict
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Gap
from feedplane_core.frames import Replay, RestAnswer
from feedplane_core.names import MarketType
from feedplane_core.sync import BookSync

NOW_NS = 1_781_672_136_000_000_000
RULE = ADAPTER().book_rule(None)


def diff(first: int, last: int) -> DepthDiff:
    return DepthDiff(
        exchange="kucoin",
        market_type=MarketType.SPOT,
        instrument="BTC-USDT",
        ts_event_ns=NOW_NS,
        ts_recv_ns=NOW_NS,
        bids=[],
        asks=[],
        first_seq=first,
        last_seq=last,
    )


def snapshot(last: int | None) -> BookSnapshot:
    return BookSnapshot(
        exchange="kucoin",
        market_type=MarketType.SPOT,
        instrument="BTC-USDT",
        ts_event_ns=NOW_NS,
        ts_recv_ns=NOW_NS,
        bids=[],
        asks=[],
        last_seq=last,
    )


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (101, 101, Verdict.APPLY),
        (101, 105, Verdict.APPLY),
        (98, 101, Verdict.APPLY),  # reaches back behind the book
        (90, 100, Verdict.STALE),
        (100, 100, Verdict.STALE),
        (102, 102, Verdict.GAP),
    ],
)
def test_sequences_follow_without_a_hole(first: int, last: int, verdict: Verdict) -> None:
    assert RULE.follows(100, diff(first, last)) is verdict
    assert RULE.joins(snapshot(100), diff(first, last)) is verdict


@pytest.mark.parametrize("last", [-1, 0])
def test_anything_follows_the_empty_book_of_a_new_listing(last: int) -> None:
    assert RULE.joins(snapshot(last), diff(7_000, 7_000)) is Verdict.APPLY


def level2(start: int, end: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    changes = {"asks": asks, "bids": bids}
    data = {
        "changes": changes,
        "sequenceEnd": end,
        "sequenceStart": start,
        "symbol": "BTC-USDT",
        "time": NOW_NS // 10**6,
    }
    topic = "/market/level2:BTC-USDT"
    return orjson.dumps({"type": "message", "topic": topic, "subject": "trade.l2update", "data": data})


def decoded(frame: bytes) -> DepthDiff:
    (event,) = ADAPTER().session().decode(frame, NOW_NS)
    assert isinstance(event, DepthDiff)
    return event


def test_of_a_price_named_twice_the_newer_sequence_holds() -> None:
    """Rows are sorted by price, not by sequence: applied as they stand the older size would win."""
    event = decoded(level2(1, 3, [["9", "5", "3"], ["9", "0", "1"], ["8", "1", "2"]], []))

    assert event.bids[-1] == ("9", "5")
    assert sorted(map(tuple, event.bids)) == [("8", "1"), ("9", "0"), ("9", "5")]


def test_rows_keep_their_order_otherwise() -> None:
    event = decoded(level2(44, 47, [], [["18906", "0.00331", "45"], ["18907.3", "0.58", "44"]]))

    assert list(event.asks) == [("18906", "0.00331"), ("18907.3", "0.58")]


@pytest.mark.parametrize("price", ["0", "0.0", "0.00000000"])
def test_rows_of_price_zero_change_no_level_and_keep_the_sequence(price: str) -> None:
    event = decoded(level2(5, 6, [[price, "0", "5"], ["7", "1", "6"]], []))

    assert list(event.bids) == [("7", "1")]
    assert (event.first_seq, event.last_seq) == (5, 6)


def test_a_snapshot_inside_a_message_ends_in_the_book_of_its_end() -> None:
    """REST at 100; the first message spans 99..102 and names sizes of before and after."""
    adapter = ADAPTER(Options(switches={"system": "classic"}))
    sync = BookSync("kucoin", MarketType.SPOT, "BTC-USDT", adapter.book_rule(None))
    body = b'{"code":"200000","data":{"time":1781672136000,"sequence":"100","bids":[["9","5"]],"asks":[["11","1"]]}}'
    url = "https://api.kucoin.com/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"
    (whole,) = Replay(adapter).feed(RestAnswer(1, NOW_NS, url, body)).events
    assert isinstance(whole, BookSnapshot)
    sync.on_diff(decoded(level2(90, 98, [["9", "1", "98"]], [])))
    sync.on_diff(
        decoded(level2(99, 102, [["9", "5", "99"], ["8", "4", "101"]], [["11", "0", "102"], ["12", "3", "100"]]))
    )
    events = sync.on_snapshot(whole)

    assert sync.last_seq == 102
    assert [list(level) for level in sync.book.bids.top()] == [["9", "5"], ["8", "4"]]
    assert [list(level) for level in sync.book.asks.top()] == [["12", "3"]]
    assert [gap.reason for gap in events if isinstance(gap, Gap)] == ["start"]


def test_a_snapshot_older_than_the_held_diffs_is_not_taken() -> None:
    adapter = ADAPTER(Options(switches={"system": "classic"}))
    sync = BookSync("kucoin", MarketType.SPOT, "BTC-USDT", adapter.book_rule(None))
    sync.on_diff(diff(105, 106))

    assert sync.on_snapshot(snapshot(100)) == []
    assert sync.needs_snapshot
    assert sync.on_snapshot(snapshot(104))
    assert sync.last_seq == 106


@pytest.mark.parametrize(
    "body", [b'{"code":"200000"}', b'{"code":"200000","data":null}', b"", b'{"code":"429000","msg":"x"}']
)
def test_an_answer_without_data_is_refused_so_that_it_is_asked_for_again(body: bytes) -> None:
    url = "https://api-futures.kucoin.com/api/v1/level2/snapshot?symbol=XBTUSDTM"
    outcome = Replay(ADAPTER(Options(assume_contract_size="1"))).feed(RestAnswer(1, NOW_NS, url, body))

    assert isinstance(outcome.error, DecodeError)


def test_rows_with_rpi_sizes_are_told_without_them() -> None:
    data = {"C": 6, "O": 6, "M": NOW_NS, "a": [["11", "10", "3"]], "b": [["9", "0", "2"]], "s": "XBTUSDTM"}
    frame = {"T": "obu.FUTURES", "dp": "increment@10ms", "t": "delta", "P": NOW_NS, "d": data}
    (event,) = ADAPTER(Options(assume_contract_size="1")).session().decode(orjson.dumps(frame), NOW_NS)

    assert isinstance(event, DepthDiff)
    assert (list(event.asks), list(event.bids)) == ([("11", "10")], [("9", "0")])
