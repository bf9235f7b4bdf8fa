"""What a round of frames becomes: the same slices every time, one partition each, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from feedplane_core.events import (
    AdvancedMetric,
    BookSnapshot,
    BookTop,
    Checkpoint,
    DepthDiff,
    DerivedL1,
    Event,
    Gap,
    Kline,
    Liquidation,
    MarkPrice,
    Status,
    Trade,
    feed_of,
)
from feedplane_core.identity import identity_of
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Liquidated
from feedplane_journal.layout import Position
from feedplane_journal.reader import FrameRead
from feedplane_testing.journals import T0_NS, batches_of, book_snapshot, depth_diff, head, top_of_book, trade
from feedplane_writer.clickhouse_sink.cut import Cut, Handover, Limits, Slice, cut, decoded, json_rows, token
from feedplane_writer.clickhouse_sink.shards import shard_of

DAY_NS = 86_400 * NS_PER_S
LIMITS = Limits(max_rows=10_000, l1_interval_ns=200 * NS_PER_MS, max_event_age_ns=400 * DAY_NS, compression="none")
LEVELS = [[f"{100 - i}", f"{i + 1}"] for i in range(20)]


def frames_of(*groups: Sequence[Event]) -> list[FrameRead]:
    """One frame per record type and group, as a journal would hold them."""
    frames: list[FrameRead] = []
    for group in groups:
        for record_type, batch in batches_of(group):
            n = len(frames)
            start, end = Position(1, n * 100, "u"), Position(1, n * 100 + 100, "u")
            frames.append(FrameRead(record_type, batch, start, end, batch.num_rows, n))
    return frames


def cut_of(*events: Event, **limits: Any) -> Cut:
    return cut(frames_of(events), 0, 1, msgspec.structs.replace(LIMITS, **limits))


def rows_of(made: Cut, table: str) -> list[dict[str, Any]]:
    return [row for piece in made.slices if piece.table == table for row in json_rows(decoded(piece.body))]


def test_the_same_frames_give_the_same_bytes() -> None:
    events = [*(trade(i) for i in range(50)), *(depth_diff(i) for i in range(20)), *(top_of_book(i) for i in range(30))]
    first, second = cut_of(*events, compression="lz4"), cut_of(*events, compression="lz4")

    assert [(s.name, s.rows, s.crc, s.body) for s in first.slices] == [
        (s.name, s.rows, s.crc, s.body) for s in second.slices
    ]


def test_a_slice_holds_at_most_the_rows_allowed_and_all_together_hold_everything() -> None:
    made = cut(frames_of(*([trade(i)] for i in range(25))), 0, 1, msgspec.structs.replace(LIMITS, max_rows=10))

    assert [(s.piece, s.rows) for s in made.slices] == [(0, 10), (1, 10), (2, 5)]
    assert [row["trade_id"] for row in rows_of(made, "trades")] == [str(i) for i in range(25)]


def test_an_insert_never_spans_two_partitions() -> None:
    days = [msgspec.structs.replace(trade(i), ts_event_ns=T0_NS + i % 3 * DAY_NS - 2 * DAY_NS) for i in range(9)]
    made = cut_of(*days)

    assert [s.rows for s in made.slices] == [3, 3, 3]
    assert len({s.name for s in made.slices}) == 3
    for piece in made.slices:
        assert len({row["ts_event"] // DAY_NS for row in json_rows(decoded(piece.body))}) == 1


def test_months_and_days_are_named_in_utc() -> None:
    # 2026-11-30T23:59:59.999999999Z and one nanosecond later
    before, after = 1_796_083_199_999_999_999, 1_796_083_200_000_000_000
    for at, day, month in ((before, "20261130", "202611"), (after, "20261201", "202612")):
        times = {"ts_event_ns": at, "ts_recv_ns": at}
        made = cut_of(
            msgspec.structs.replace(trade(1), **times),
            Liquidation(**{**head(1), **times}, liquidated=Liquidated.LONG, price="1", qty="1"),
        )
        assert [(s.table, s.partition) for s in made.slices] == [("trades", day), ("liquidations", month)]


def test_a_missing_venue_time_is_our_time_and_says_so() -> None:
    (row,) = rows_of(cut_of(msgspec.structs.replace(trade(1), ts_event_ns=None)), "trades")

    assert (row["ts_event"], row["ts_event_is_recv"]) == (row["ts_recv"], True)
    assert rows_of(cut_of(trade(1)), "trades")[0]["ts_event_is_recv"] is False


def test_numbers_arrive_exact() -> None:
    big, small = "12345678901234567890.123456789012345678", "0.000000000000000001"
    (row,) = rows_of(cut_of(msgspec.structs.replace(trade(1), price=big, qty=small)), "trades")

    assert (Decimal(row["price"]), Decimal(row["qty"])) == (Decimal(big), Decimal(small))


@pytest.mark.parametrize(
    "event",
    [
        trade(3),
        msgspec.structs.replace(trade(3), trade_id=""),
        depth_diff(3),
        msgspec.structs.replace(depth_diff(3), first_seq=None),
        msgspec.structs.replace(depth_diff(3), first_seq=None, last_seq=None, prev_seq=None),
        book_snapshot(3),
        Liquidation(**head(3), liquidated=Liquidated.SHORT, price="1", qty="2"),
        Liquidation(**head(3), liquidated=Liquidated.SHORT, price="1", qty="2", order_id="o7"),
    ],
)
def test_the_stored_identity_is_the_events(event: Event) -> None:
    table = {Trade: "trades", Liquidation: "liquidations"}.get(type(event), "ob_diffs")

    assert {row["identity"] for row in rows_of(cut_of(event), table)} == {identity_of(event)}


def test_l1_keeps_the_last_of_each_bucket_and_counts_all_as_read() -> None:
    bucket = 200 * NS_PER_MS
    quotes = [
        DerivedL1(
            **{**head(0, instrument), "ts_event_ns": T0_NS + at, "ts_recv_ns": T0_NS + at},
            bid_price=price,
            bid_qty="1",
            ask_price="9",
            ask_qty="1",
            seq=None,
        )
        for instrument, at, price in (
            ("A", 0, "1"),
            ("B", 1, "2"),
            ("A", bucket - 1, "3"),
            ("A", bucket, "4"),
            ("B", bucket - 2, "5"),
        )
    ]
    made = cut_of(*quotes)

    kept = [
        (row["instrument"], row["bid_px"][:1], (row["bucket"] - T0_NS) // bucket) for row in rows_of(made, "l1_200ms")
    ]
    assert kept == [("A", "3", 0), ("A", "4", 1), ("B", "5", 0)]
    assert made.read == {"l1": 5}


def test_one_symbol_of_two_markets_does_not_supersede_itself() -> None:
    spot = msgspec.structs.replace(top_of_book(1), market_type="spot")

    assert len(rows_of(cut_of(spot, top_of_book(1)), "l1_200ms")) == 2


def test_depth_becomes_one_row_per_level_in_order() -> None:
    diff = DepthDiff(**head(1), bids=[["10", "1"], ["9", "0"]], asks=[["11", "2"]], first_seq=5, last_seq=6, prev_seq=4)
    rows = rows_of(cut_of(diff), "ob_diffs")

    assert [(r["side"], r["level"], r["price"][:2], r["qty"][:1]) for r in rows] == [
        ("B", 1, "10", "1"),
        ("B", 2, "9.", "0"),
        ("A", 1, "11", "2"),
    ]
    assert {(r["first_seq"], r["last_seq"], r["prev_seq"], r["is_snapshot"]) for r in rows} == {(5, 6, 4, False)}


def test_a_message_without_levels_keeps_its_place_in_the_chain() -> None:
    silent = DepthDiff(**head(1), bids=[], asks=[], first_seq=5, last_seq=6, prev_seq=4)
    (row,) = rows_of(cut_of(silent), "ob_diffs")

    assert (row["level"], Decimal(row["price"]), Decimal(row["qty"]), row["last_seq"]) == (0, 0, 0, 6)


def test_a_book_of_more_levels_than_their_number_holds_keeps_every_price() -> None:
    levels = [[str(100_000 - i), "1"] for i in range(66_000)]
    rows = rows_of(cut_of(BookSnapshot(**head(1), bids=levels, asks=[], last_seq=1), max_rows=100_000), "ob_diffs")

    assert len({row["price"] for row in rows}) == 66_000
    assert max(row["level"] for row in rows) == 65_535


def test_rows_of_one_frame_and_of_several_are_ordered_as_they_came() -> None:
    made = cut(frames_of([depth_diff(1, 1), depth_diff(2, 1)], [depth_diff(3, 1)]), 0, 1, LIMITS)
    order = {row["last_seq"]: row["ord"] for row in rows_of(made, "ob_diffs")}

    assert sorted(order, key=lambda seq: order[seq]) == [19, 29, 39]


def test_tops_of_a_short_book_are_filled_with_zero() -> None:
    made = cut_of(
        BookTop(**head(1), depth=5, bids=LEVELS[:5], asks=LEVELS[:2], seq=7),
        BookTop(**head(2), depth=20, bids=LEVELS, asks=[], seq=8),
        BookTop(**head(3), depth=5, bids=[], asks=LEVELS[:5], seq=9),
    )
    five, second = rows_of(made, "ob_top5")
    (twenty,) = rows_of(made, "ob_top20")

    assert [Decimal(five[f"b{i}_px"]) for i in range(1, 6)] == [100, 99, 98, 97, 96]
    assert [Decimal(five[f"a{i}_sz"]) for i in range(1, 6)] == [1, 2, 0, 0, 0]
    assert (Decimal(second["b1_px"]), Decimal(second["a5_px"])) == (0, 96)
    assert (Decimal(twenty["b20_px"]), Decimal(twenty["a1_px"]), twenty["seq"]) == (81, 0, 8)
    assert made.read == {"ob_top5": 2, "ob_top20": 1}


def test_only_closed_candles_are_stored_and_open_ones_count_as_read() -> None:
    candle = Kline(
        **head(1),
        open_ns=T0_NS,
        interval_s=3600,
        open="1",
        high="2",
        low="1",
        close="2",
        volume="3",
        trades=None,
        is_closed=True,
    )
    other = msgspec.structs.replace(candle, interval_s=90, trades=5)
    made = cut_of(msgspec.structs.replace(candle, is_closed=False), candle, other)
    hour, odd = rows_of(made, "klines_agg")

    assert (hour["interval"], hour["trades"], hour["trades_known"]) == ("1h", 0, False)
    assert hour["close_time"] - hour["open_time"] == 3600 * NS_PER_S
    assert (odd["interval"], odd["trades"], odd["trades_known"]) == ("90s", 5, True)
    assert made.read == {"klines": 3}


def test_a_long_dies_by_a_sell() -> None:
    died = [Liquidation(**head(i), liquidated=side, price="1", qty="1") for i, side in enumerate(Liquidated)]

    assert [(r["liquidated"], r["side"]) for r in rows_of(cut_of(*died), "liquidations")] == [
        ("LONG", "SELL"),
        ("SHORT", "BUY"),
    ]


def test_a_gaps_later_state_has_the_greater_version_whatever_the_clock() -> None:
    def gap(state: str, at_ns: int) -> Gap:
        times = {"ts_event_ns": None, "ts_recv_ns": at_ns}
        return Gap(**{**head(1), **times}, gap_id="g", gap_feed=Feed.TRADES, from_ns=T0_NS, to_ns=None, state=state)

    gaps = [gap("open", T0_NS + 10), gap("closed", T0_NS + 5), gap("repaired", T0_NS)]

    version = {row["state"]: row["version"] for row in rows_of(cut_of(*gaps), "gaps")}
    assert version["open"] < version["closed"] < version["repaired"]


@pytest.mark.parametrize(
    ("event_ns", "recv_ns", "reason"),
    [
        (0, T0_NS, "timestamp"),
        (-5, T0_NS, "timestamp"),
        (9_223_372_036_854_775_807, T0_NS, "timestamp"),
        (T0_NS + 2 * DAY_NS, T0_NS, "timestamp"),
        (T0_NS, 0, "timestamp"),
        (T0_NS - 401 * DAY_NS, T0_NS, "too_old"),
    ],
)
def test_times_that_cannot_be_are_kept_apart_and_the_rest_lands(event_ns: int, recv_ns: int, reason: str) -> None:
    wrong = msgspec.structs.replace(trade(1), ts_event_ns=event_ns, ts_recv_ns=recv_ns)
    made = cut_of(trade(0), wrong, trade(2))

    assert [row["trade_id"] for row in rows_of(made, "trades")] == ["0", "2"]
    ((feed, told, row),) = made.refused
    assert (feed, told, row["trade_id"], row["price"]) == ("trades", reason, "1", "60001.500000000000000000")
    assert made.read == {"trades": 3}
    assert [piece.records.to_pylist() for piece in made.slices] == [[0, 2]]


def test_a_candle_of_an_impossible_day_opens_no_partition() -> None:
    candle = Kline(
        **head(1),
        open_ns=0,
        interval_s=60,
        open="1",
        high="1",
        low="1",
        close="1",
        volume="1",
        trades=1,
        is_closed=True,
    )

    made = cut_of(candle)
    assert made.slices == []
    assert [(r.feed, r.reason) for r in made.refused] == [("klines", "timestamp")]


def test_every_row_knows_its_record() -> None:
    made = cut_of(depth_diff(1, 2), depth_diff(2, 1))
    (piece,) = made.slices

    told = sorted(zip(piece.records.to_pylist(), (r["last_seq"] for r in json_rows(decoded(piece.body))), strict=True))
    assert told == [(0, 19)] * 4 + [(1, 29)] * 2


def test_shards_share_the_rows_out_completely() -> None:
    events = [trade(i, f"S{i % 7}") for i in range(70)]
    shares = [cut(frames_of(events), shard, 3, LIMITS) for shard in range(3)]

    assert sum(share.read.get("trades", 0) for share in shares) == 70
    for shard, share in enumerate(shares):
        for row in rows_of(share, "trades"):
            assert shard_of("binance_futures", row["instrument"], 3) == shard


def test_a_shard_is_the_same_for_ever() -> None:
    """Changing the hash would send an instrument's rows to another shard, where old tokens and identities are not known."""
    assert [shard_of("binance_futures", name, 4) for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT")] == [3, 2, 2]


def test_another_layout_takes_over_without_a_row_twice_or_lost() -> None:
    """Old shard 0 had come to the second frame, old shard 1 to none."""
    names = [f"S{i}" for i in range(8)]
    frames = frames_of(
        [trade(i, name) for i, name in enumerate(names)], [trade(10 + i, name) for i, name in enumerate(names)]
    )
    before = Handover(positions=[frames[0].end, frames[0].start])
    taken = [row["trade_id"] for shard in range(3) for row in rows_of(cut(frames, shard, 3, LIMITS, before), "trades")]

    done = {str(i) for i, name in enumerate(names) if shard_of("binance_futures", name, 2) == 0}
    assert 0 < len(done) < 8
    assert sorted(taken, key=int) == [t for t in map(str, [*range(8), *range(10, 18)]) if t not in done]


def test_records_are_counted_under_the_feed_of_their_event() -> None:
    metric = AdvancedMetric(
        **head(1),
        spread_px="1",
        spread_bps="1",
        microprice="1",
        imbalance_5="0",
        imbalance_20="0",
        trade_imb_1s="0",
        seq=None,
    )
    events: list[Event] = [
        trade(1),
        top_of_book(1),
        depth_diff(1),
        book_snapshot(1),
        BookTop(**head(1), depth=5, bids=[], asks=[], seq=None),
        BookTop(**head(1), depth=20, bids=[], asks=[], seq=None),
        MarkPrice(**head(1), mark_price="1", index_price=None),
        metric,
    ]
    for event in events:
        assert cut_of(event).read == {feed_of(event).value: 1}
    assert cut_of(Checkpoint(**head(1), bids=LEVELS, asks=LEVELS, seq=None)).read == {"checkpoints": 1}
    gap = Gap(**head(1), gap_id="g", gap_feed=Feed.TRADES, from_ns=1, to_ns=None)
    assert cut_of(gap).read == {"gaps": 1}
    assert cut_of(Status(**head(1), status_feed=None, status="synced")).read == {"status": 1}


def test_a_token_names_the_place_in_the_journal_and_nothing_of_the_process() -> None:
    assert token("9f", 64, 900, "1of2", "trades:20261120:0", "3") == "9f:64-900:1of2:trades:20261120:0:v3"


def test_names_of_slices_are_unique_in_a_round() -> None:
    events: list[Event] = [trade(i) for i in range(5)] + [depth_diff(i) for i in range(5)]
    made = cut_of(*events, max_rows=2)
    names: list[str] = [piece.name for piece in made.slices if isinstance(piece, Slice)]

    assert len(names) == len(set(names)) > 5
