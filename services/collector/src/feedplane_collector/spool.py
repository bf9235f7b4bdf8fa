"""The collector's side of the journal: what is remembered across restarts, what could not be decoded, the closing account."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from feedplane_core.adapter import TradeIds
from feedplane_core.errors import DecodeError, JournalError
from feedplane_core.names import NS_PER_S, Feed, Mode
from feedplane_feedset.config import CollectorConfig
from feedplane_journal.blocks import Refused
from feedplane_journal.schema import FEEDS, INT64, account_of
from feedplane_journal.segments import Budget, JournalWriter, Pressure, Recovery, SegmentMeta, ShedRange, quarantine

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.state import Position

logger = logging.getLogger(__name__)

FINAL_STATUS = "status.json"
_POSITIONS_EVERY_NS = NS_PER_S
_KEPT_COUNTS = ("rejected", "ignored", "journalled", "shed", "gaps", "duplicates")


class Spool:
    """One collector's journal."""

    def __init__(
        self,
        config: CollectorConfig,
        mode: Mode,
        pipeline: Pipeline,
        clock: Callable[[], int],
        timer: Callable[[], int],
    ) -> None:
        self._path = Path(config.journal.directory)
        self._pipeline = pipeline
        self._timer = timer
        self._positions_due_ns = 0
        self._positions: dict[str, Any] | None = None
        self.journal_id = ""
        """Of the journal, however many processes go on in it; known after `open`."""
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
        self.journal_id = recovery.positions.get("journal") or uuid4().hex[:12]
        self._restore_account(recovery.positions.get("accounts", {}), rows)
        if recovery.truncated is not None:
            logger.warning("torn tail cut", extra={"bytes": recovery.truncated.size_bytes})
        if positions:
            logger.info("resumed", extra={"positions": len(positions), "rows_since_checkpoint": sum(rows.values())})

    def append(self, batches: Iterable[tuple[str, pa.RecordBatch]]) -> list[Refused]:
        """Encode for the next commit, with what a successor needs to know as of the last `checkpoint`."""
        positions, self._positions = self._positions, None
        return self._writer.append(batches, positions)

    def is_checkpoint_due(self) -> bool:
        return self._timer() >= self._positions_due_ns

    def checkpoint(self, counted: dict[str, int]) -> None:
        """Note where things stand, now and then; call it when rows are taken out, before new ones come in. `counted` rows are about to be journalled."""
        if not self.is_checkpoint_due():
            return
        self._positions_due_ns = self._timer() + _POSITIONS_EVERY_NS
        self._pipeline.books.settle_account()
        accounts = {
            feed: {
                **{key: getattr(account, key) for key in _KEPT_COUNTS},
                "journalled": account.journalled + counted.get(feed, 0),
            }
            for feed, account in self._pipeline.accounts.items()
        }
        positions = {f"{feed}|{name}": at for (name, feed), at in self._pipeline.positions().items()}
        self._positions = {"positions": positions, "accounts": accounts, "journal": self.journal_id}

    def commit(self) -> list[ShedRange]:
        """Make durable; returns what the size cap has cost. Raises: JournalFull, JournalError."""
        return list(self._writer.commit().shed)

    def discard(self) -> None:
        """Give up what was appended and could not be committed."""
        self._writer.discard()

    def pressure(self) -> Pressure:
        return self._writer.pressure()

    def quarantine(self, error: DecodeError, frame: bytes, recv_ns: int) -> None:
        """Keep a frame that was not decoded, raw."""
        quarantine(self._path, "frame", frame, f"{error} recv_ns={recv_ns}")

    def write_status(self, status: dict[str, Any]) -> None:
        """The collector's last word, for whoever asks after it has gone."""
        target = self._path / FINAL_STATUS
        temporary = target.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(status))
            temporary.replace(target)
        except OSError as e:  # a full disk: the account is in the log
            logger.error("closing account not written", extra={"error": e.strerror, "accounts": status.get("feeds")})

    def close(self) -> None:
        """Let the next process in. What could not be committed by now has been given up and told."""
        try:
            self._writer.close()
        except JournalError as e:
            logger.error("journal not closed cleanly", extra={"error": str(e)})

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
        _follow(positions, read.record_type, read.batch, counts_ids)
    return positions, rows


def _follow(positions: dict[tuple[str, Feed], Position], record_type: str, batch: pa.RecordBatch, ids: bool) -> None:
    """Bring positions up to date with one batch."""
    feed = FEEDS.get(record_type)
    if feed is None:
        return
    for name, at_ns, seq in _places(record_type, batch, ids):
        held = positions.get((name, feed))
        positions[name, feed] = (at_ns, seq) if held is None else _later(record_type, held, at_ns, seq)


def _later(record_type: str, held: Position, at_ns: int, seq: int | None) -> Position:
    """The position after one more row. Books are written in order; a late trade stands behind newer ones, unless its venue began to count anew."""
    held_ns, held_seq = held
    if seq is None or held_seq is None:
        return max(at_ns, held_ns), held_seq if seq is None else seq
    if record_type == "depth" or (record_type == "trade" and seq < held_seq and at_ns > held_ns):
        return max(at_ns, held_ns), seq
    return max(at_ns, held_ns), max(seq, held_seq)


def _rows_by_account(record_type: str, batch: pa.RecordBatch) -> list[tuple[str, int]]:
    if record_type != "book_top":
        return [(account_of(record_type), batch.num_rows)]
    top5 = sum(depth == 5 for depth in batch.column("depth").to_pylist())
    return [(Feed.OB_TOP5, top5), (Feed.OB_TOP20, batch.num_rows - top5)]


def _places(record_type: str, batch: pa.RecordBatch, counts_ids: bool) -> Iterator[tuple[str, int, int | None]]:
    """(instrument, time, sequence) of each row."""
    seqs: list[int | None]
    if record_type == "depth":
        seqs = batch.column("last_seq").to_pylist()
    elif record_type == "trade" and counts_ids:
        seqs = [int(text) if text.isdecimal() else None for text in batch.column("trade_id").to_pylist()]
    elif record_type == "kline":
        seqs = _closing_times(batch)
    else:
        seqs = [None] * batch.num_rows
    received = batch.column("ts_recv").cast(INT64).to_pylist()
    stamped = batch.column("ts_event").cast(INT64).to_pylist()
    for name, at_ns, event_ns, seq in zip(batch.column("instrument").to_pylist(), received, stamped, seqs, strict=True):
        yield name, at_ns if event_ns is None else min(at_ns, event_ns), seq


def _closing_times(batch: pa.RecordBatch) -> list[int | None]:
    opened = batch.column("open_time").cast(INT64).to_pylist()
    intervals, closed = batch.column("interval_s").to_pylist(), batch.column("is_closed").to_pylist()
    return [o + i * NS_PER_S if c else None for o, i, c in zip(opened, intervals, closed, strict=True)]
