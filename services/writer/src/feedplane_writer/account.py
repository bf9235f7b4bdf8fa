"""The books of one journal at one sink: what was read, what became of it, what is still to do.

    journalled = written + quarantined + pending + lost        per feed, at any moment

`written` are records that are settled: stored, or superseded by a newer one of a sampled feed. `lost` are records
that the journal had to drop before
they were written; the collector has declared them as gaps. Totals are kept with the cursor, so they go on after a
crash.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from feedplane_journal.layout import Position

from .feeds import Counts, add_counts


class Account:
    """Counts of records by feed. Thread-safe: a scanner and several workers share it."""

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        saved = saved or {}
        self._lock = threading.Lock()
        self._journalled: Counts = dict(saved.get("journalled", {}))
        self._written: Counts = dict(saved.get("written", {}))
        self._quarantined: Counts = dict(saved.get("quarantined", {}))
        self._lost: Counts = dict(saved.get("lost", {}))
        self._stored: Counts = dict(saved.get("stored", {}))
        at = saved.get("counted_to")
        self._counted_to: Position | None = Position(**at) if at else None
        self.newest_recv_ns = int(saved.get("newest_recv_ns", 0))

    @property
    def counted_to(self) -> Position | None:
        """Everything before it is in `journalled`."""
        with self._lock:
            return self._counted_to

    def observe(self, end: Position, counts: Mapping[str, int]) -> None:
        """A frame that ends at `end` was seen in the journal; counted once, whoever sees it first. Frames come in
        order."""
        with self._lock:
            if self._counted_to is None or end > self._counted_to:
                add_counts(self._journalled, counts)
                self._counted_to = end

    def settle(
        self, written: Mapping[str, int], quarantined: Mapping[str, int], stored: Mapping[str, int], newest_recv_ns: int
    ) -> None:
        """Records by feed that are done with, rows by table that were stored."""
        with self._lock:
            add_counts(self._written, written)
            add_counts(self._quarantined, quarantined)
            add_counts(self._stored, stored)
            self.newest_recv_ns = max(self.newest_recv_ns, newest_recv_ns)

    def write_off(self) -> Counts:
        """Call when nothing is left to read after the journal dropped unread segments: what is still pending is
        lost. Returns it."""
        with self._lock:
            lost = {feed: n for feed, n in self._pending().items() if n > 0}
            add_counts(self._lost, lost)
            return lost

    def pending(self) -> Counts:
        """Records journalled and not yet settled."""
        with self._lock:
            return self._pending()

    def saved(self) -> dict[str, Any]:
        """What a new `Account` goes on from."""
        with self._lock:
            at = self._counted_to
            return {
                "journalled": dict(self._journalled),
                "written": dict(self._written),
                "quarantined": dict(self._quarantined),
                "lost": dict(self._lost),
                "stored": dict(self._stored),
                "counted_to": None if at is None else {"segment": at.segment, "offset": at.offset, "uuid": at.uuid},
                "newest_recv_ns": self.newest_recv_ns,
            }

    def stored(self) -> Counts:
        """Rows by table."""
        with self._lock:
            return dict(self._stored)

    def rows(self) -> dict[str, dict[str, int]]:
        """By feed: `journalled`, `written`, `quarantined`, `lost`, `pending`."""
        with self._lock:
            pending = self._pending()
            return {
                feed: {
                    "journalled": n,
                    "written": self._written.get(feed, 0),
                    "quarantined": self._quarantined.get(feed, 0),
                    "lost": self._lost.get(feed, 0),
                    "pending": pending[feed],
                }
                for feed, n in sorted(self._journalled.items())
            }

    def _pending(self) -> Counts:
        done = (self._written, self._quarantined, self._lost)
        return {feed: n - sum(part.get(feed, 0) for part in done) for feed, n in self._journalled.items()}
