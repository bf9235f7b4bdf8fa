"""What lies between a journal that has just begun and the one before it, where that one was lost with its pod: found in the store, declared as holes.

Looked for once in a journal's life, some seconds after its collector is ready, beside the inserts and never in their way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyarrow.compute as pc
from feedplane_core.events import Gap
from feedplane_core.identity import raw_hash
from feedplane_core.names import MarketType
from feedplane_core.succession import (
    ALIVE,
    ENDED,
    HEARTBEAT_NS,
    LOOK_BACK_NS,
    WHOLE_SHARD,
    Life,
    Speaker,
    hole_before,
    speaker_of,
)
from feedplane_journal.columns import Columns
from feedplane_journal.files import OsFiles, publish
from feedplane_journal.layout import CURSORS, Position
from feedplane_journal.reader import FrameRead, JournalReader
from feedplane_journal.schema import INT64

from .cursor import SinkCursor
from .remainder import store_beside
from .sender import Sender, Stopped

logger = logging.getLogger(__name__)

REASON: Final = "restart"
_READ_BYTES: Final = 1 << 20
_PATIENCE_NS: Final = 2 * HEARTBEAT_NS
_MAX_LIVES: Final = 1_000  # newest first; a million bytes of answer hold several times that

_LIVES: Final = """
SELECT detail, toUnixTimestamp64Nano(min(ts_recv)) AS first_ns, toUnixTimestamp64Nano(max(ts_recv)) AS last_ns,
       argMax(status, ts_recv) = {ended:String} AS has_ended
FROM %s
WHERE exchange = {exchange:String} AND instrument = {instrument:String} AND status IN ({alive:String}, {ended:String})
  AND startsWith(detail, {prefix:String}) AND ts_event >= fromUnixTimestamp64Nano({since:Int64})
GROUP BY detail ORDER BY last_ns DESC LIMIT {most:UInt32}"""


class Arrival(msgspec.Struct, frozen=True):
    """The first word of a journal's collector."""

    at_ns: int
    detail: str


class _Known(msgspec.Struct):
    is_checked: bool = False
    arrival: Arrival | None = None


