"""A book whose venue sends checksums: what is made of those that do not fit, and how deep the book is kept."""

from __future__ import annotations

from collections.abc import Sequence

from feedplane_core.adapter import SnapshotSource, TradeIds, Verdict
from feedplane_core.events import BookSnapshot, DepthDiff, Gap, Trade
from feedplane_core.names import NS_PER_S, Aggressor, Feed, MarketType
from feedplane_core.sequence import FeedTracker
from feedplane_core.sync import BAD_SNAPSHOTS_LIMIT, BookSync

NOW_NS = 1_700_000_000 * NS_PER_S


class Rule:
    """Snapshots by socket, no numbers; the checksum is the sum of the best prices, plus an error of ours."""

    source = SnapshotSource.SOCKET
    sequenced = False
    snapshot_depth: int | None = None
    max_depth: int | None = 3
    error = 0

    def joins(self, snapshot: BookSnapshot, diff: DepthDiff) -> Verdict:
        return Verdict.STALE

    def follows(self, last_seq: int | None, diff: DepthDiff) -> Verdict:
        return Verdict.APPLY

    def checksum(self, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int | None:
        return int(bids[0][0]) + int(asks[0][0]) + self.error


def snapshot(checksum: int | None, depth: int | None = None) -> BookSnapshot:
    return BookSnapshot(
        exchange="x",
        market_type=MarketType.SPOT,
        instrument="A",
        ts_event_ns=NOW_NS,
        ts_recv_ns=NOW_NS,
        bids=[["10", "1"], ["9", "1"]],
        asks=[["20", "1"], ["21", "1"]],
        checksum=checksum,
        depth=depth,
    )


def diff(checksum: int | None, bids: list[list[str]]) -> DepthDiff:
    return DepthDiff(
        exchange="x",
        market_type=MarketType.SPOT,
        instrument="A",
        ts_event_ns=NOW_NS,
        ts_recv_ns=NOW_NS,
        bids=bids,
        asks=[],
        checksum=checksum,
    )


def sync_of(rule: Rule) -> BookSync:
    return BookSync("x", MarketType.SPOT, "A", rule)


def test_one_bad_snapshot_is_refused_and_the_next_good_one_taken() -> None:
    sync = sync_of(Rule())

    assert sync.on_snapshot(snapshot(31)) == []
    assert sync.needs_snapshot
    assert sync.is_verified
    assert sync.on_snapshot(snapshot(30)) == [snapshot(30)]
    assert sync.is_verified


def test_a_checksum_that_no_snapshot_passes_is_no_longer_heeded_until_it_fits_again() -> None:
    rule = Rule()
    rule.error = 7
    sync = sync_of(rule)
    for _ in range(BAD_SNAPSHOTS_LIMIT - 1):
        assert sync.on_snapshot(snapshot(30)) == []

    assert sync.on_snapshot(snapshot(30)) == [snapshot(30)]
    assert not sync.is_verified
    unchecked = diff(31, [["11", "1"]])
    assert sync.on_diff(unchecked) == [unchecked]

    rule.error = 0
    fitting = diff(32, [["12", "1"]])
    assert sync.on_diff(fitting) == [fitting]
    assert sync.is_verified
    (gap,) = sync.on_diff(diff(99, [["13", "1"]]))
    assert isinstance(gap, Gap)
    assert gap.reason == "checksum"


def test_bad_diffs_alone_never_end_the_checking() -> None:
    """They may be losses."""
    sync = sync_of(Rule())
    for _ in range(5):
        sync.on_snapshot(snapshot(30))
        (gap, *_) = sync.on_diff(diff(99, [["11", "1"]]))
        assert isinstance(gap, Gap)
        assert sync.is_verified


def test_a_book_is_kept_as_deep_as_its_snapshot_says() -> None:
    for depth, kept in ((None, 3), (2, 2), (10, 4)):
        sync = sync_of(Rule())
        sync.on_snapshot(snapshot(30, depth))
        sync.on_diff(diff(None, [["8", "1"], ["7", "1"]]))
        assert len(sync.book.bids) == kept


def test_ids_that_are_no_numbers_are_told_apart_where_others_are_counted() -> None:
    tracker = FeedTracker("x", MarketType.PERP_LINEAR, "A", Feed.TRADES, trade_ids=TradeIds.CONSECUTIVE)
    trades = [
        Trade(
            exchange="x",
            market_type=MarketType.PERP_LINEAR,
            instrument="A",
            ts_event_ns=NOW_NS,
            ts_recv_ns=NOW_NS,
            trade_id=trade_id,
            price="1",
            qty="1",
            aggressor=Aggressor.BUY,
        )
        for trade_id in ("05af78ac", "fe01", "05af78ac")
    ]

    assert [tracker.on_event(trade).is_new for trade in trades] == [True, True, False]
