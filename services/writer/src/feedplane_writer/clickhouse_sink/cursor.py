"""Where each shard stands in one journal: one cursor file for the sink, so that the journal knows what every shard
has passed."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from feedplane_journal.cursors import CursorStore
from feedplane_journal.layout import Position

from ..account import Account
from ..feeds import Counts
from .cut import Handover

logger = logging.getLogger(__name__)

SINK: Final = "clickhouse"


class Settled(NamedTuple):
    """What a round came to: records by feed, rows by table."""

    written: Counts
    quarantined: Counts
    stored: Counts
    newest_recv_ns: int


class SinkCursor:
    """Positions of all shards and the account, saved together in one atomic step.

    Raises: JournalLocked if another writer serves this journal.
    """

    def __init__(self, path: Path, shards: int, start: Position) -> None:
        self._store = CursorStore(path, SINK)
        self._lock = threading.Lock()
        self._store.load()
        extra = self._store.extra
        self.is_fresh = not extra
        """Whether no writer has come on in this journal before."""
        saved = [msgspec.convert(position, Position) for position in extra.get("positions", [])]
        self.account = Account(extra.get("account"))
        self.handover = msgspec.convert(extra.get("handover"), Handover | None)
        if saved and len(saved) != shards:
            # Old shards may stand at different places: rows are taken over from the least of them, less what their
            # old shard has stored.
            self.handover = Handover(positions=saved)
            logger.warning("shard layout changed", extra={"shards_before": len(saved), "shards_now": shards})
            saved = [min(saved)] * shards
        self._positions = saved or [start] * shards
        self._counted_from(start)

    def _counted_from(self, start: Position) -> None:
        if self.account.counted_to is None:
            self.account.observe(start, {})

    def position(self, shard: int) -> Position:
        """Everything before it is settled for this shard."""
        with self._lock:
            return self._positions[shard]

    def settle(self, shard: int, position: Position, settled: Settled) -> None:
        """Everything of this shard before `position` is done with. In memory: `save` makes it durable."""
        with self._lock:
            self._positions[shard] = position
            self.account.settle(settled.written, settled.quarantined, settled.stored, settled.newest_recv_ns)
            if self.handover is not None and min(self._positions) >= max(self.handover.positions):
                self.handover = None

    def save(self) -> None:
        """Write positions and account in one atomic step; durable when this returns.

        Raises: JournalError if another writer has taken over; OSError if the disk refuses.
        """
        with self._lock:
            self._store.save(min(self._positions), self._extra())

    def positions(self) -> list[Position]:
        """By shard."""
        with self._lock:
            return list(self._positions)

    def lowest(self) -> Position:
        """Everything before it is settled for all shards."""
        with self._lock:
            return min(self._positions)

    def all_at(self, position: Position) -> bool:
        """Whether every shard has come to `position`."""
        with self._lock:
            return min(self._positions) >= position

    def close(self) -> None:
        """Let another writer have the journal."""
        self._store.close()

    def _extra(self) -> dict[str, Any]:
        return {
            "positions": list(map(msgspec.to_builtins, self._positions)),
            "account": self.account.saved(),
            "handover": msgspec.to_builtins(self.handover),
        }