class Succession:
    """The question for one journal; `<journal>/cursors/clickhouse.succession` keeps the answer. Not thread-safe."""

    def __init__(self, path: Path, exchange: str, *, is_fresh: bool) -> None:
        """`is_fresh`: no writer has come on in this journal yet. One that had, and never put the question, is of an earlier version; it is not put any more.

        Raises: OSError.
        """
        self.path = path
        self.exchange = exchange
        self._file = path / CURSORS / "clickhouse.succession"
        self._reader = JournalReader(path)
        self._at: Position | None = None
        self._instruments: dict[tuple[MarketType, str], int] = {}  # -> when it was first told, in ns
        self._due_at: Position | None = None
        self._has_told = False
        self._known = self._load() or _Known(is_checked=not is_fresh)
        self._save()  # before a cursor is: the next writer shall know that it is still to be asked

    @property
    def is_open(self) -> bool:
        """Whether the question is still to be answered."""
        return not self._known.is_checked

    def look(self) -> Arrival | None:
        """Read on until the collector's first word is found, and one that is late enough. Raises: JournalError, OSError."""
        while self._due_at is None and (reads := self._reader.read(self._at, _READ_BYTES)):
            for read in reads:
                self._take(read)
            self._at = reads[-1].end
        return self._known.arrival

    def is_due(self, cursor: SinkCursor) -> bool:
        """Whether what a predecessor says beside us can be seen in the store. It can when all shards have what we said two words later.

        Raises: JournalError, OSError.
        """
        self.look()
        return self._due_at is not None and cursor.all_at(self._due_at)

    def check(self, senders: Sequence[Sender]) -> bool:
        """Ask all shards, and have what is missing declared; whether the question is answered. `senders` must stop at the first failure.

        Raises: JournalError, OSError.
        """
        arrival = self.look()
        own = speaker_of(arrival.detail) if arrival is not None else None
        if arrival is None or own is None:
            return False
        try:
            lives = [life for sender in senders for life in self._lives(sender, own, arrival.at_ns)]
        except Stopped:
            return self._waits()
        from_ns = hole_before(own, arrival.at_ns, lives)
        if from_ns is not None and not self._declare(arrival, own, from_ns, senders):
            return self._waits()
        self._known.is_checked = True
        self._save()
        self._reader.close()
        told = {"journal": self.path.name, "from_ns": from_ns, "to_ns": arrival.at_ns, "journals_before": len(lives)}
        logger.info("succession settled" if from_ns is None else "hole before this journal declared", extra=told)
        return True

    def close(self) -> None:
        self._reader.close()

    def _take(self, read: FrameRead) -> None:
        batch = read.batch
        if read.record_type == "instrument":
            kinds, names = batch.column("market_type").to_pylist(), batch.column("instrument").to_pylist()
            times = batch.column("ts_recv").cast(INT64).to_pylist()
            for kind, name, at_ns in zip(kinds, names, times, strict=True):
                self._instruments.setdefault((MarketType(kind), name), at_ns)
        elif read.record_type == "status":
            words = batch.filter(pc.equal(batch.column("instrument"), WHOLE_SHARD))
            times = words.column("ts_recv").cast(INT64).to_pylist()
            for at_ns, detail in zip(times, words.column("detail").to_pylist(), strict=True):
                self._hear(at_ns, detail, read.end)

    def _hear(self, at_ns: int, detail: str, end: Position) -> None:
        arrival = self._known.arrival
        if arrival is None:
            self._known.arrival = Arrival(at_ns, detail)
            self._save()
        elif self._due_at is None and at_ns >= arrival.at_ns + _PATIENCE_NS:
            self._due_at = end
            self._reader.close()

    def _waits(self) -> bool:
        if not self._has_told:
            logger.warning("succession waits for the store", extra={"journal": self.path.name})
            self._has_told = True
        return False

    def _lives(self, sender: Sender, own: Speaker, arrived_ns: int) -> list[Life]:
        rows = sender.ask(
            "status",
            _LIVES,
            {
                "exchange": self.exchange,
                "instrument": WHOLE_SHARD,
                "alive": ALIVE,
                "ended": ENDED,
                "prefix": own.prefix,
                "since": str(arrived_ns - LOOK_BACK_NS),
                "most": str(_MAX_LIVES),
            },
        )
        return [
            Life(speaker, int(row["first_ns"]), int(row["last_ns"]), bool(row["has_ended"]))
            for row in rows
            if (speaker := speaker_of(row["detail"])) is not None
        ]

    def _declare(self, arrival: Arrival, own: Speaker, from_ns: int, senders: Sequence[Sender]) -> bool:
        columns = Columns(self.exchange)
        # Those told by then, whatever their place: the frames of one commit are in no order of time.
        followed = [key for key, told_ns in self._instruments.items() if told_ns <= arrival.at_ns]
        for gap in gaps_before(self.exchange, arrival, own, followed, from_ns):
            columns.append(gap)
        batches = columns.take().batches
        prefix = f"{own.journal}:succession"
        return all(store_beside(batches, prefix, shard, len(senders), sender) for shard, sender in enumerate(senders))

    def _load(self) -> _Known | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Known)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as e:
            logger.warning("succession unreadable, asked anew", extra={"path": str(self._file), "error": str(e)})
            return _Known()

    def _save(self) -> None:
        publish(OsFiles(), self._file, msgspec.json.encode(self._known))


def gaps_before(
    exchange: str, arrival: Arrival, own: Speaker, followed: Iterable[tuple[MarketType, str]], from_ns: int
) -> list[Gap]:
    """One hole for every feed of every instrument. Equal however often it is told: nothing but the journal and its first word makes the id and the time."""
    return [
        Gap(
            exchange=exchange,
            market_type=market_type,
            instrument=instrument,
            ts_event_ns=None,
            ts_recv_ns=arrival.at_ns,
            gap_id=raw_hash(REASON, own.journal, market_type, instrument, feed),
            gap_feed=feed,
            from_ns=from_ns,
            to_ns=arrival.at_ns,
            reason=REASON,
            detected_by="writer",
            state="closed",
        )
        for market_type, instrument in followed
        for feed in own.feeds
    ]
