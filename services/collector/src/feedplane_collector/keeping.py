"""Where events end that are to be kept: columns, unless the way to the disk is too full; every fate is counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from feedplane_core.events import Checkpoint, Event, Gap, Status
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed
from feedplane_core.succession import WHOLE_SHARD

from feedplane_collector.accounts import CHECKPOINTS, GAPS, INSTRUMENTS, STATUS, Account, Accounts
from feedplane_collector.shedding import Pressure, ShedLedger, sheds


class ColumnSink(Protocol):
    """Where kept events go: `feedplane_journal.columns.Columns`."""

    def append(self, event: Event, last_price: str | None = None, last_qty: str | None = None, /) -> None: ...

    def append_instrument(self, instrument: Instrument, ts_recv_ns: int) -> None: ...


class Keeper:
    """The one door to the columns. `pressure` is set by whoever watches the disk."""

    def __init__(self, columns: ColumnSink) -> None:
        self.accounts = Accounts()
        self.shed = ShedLedger()
        self.pressure = Pressure.NONE
        self._columns = columns
        self._append = columns.append

    def keep(self, instrument: Instrument, event: Event, feed: Feed, account: Account) -> None:
        account.normalised += 1
        if self.pressure and sheds(self.pressure, feed):
            self._shed(instrument, event, feed, account)
            return
        account.buffered += 1
        self._append(event)

    def keep_quote(
        self, instrument: Instrument, event: Event, account: Account, last_price: str | None, last_qty: str | None
    ) -> None:
        """As `keep`, with the last trade that a row of `l1` carries."""
        account.normalised += 1
        if self.pressure and sheds(self.pressure, Feed.L1):
            self._shed(instrument, event, Feed.L1, account)
            return
        account.buffered += 1
        self._append(event, last_price, last_qty)

    def _shed(self, instrument: Instrument, event: Event, feed: Feed, account: Account) -> None:
        account.shed += 1
        self.shed.add(instrument, feed, event)

    def keep_made(self, instrument: Instrument, event: Event, feed: Feed) -> None:
        """A sample that the collector made."""
        account = self.accounts[feed]
        account.received += 1
        self.keep(instrument, event, feed, account)

    def checkpoint(self, instrument: Instrument, event: Checkpoint) -> None:
        """A whole book as it stands; it gives way with the diffs, but no venue sent it."""
        account = self.accounts[CHECKPOINTS]
        account.received += 1
        account.normalised += 1
        if self.pressure and sheds(self.pressure, Feed.OB_DIFFS):
            account.shed += 1  # no hole: the diffs say the same
            return
        account.buffered += 1
        self._append(event)

    def gaps(self, gaps: Iterable[Gap]) -> None:
        """Holes are never shed: they are what tells of shedding."""
        for gap in gaps:
            self.accounts.on_gap(gap)
            self.accounts.produced(GAPS)
            self.accounts[GAPS].buffered += 1
            self._append(gap)

    def shed_gaps(self) -> None:
        """Close the ranges shed so far into gap rows."""
        self.gaps(self.shed.take())

    def instrument(self, instrument: Instrument, now_ns: int) -> None:
        """Metadata as it is known now."""
        self.accounts.produced(INSTRUMENTS)
        self.accounts[INSTRUMENTS].buffered += 1
        self._columns.append_instrument(instrument, now_ns)

    def status(self, instrument: Instrument, feed: Feed | None, status: str, now_ns: int, detail: str = "") -> None:
        """Say something of a feed (or of all), as a row."""
        self._say(
            Status(
                exchange=instrument.exchange,
                market_type=instrument.market_type,
                instrument=instrument.instrument,
                ts_event_ns=None,
                ts_recv_ns=now_ns,
                status_feed=feed,
                status=status,
                detail=detail,
            )
        )

    def shard_status(self, any_of: Instrument, status: str, now_ns: int, detail: str) -> None:
        """Say something of the whole shard, as a row of no instrument; `any_of` lends its exchange and market."""
        self._say(
            Status(
                exchange=any_of.exchange,
                market_type=any_of.market_type,
                instrument=WHOLE_SHARD,
                ts_event_ns=None,
                ts_recv_ns=now_ns,
                status_feed=None,
                status=status,
                detail=detail,
            )
        )

    def _say(self, row: Status) -> None:
        self.accounts.produced(STATUS)
        self.accounts[STATUS].buffered += 1
        self._append(row)
