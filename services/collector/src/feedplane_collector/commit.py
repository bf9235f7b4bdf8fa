"""Group commit: columns become frames, frames become durable, and only then count as accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from feedplane_core.errors import JournalFull
from feedplane_core.names import NS_PER_S
from feedplane_journal.blocks import Pending, Refused
from feedplane_journal.columns import Columns
from feedplane_journal.schema import account_of
from feedplane_journal.segments import ShedRange
from feedplane_ops.latency import LatencyHistogram

from feedplane_collector.accounts import GAPS
from feedplane_collector.keeping import Keeper
from feedplane_collector.shedding import Pressure
from feedplane_collector.spool import Spool

logger = logging.getLogger(__name__)

BUFFER_CAP_BYTES = 24 << 20
"""Columns that wait for the disk, as Arrow will hold them (Python holds them in about four times as much). Above a half of it diffs give way, above three quarters
L1, above all of it everything."""
_FULL_RETRY_S = 0.5
_LAST_TRIES_S = 0.5
"""At the end a disk that is full is given so long; what then is not accepted lies behind the last position, and a successor's gap row covers it."""


class Committer:
    """Owns the way from columns to the journal. One group is in flight at a time; the next one gathers meanwhile.

    `clock` measures: it must not be stepped.
    """

    def __init__(self, keeper: Keeper, columns: Columns, spool: Spool, clock: Callable[[], int], every_ns: int) -> None:
        self._keeper = keeper
        self._columns = columns
        self._spool = spool
        self._clock = clock
        self._every_s = every_ns / NS_PER_S
        self._in_flight_bytes = 0
        self._ends_at_ns: int | None = None
        self.group_ns = LatencyHistogram()
        self.groups = 0
        self.disk_full = False

    async def run(self) -> None:
        """Commit until `finish` is called. Raises: JournalError when the disk fails."""
        while self._ends_at_ns is None:
            await asyncio.sleep(self._every_s)
            await self.flush()

    def finish(self) -> None:
        """End `run` after the group that is in flight: cancelling it would leave the group's fate unknown."""
        self._ends_at_ns = self._clock() + int(_LAST_TRIES_S * NS_PER_S)

    async def flush(self) -> None:
        """Make durable what has been gathered; a full disk is waited out while the pipeline sheds."""
        self.watch_pressure()
        if not self._columns.rows:
            return
        if self._spool.is_checkpoint_due():
            self._keeper.shed_gaps()  # positions are past what was shed: its gap rows must not come later than they do
        accounts = self._keeper.accounts
        counted = {feed: account.buffered for feed, account in accounts.items() if account.buffered}
        self._spool.checkpoint(counted)
        self._in_flight_bytes = self._columns.approx_bytes
        pending = self._columns.detach()
        started_ns = self._clock()
        refused = await asyncio.to_thread(self._encode, pending)
        for refusal in refused:
            self._account_refusal(refusal, counted)
        try:
            dropped = await self._commit()
        except JournalFull:
            self._account_given_up(counted)
            return
        finally:
            self._in_flight_bytes = 0
        for feed, rows in counted.items():
            accounts[feed].buffered -= rows
            accounts[feed].journalled += rows
        self._account_dropped(dropped)
        self.groups += 1
        self.group_ns.record(self._clock() - started_ns)

    def watch_pressure(self) -> None:
        """Shed as the way to the disk fills. Call it often: while a group is stuck in the disk, `flush` cannot."""
        share = (self._columns.approx_bytes + self._in_flight_bytes) / BUFFER_CAP_BYTES
        own = (share > 0.5) + (share > 0.75) + (share > 1.0)
        disk = {"none": Pressure.NONE, "high": Pressure.HIGH, "full": Pressure.HIGHER}[str(self._spool.pressure())]
        pressure = Pressure.FULL if self.disk_full else Pressure(max(own, disk))
        keeper = self._keeper
        if pressure is keeper.pressure:
            return
        if pressure < keeper.pressure:
            keeper.shed_gaps()
        logger.warning("pressure changed", extra={"pressure": pressure.name.lower()})
        keeper.pressure = pressure

    def _encode(self, pending: Pending) -> list[Refused]:
        # In a worker thread: casting and compressing release the interpreter for most of their time.
        taken = pending.build()
        return taken.refused + self._spool.append(taken.batches)

    async def _commit(self) -> list[ShedRange]:
        while True:
            try:
                dropped = await asyncio.to_thread(self._spool.commit)
            except JournalFull as e:
                if not self.disk_full:
                    logger.error("journal full, shedding", extra={"error": str(e)})
                self.disk_full = True
                self.watch_pressure()
                if self._ends_at_ns is not None and self._clock() >= self._ends_at_ns:
                    raise
                await asyncio.sleep(_FULL_RETRY_S)
                continue
            if self.disk_full:
                logger.warning("journal has room again")
                self.disk_full = False
            return dropped

    def _account_given_up(self, counted: dict[str, int]) -> None:
        """The end, with a full disk."""
        logger.error("rows given up at the end", extra={"rows": sum(counted.values())})
        self._spool.discard()
        for feed, rows in counted.items():
            self._keeper.accounts[feed].buffered -= rows
            self._keeper.accounts[feed].shed += rows

    def _account_refusal(self, refusal: Refused, counted: dict[str, int]) -> None:
        logger.error(
            "rows refused",
            extra={"record_type": refusal.record_type, "rows": refusal.row_count, "detail": refusal.detail},
        )
        feed = account_of(refusal.record_type)
        account = self._keeper.accounts[feed]
        account.normalised -= refusal.row_count
        account.rejected += refusal.row_count
        account.buffered -= refusal.row_count
        counted[feed] = counted.get(feed, 0) - refusal.row_count

    def _account_dropped(self, dropped: list[ShedRange]) -> None:
        """Unread rows that the size cap has cost: journalled once, shed now. The journal itself has written their gap rows."""
        accounts = self._keeper.accounts
        for shed in dropped:
            accounts[shed.feed].journalled -= shed.rows
            accounts[shed.feed].shed += shed.rows
            accounts[shed.feed].gaps += 1
        if dropped:
            accounts.produced(GAPS, len(dropped))
            accounts[GAPS].journalled += len(dropped)
