"""Group commit: columns become frames, frames become durable, and only then count as accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from feedplane_core.errors import JournalFull
from feedplane_core.names import NS_PER_S
from feedplane_journal.blocks import Refused
from feedplane_journal.columns import Columns, Pending
from feedplane_journal.schema import FEEDS
from feedplane_journal.segments import ShedRange
from feedplane_ops.latency import LatencyHistogram

from feedplane_collector.accounts import GAPS
from feedplane_collector.pipeline import Pipeline
from feedplane_collector.shedding import Pressure
from feedplane_collector.spool import Spool

logger = logging.getLogger(__name__)

BUFFER_CAP_BYTES = 48 << 20
"""Columns that wait for the disk. Above a half of it diffs give way, above three quarters L1, above all of it everything."""
_FULL_RETRY_S = 0.5


class Committer:
    """Owns the way from columns to the journal. One group is in flight at a time; the next one gathers meanwhile."""

    def __init__(
        self, pipeline: Pipeline, columns: Columns, journal: Spool, clock: Callable[[], int], every_ns: int
    ) -> None:
        self._pipeline = pipeline
        self._columns = columns
        self._journal = journal
        self._clock = clock
        self._every_s = every_ns / NS_PER_S
        self.group_ns = LatencyHistogram()
        self.groups = 0
        self.disk_full = False

    async def run(self) -> None:
        """Commit for ever; ends by cancellation, after which `flush` takes what is left."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.flush()

    async def flush(self) -> None:
        """Make durable what has been gathered; a full disk is waited out while the pipeline sheds."""
        self._update_pressure()
        if not self._columns.rows:
            return
        accounts = self._pipeline.accounts
        counted = {feed: account.buffered for feed, account in accounts.items() if account.buffered}
        self._journal.checkpoint(counted)
        pending = self._columns.detach()
        started_ns = self._clock()
        refused = await asyncio.to_thread(self._encode, pending)
        for refusal in refused:
            self._account_refusal(refusal, counted)
        dropped = await self._commit()
        for feed, rows in counted.items():
            accounts[feed].buffered -= rows
            accounts[feed].journalled += rows
        self._account_dropped(dropped)
        self.groups += 1
        self.group_ns.record(self._clock() - started_ns)

    def _encode(self, pending: Pending) -> list[Refused]:
        # In a worker thread: casting and compressing release the interpreter for most of their time.
        taken = pending.build()
        return taken.refused + self._journal.append(taken.batches)

    def _account_refusal(self, refusal: Refused, counted: dict[str, int]) -> None:
        logger.error(
            "rows refused",
            extra={"record_type": refusal.record_type, "rows": refusal.row_count, "detail": refusal.detail},
        )
        feed = FEEDS.get(refusal.record_type, refusal.record_type)
        account = self._pipeline.accounts[feed]
        account.normalised -= refusal.row_count
        account.rejected += refusal.row_count
        account.buffered -= refusal.row_count
        counted[feed] = counted.get(feed, 0) - refusal.row_count

    def _account_dropped(self, dropped: list[ShedRange]) -> None:
        """Unread rows that the size cap has cost: journalled once, shed now. The journal itself has written their gap rows."""
        accounts = self._pipeline.accounts
        for shed in dropped:
            accounts[shed.feed].journalled -= shed.rows
            accounts[shed.feed].shed += shed.rows
            accounts[shed.feed].gaps += 1
        if dropped:
            accounts.produced(GAPS, len(dropped))
            accounts[GAPS].journalled += len(dropped)

    async def _commit(self) -> list[ShedRange]:
        while True:
            try:
                dropped = await asyncio.to_thread(self._journal.commit)
            except JournalFull as e:
                if not self.disk_full:
                    logger.error("journal full, shedding", extra={"error": str(e)})
                self.disk_full = True
                self._pipeline.pressure = Pressure.FULL
                await asyncio.sleep(_FULL_RETRY_S)
                continue
            if self.disk_full:
                logger.warning("journal has room again")
                self.disk_full = False
            return dropped

    def _update_pressure(self) -> None:
        share = self._columns.approx_bytes / BUFFER_CAP_BYTES
        own = (share > 0.5) + (share > 0.75) + (share > 1.0)
        disk = {"none": Pressure.NONE, "high": Pressure.HIGH, "full": Pressure.HIGHER}[str(self._journal.pressure())]
        pressure = Pressure(max(own, disk))
        if pressure < self._pipeline.pressure:
            self._pipeline.emit_shed_gaps()
        if pressure is not self._pipeline.pressure:
            logger.warning("pressure changed", extra={"pressure": pressure.name.lower()})
        self._pipeline.pressure = pressure
