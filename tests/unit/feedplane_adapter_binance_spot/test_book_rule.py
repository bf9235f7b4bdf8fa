"""The venue's own steps for a local order book, with numbers that were recorded."""

from __future__ import annotations

import pytest
from feedplane_adapter_binance_spot import ADAPTER
from feedplane_core.adapter import SnapshotSource, Verdict
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.names import MarketType
from feedplane_core.sync import BookSync

RULE = ADAPTER().book_rule(None)


def diff(first: int, last: int, bids: list[list[str]] | None = None) -> DepthDiff:
    return DepthDiff(
        exchange="binance_spot",
        market_type=MarketType.SPOT,
        instrument="NKNUSDT",
        ts_event_ns=1_000 + last,
        ts_recv_ns=2_000 + last,
        bids=bids or [],
        asks=[],
        first_seq=first,
        last_seq=last,
    )


def snapshot(last: int) -> BookSnapshot:
    return BookSnapshot(
        exchange="binance_spot",
        market_type=MarketType.SPOT,
        instrument="NKNUSDT",
        ts_event_ns=None,
        ts_recv_ns=5_000,
        bids=[["0.3521", "672"]],
        asks=[["0.3526", "3199"]],
        last_seq=last,
    )


@pytest.mark.parametrize(
    ("snapshot_id", "first", "last", "verdict"),
    [
        (499869752, 499869753, 499869754, Verdict.APPLY),  # recorded, NKNUSDT
        (281916627, 281916628, 281916628, Verdict.APPLY),  # recorded, BLZETH
        (160, 157, 160, Verdict.STALE),  # u <= L is dropped
        (160, 150, 159, Verdict.STALE),
        (160, 160, 161, Verdict.APPLY),  # U <= L+1 <= u
        (160, 157, 170, Verdict.APPLY),
        (160, 162, 170, Verdict.GAP),  # L < U - 1: fetch again
    ],
)
def test_snapshot_joins_the_diff_that_holds_its_successor(
    snapshot_id: int, first: int, last: int, verdict: Verdict
) -> None:
    assert RULE.joins(snapshot(snapshot_id), diff(first, last)) is verdict


@pytest.mark.parametrize(
    ("local_id", "first", "last", "verdict"),
    [
        (160, 161, 165, Verdict.APPLY),
        (160, 155, 165, Verdict.APPLY),  # overlaps: absolute quantities, no hole
        (160, 162, 165, Verdict.GAP),  # U > local id + 1
        (160, 150, 160, Verdict.STALE),
        (None, 1, 2, Verdict.GAP),
    ],
)
def test_diff_follows_without_a_hole(local_id: int | None, first: int, last: int, verdict: Verdict) -> None:
    assert RULE.follows(local_id, diff(first, last)) is verdict


def test_books_come_by_rest_to_a_known_depth() -> None:
    rule = ADAPTER().book_rule(None)

    assert (rule.source, rule.sequenced, rule.snapshot_depth, rule.max_depth) == (SnapshotSource.REST, True, 1000, None)
    assert rule.checksum([], []) is None


def test_a_snapshot_older_than_the_held_diffs_is_not_taken_and_a_later_one_is() -> None:
    sync = BookSync("binance_spot", MarketType.SPOT, "NKNUSDT", RULE)
    sync.on_diff(diff(165, 166))
    sync.on_diff(diff(167, 170, [["0.3520", "5"]]))

    assert sync.on_snapshot(snapshot(160)) == []
    kept = sync.on_snapshot(snapshot(166))

    assert [type(event).__name__ for event in kept] == ["BookSnapshot", "Gap", "DepthDiff"]
    assert sync.last_seq == 170
    assert sync.book.bids.top() == [["0.3521", "672"], ["0.3520", "5"]]


def test_zero_in_any_padding_removes_and_an_unknown_level_may_be_removed() -> None:
    sync = BookSync("binance_spot", MarketType.SPOT, "NKNUSDT", RULE)
    sync.on_snapshot(snapshot(160))

    sync.on_diff(diff(161, 161, [["0.35210000", "0.00000000"], ["0.1", "0"], ["0.30", "7"]]))

    assert sync.book.bids.top() == [["0.30", "7"]]
