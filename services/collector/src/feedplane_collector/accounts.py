"""The books of the collector: what became of every message, per feed.

    received = normalised + rejected + ignored + held
    normalised = journalled + shed + buffered

`received` counts items as they come off the wire (each event of a frame; a frame without events counts once); every other count is kept where the item's fate is
decided, so that an item that vanishes in between shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from feedplane_core.events import Gap
from feedplane_core.names import Feed

CONTROL = "control"
"""Account of frames that are no data: acknowledgements, pongs, heartbeats."""
UNKNOWN = "unknown"
"""Account of frames that could not be told to be of any feed."""
GAPS = "gaps"
STATUS = "status"
INSTRUMENTS = "instruments"
CHECKPOINTS = "checkpoints"
_REMEMBERED_OPEN_GAPS = 100_000


class Account(msgspec.Struct):
    """Counts of one feed since the process started."""

    received: int = 0
    normalised: int = 0
    rejected: int = 0
    ignored: int = 0
    journalled: int = 0
    shed: int = 0
    buffered: int = 0  # in columns, not yet inside a completed group
    held: int = 0  # diffs that wait for a snapshot
    gaps: int = 0
    duplicates: int = 0  # part of ignored

    def imbalance(self) -> int:
        """0 when the books balance, at any moment."""
        arrived = self.received - self.normalised - self.rejected - self.ignored - self.held
        return arrived or self.normalised - self.journalled - self.shed - self.buffered


class Accounts:
    """All accounts, and the gaps that are open."""

    def __init__(self) -> None:
        self._by_feed: dict[str, Account] = {}
        self._open_gaps: dict[str, str] = {}
        self._open_order: deque[str] = deque()

    def __getitem__(self, feed: str) -> Account:
        account = self._by_feed.get(feed)
        if account is None:
            account = self._by_feed[str(feed)] = Account()
        return account

    def items(self) -> Iterator[tuple[str, Account]]:
        return iter(sorted(self._by_feed.items()))

    def produced(self, feed: str, count: int = 1) -> None:
        """Rows made here rather than received (samples, gaps, status): in the books they come in and are normalised at once."""
        account = self[feed]
        account.received += count
        account.normalised += count

    def on_gap(self, gap: Gap) -> None:
        """Count each hole once, however many rows tell its story."""
        if gap.state == "open":
            self._count(gap)
            self._open_gaps[gap.gap_id] = gap.gap_feed
            self._open_order.append(gap.gap_id)
            if len(self._open_order) > _REMEMBERED_OPEN_GAPS:
                self._open_gaps.pop(self._open_order.popleft(), None)
        elif self._open_gaps.pop(gap.gap_id, None) is None and gap.state == "closed":
            self._count(gap)

    def open_gaps(self, feed: Feed) -> int:
        return sum(1 for of in self._open_gaps.values() if of == feed)

    def _count(self, gap: Gap) -> None:
        self[gap.gap_feed].gaps += 1
