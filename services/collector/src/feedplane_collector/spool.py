"""The collector's side of the journal: what is remembered across restarts, what could not be decoded, the closing account."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from feedplane_core.adapter import TradeIds
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_S, Feed, Mode
from feedplane_feedset.config import CollectorConfig
from feedplane_journal.blocks import Refused
from feedplane_journal.schema import FEEDS, INT64
from feedplane_journal.segments import Budget, JournalWriter, Pressure, Recovery, SegmentMeta, ShedRange, quarantine

from feedplane_collector.accounts import GAPS, INSTRUMENTS, STATUS
from feedplane_collector.pipeline import Pipeline
from feedplane_collector.state import Position

logger = logging.getLogger(__name__)

FINAL_STATUS = "status.json"
_POSITIONS_EVERY_NS = NS_PER_S
_PSEUDO = {"gap": GAPS, "status": STATUS, "instrument": INSTRUMENTS}
_KEPT_COUNTS = ("rejected", "ignored", "journalled", "shed", "gaps", "duplicates")


class Spool:
    """One collector's journal."""

    def __init__(self, config: CollectorConfig, mode: Mode, pipeline: Pipeline, clock: Callable[[], int]) -> None:
        self._path = Path(config.journal.directory)
        self._pipeline = pipeline
        self._clock = clock
        self._positions_due_ns = 0
        self._positions: dict[str, Any] | None = None
        self._writer = JournalWriter(
            self._path,
            meta=SegmentMeta(exchange=config.exchange, mode=mode, feedset=config.feedset, shard=config.shard),
            budget=Budget(config.journal.max_bytes, config.journal.retention_ns),
            clock_ns=clock,
            sinks=config.journal.sinks,
        )

    def open(self) -> None:
        """Lock, recover, and hand the predecessor's positions and account to the pipeline. Raises: JournalError."""
        recovery = self._writer.open()
        counts_ids = self._pipeline.adapter.offers.trade_ids is TradeIds.CONSECUTIVE
        positions, rows = recovered(recovery, counts_ids=counts_ids)
        self._pipeline.resume_from(positions)
        self._restore_account(recovery.positions.get("accounts", {}), rows)
        if recovery.truncated is not None:
            logger.warning("torn tail cut", extra={"bytes": recovery.truncated.size_bytes})
        if positions:
            logger.info("resumed", extra={"positions": len(positions), "rows_since_checkpoint": sum(rows.values())})

    def append(self, batches: Iterable[tuple[str, pa.RecordBatch]]) -> list[Refused]:
        """Encode for the next commit, with what a successor needs to know as of the last `checkpoint`."""
        positions, self._positions = self._positions, None
        return self._writer.append(batches, positions)

    def checkpoint(self, counted: dict[str, int]) -> None:
        """Note where things stand, now and then; call it when rows are taken out, before new ones come in. `counted` rows are about to be journalled."""
        now_ns = self._clock()
        if now_ns < self._positions_due_ns:
            return
        self._positions_due_ns = now_ns + _POSITIONS_EVERY_NS
        self._pipeline.settle_book_account()
        accounts = {
            feed: {
                **{key: getattr(account, key) for key in _KEPT_COUNTS},
                "journalled": account.journalled + counted.get(feed, 0),
            }
            for feed, account in self._pipeline.accounts.items()
        }
        positions = {f"{feed}|{name}": at for (name, feed), at in self._pipeline.positions().items()}
        self._positions = {"positions": positions, "accounts": accounts}

    def commit(self) -> list[ShedRange]:
        """Make durable; returns what the size cap has cost. Raises: JournalFull, JournalError."""
        return list(self._writer.commit().shed)

    def pressure(self) -> Pressure:
        return self._writer.pressure()

    def quarantine(self, error: DecodeError, frame: bytes, recv_ns: int) -> None:
        """Keep a frame that was not decoded, raw."""
        quarantine(self._path, "frame", frame, f"{error} recv_ns={recv_ns}")

    def write_status(self, status: dict[str, Any]) -> None:
        """The collector's last word, for whoever asks after it has gone."""
        target = self._path / FINAL_STATUS
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(status))
        temporary.replace(target)

    def close(self) -> None:
        self._writer.close()

    def _restore_account(self, kept: dict[str, dict[str, int]], rows: dict[str, int]) -> None:
        """Go on counting where the journal ends: what was counted but never accepted is lost with the process, and a gap row says so."""
        for feed in kept.keys() | rows.keys():
            account = self._pipeline.accounts[feed]
            for key in _KEPT_COUNTS:
                setattr(account, key, kept.get(feed, {}).get(key, 0))
            account.journalled += rows.get(feed, 0)
            account.normalised = account.journalled + account.shed
            account.received = account.normalised + account.rejected + account.ignored


def recovered(recovery: Recovery, *, counts_ids: bool) -> tuple[dict[tuple[str, Feed], Position], dict[str, int]]:
    """Where each feed of each instrument ended, and the rows per account since the positions were noted."""
    positions: dict[tuple[str, Feed], Position] = {}
    for key, (at_ns, seq) in recovery.positions.get("positions", {}).items():
        feed, _, name = key.partition("|")
        positions[name, Feed(feed)] = (at_ns, seq)
    rows: dict[str, int] = {}
    for read in recovery.frames():
        for account, count in _rows_by_account(read.record_type, read.batch):
            rows[account] = rows.get(account, 0) + count
        feed_of_type = FEEDS.get(read.record_type)
        if feed_of_type is not None and read.record_type != "checkpoint":
            for name, at_ns, seq in _last_rows(read.record_type, read.batch, counts_ids):
                held = positions.get((name, feed_of_type))
                if held is None or at_ns >= held[0]:
                    positions[name, feed_of_type] = (at_ns, seq)
    return positions, rows


def _rows_by_account(record_type: str, batch: pa.RecordBatch) -> list[tuple[str, int]]:
    if record_type != "book_top":
        return [(FEEDS.get(record_type) or _PSEUDO[record_type], batch.num_rows)]
    top5 = sum(depth == 5 for depth in batch.column("depth").to_pylist())
    return [(Feed.OB_TOP5, top5), (Feed.OB_TOP20, batch.num_rows - top5)]


def _last_rows(record_type: str, batch: pa.RecordBatch, counts_ids: bool) -> Iterator[tuple[str, int, int | None]]:
    """(instrument, time, sequence) of the last row of each instrument in the batch."""
    seqs: list[int | None]
    if record_type == "depth":
        seqs = batch.column("last_seq").to_pylist()
    elif record_type == "trade" and counts_ids:
        seqs = [int(text) for text in batch.column("trade_id").to_pylist()]
    else:
        seqs = [None] * batch.num_rows
    received = batch.column("ts_recv").cast(INT64).to_pylist()
    stamped = batch.column("ts_event").cast(INT64).to_pylist()
    last: dict[str, tuple[int, int | None]] = {}
    for name, at_ns, event_ns, seq in zip(batch.column("instrument").to_pylist(), received, stamped, seqs, strict=True):
        last[name] = (at_ns if event_ns is None else min(at_ns, event_ns), seq)
    for name, (at_ns, seq) in last.items():
        yield name, at_ns, seq
