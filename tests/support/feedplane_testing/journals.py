"""Events and journals for tests: deterministic rows, and a writer whose clock the test moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from feedplane_core.events import (
    AdvancedMetric,
    BookSnapshot,
    BookTop,
    Checkpoint,
    DepthDiff,
    DerivedL1,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Status,
    TopOfBook,
    Trade,
)
from feedplane_core.names import NS_PER_S, Aggressor, Feed, Liquidated, MarketType
from feedplane_journal.columns import Columns
from feedplane_journal.files import Files, OsFiles
from feedplane_journal.segments import Budget, FrameRead, JournalReader, JournalWriter, Position, SegmentMeta

EXCHANGE = "binance_futures"
META = SegmentMeta(exchange=EXCHANGE, feedset="majors", shard=0)
T0_NS = 1_790_000_000 * NS_PER_S
AMPLE = Budget(max_bytes=1 << 30, retention_ns=24 * 3600 * NS_PER_S)


class Clock:
    """Integer nanoseconds that move when told."""

    def __init__(self, now_ns: int = T0_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS_PER_S)


class UnsyncedFiles(OsFiles):
    """The operating system's files without waiting for the disk: for tests that are about bytes, not about durability."""

    def sync_data(self, fd: int) -> None:
        return

    def sync_directory(self, path: Path) -> None:
        return


def head(number: int, instrument: str = "BTCUSDT") -> dict[str, Any]:
    """What every event has; times follow `number`."""
    return {
        "exchange": EXCHANGE,
        "market_type": MarketType.PERP_LINEAR,
        "instrument": instrument,
        "ts_event_ns": T0_NS + number * 1_000,
        "ts_recv_ns": T0_NS + number * 1_000 + 7,
    }


def trade(number: int, instrument: str = "BTCUSDT") -> Trade:
    return Trade(
        **head(number, instrument),
        trade_id=str(number),
        price=f"{60_000 + number}.5",
        qty="0.001",
        aggressor=Aggressor.BUY,
    )


def top_of_book(number: int) -> TopOfBook:
    return TopOfBook(**head(number), bid_price="60000.1", bid_qty="2", ask_price="60000.2", ask_qty="3.25", seq=number)


def depth_diff(number: int, levels: int = 4, instrument: str = "BTCUSDT") -> DepthDiff:
    bids = [[f"{60_000 - i}.{number % 10}", f"{i}.25"] for i in range(levels)]
    asks = [[f"{60_001 + i}.{number % 10}", f"{i}.75"] for i in range(levels)]
    first = number * 10
    return DepthDiff(
        **head(number, instrument), bids=bids, asks=asks, first_seq=first, last_seq=first + 9, prev_seq=first - 1
    )


def book_snapshot(number: int, levels: int = 4) -> BookSnapshot:
    diff = depth_diff(number, levels)
    return BookSnapshot(**head(number), bids=diff.bids, asks=diff.asks, last_seq=number * 10)


EVERY_TYPE: list[Event] = [
    trade(1),
    top_of_book(2),
    book_snapshot(3),
    depth_diff(4),
    Liquidation(**head(5), liquidated=Liquidated.LONG, price="1.25", qty="7", order_id="o1"),
    Kline(
        **head(6), open_ns=T0_NS, interval_s=60, open="1", high="3", low="0.5", close="2.25", volume="0",
        trades=None, is_closed=True,
    ),
    MarkPrice(**head(7), mark_price="60000.123456789012345678", index_price=None),
    FundingRate(**head(8), rate="-0.0001", interval_s=28_800, next_funding_ns=T0_NS + 1),
    OpenInterest(**head(9), open_interest="12345678901234567890"),
    BookTop(**head(10), depth=5, bids=[["1", "2"]], asks=[], seq=None),
    DerivedL1(**head(11), bid_price="1", bid_qty="2", ask_price="3", ask_qty="4", seq=9),
    AdvancedMetric(
        **head(12), spread_px="0.1", spread_bps="1.5", microprice="2", imbalance_5="-0.5", imbalance_20="0.25",
        trade_imb_1s="0", seq=None,
    ),
    Checkpoint(**head(13), bids=[["1", "2"], ["0.5", "1"]], asks=[["2", "2"]], seq=5),
    Gap(**head(14), gap_id="g1", gap_feed=Feed.TRADES, from_ns=T0_NS, to_ns=None, from_seq=3, to_seq=None),
    Status(**head(15), status_feed=None, status="connected", detail="c1"),
]  # fmt: skip
"""One event of each type."""


def batches_of(events: Sequence[Event]) -> list[tuple[str, pa.RecordBatch]]:
    """The events as the collector would hand them to the journal."""
    columns = Columns(EXCHANGE)
    for event in events:
        columns.append(event)
    taken = columns.take()
    assert taken.refused == []
    return taken.batches


def open_writer(path: Path, clock: Clock | None = None, files: Files | None = None, **options: Any) -> JournalWriter:
    """An open writer; quick unless `files` says otherwise."""
    settings: dict[str, Any] = {"meta": META, "budget": AMPLE} | options
    writer = JournalWriter(path, clock_ns=clock or Clock(), files=files or UnsyncedFiles(), **settings)
    writer.open()
    return writer


def commit_trades(writer: JournalWriter, first: int, count: int, instrument: str = "BTCUSDT") -> None:
    """One group of `count` trades with ids from `first`."""
    writer.append(batches_of([trade(first + i, instrument) for i in range(count)]))
    writer.commit()


def read_all(path: Path, cursor: Position | None = None, max_bytes: int = 1 << 20) -> list[FrameRead]:
    """Every frame after `cursor`."""
    return list(_frames(path, cursor, max_bytes))


def _frames(path: Path, cursor: Position | None, max_bytes: int) -> Iterator[FrameRead]:
    reader = JournalReader(path)
    while reads := reader.read(cursor, max_bytes):
        yield from reads
        cursor = reads[-1].end
    reader.close()


def trade_ids(frames: Sequence[FrameRead]) -> list[int]:
    """Trade ids in the order read."""
    found: list[int] = []
    for frame in frames:
        if frame.record_type == "trade":
            found += map(int, frame.batch.column("trade_id").to_pylist())
    return found
