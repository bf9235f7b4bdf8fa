"""One journal on its way to Redis: reads what is new, tells the keys, watches for silence, and moves the cursor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from feedplane_core.errors import JournalError
from feedplane_core.names import Mode
from feedplane_journal.cursors import CursorStore
from feedplane_journal.layout import Position, SegmentHeader, list_segments, read_header
from feedplane_journal.reader import FrameRead, JournalReader

from ..account import Account
from ..feeds import feed_counts
from .books import GIVE_WAY_NS, Books
from .keyspace import Keyspace, Source

logger = logging.getLogger(__name__)

SINK: Final = "redis"
READ_BYTES: Final = 1 << 20
"""A step of the tail: some milliseconds, so that a journal that catches up does not hold up the others."""
BACKLOG_BYTES: Final = 8 << 20
"""More than this behind, and nothing is sent before the end is reached: each key then gets its newest value at once."""


class Candidate(NamedTuple):
    """A place that the cursor may move to once the rows before it are settled, and the account as it is then."""

    position: Position
    generation: int
    saved: dict[str, Any]
    at_ns: int


class JournalTail:
    """Owns the reader and the `redis` cursor of one journal. Raises: JournalLocked if another writer has that cursor open."""

    def __init__(
        self,
        path: Path,
        keyspace: Keyspace,
        *,
        stale_after_ns: int,
        clock: Callable[[], int],
        wall_ms: Callable[[], int],
        on_stored: Callable[[str, int], None] = lambda feed, recv_ns: None,
    ) -> None:
        self.path = path
        self.exchange = path.name
        self.is_silent = False
        self.problems = 0
        self.skipped_rows = 0
        self._keyspace = keyspace
        self._stale_after_ns = stale_after_ns
        self._clock = clock  # monotonic
        self._cursor = CursorStore(path, SINK)
        self._settled_to = self._cursor.load()
        self.account = Account(self._cursor.extra)
        claim_ms = int(self._cursor.extra.get("claim_ms", 0)) or wall_ms()
        self.source = Source(Books(path.name, on_stored, claim_ms))
        self._reader = JournalReader(path, on_problem=self._on_problem)
        self._position = self._warm_start()
        self._segment_uuid = ""
        self._epoch = -1
        self._silent_epoch = -1
        self._last_news_ns = clock()
        self._candidate: Candidate | None = None
        self._cursor_fails = False

    @property
    def books(self) -> Books:
        return self.source.books

    def _warm_start(self) -> Position | None:
        """The start of the cursor's segment: what a former run has written is read once more, so that this one knows its keys and can say that they are stale."""
        at = self._settled_to
        if at is None:
            return None
        return Position(at.segment, 0, at.uuid)

    def is_behind(self) -> bool:
        """Whether so much is unread that single values are not worth sending. Reads headers: not for every step."""
        return self._reader.backlog(self._position).bytes > BACKLOG_BYTES

    def step(self) -> int:
        """Read and apply what is new, at most about `READ_BYTES`; returns the rows."""
        if not self._reader.has_news(self._position):
            return 0
        reads = self._reader.read(self._position, READ_BYTES)
        if not reads:
            return 0
        self._heard(reads[0])
        for segment_uuid, record_type, group, counted in _runs(reads, self._settled_to):
            if segment_uuid != self._segment_uuid:
                self._enter(segment_uuid)
            self._keyspace.take(self.source, record_type, group, counted=counted)
        for read in reads:
            self.account.observe(read.end, feed_counts(read.record_type, read.batch))
        self._position = reads[-1].end
        return sum(read.rows for read in reads)

    def check_silence(self) -> None:
        """Call about once a second: marks the values of a journal that does not grow any more."""
        if self.is_silent or self._clock() - self._last_news_ns < self._stale_after_ns:
            return
        self.is_silent, self._silent_epoch = True, self._epoch
        changed = self._keyspace.silence(self.source)
        if changed:
            logger.warning("journal silent", extra={"journal": self.path.name, "keys": changed})

    def _heard(self, first: FrameRead) -> None:
        self._last_news_ns = self._clock()
        if not self.is_silent:
            return
        self.is_silent = False
        if first.start.uuid != self._segment_uuid:
            self._enter(first.start.uuid)
        if self._epoch == self._silent_epoch:  # a new collector has to say of each feed that it is alive
            self._keyspace.resume(self.source)

    def _enter(self, segment_uuid: str) -> None:
        self._segment_uuid = segment_uuid
        header = self._header(segment_uuid)
        if header is not None:
            self.source.mode = Mode(header.meta.mode)
            self.exchange = header.meta.exchange
            self._epoch = header.epoch

    def _header(self, segment_uuid: str) -> SegmentHeader | None:
        for segment in reversed(list_segments(self.path)):
            if segment.uuid == segment_uuid:
                try:
                    return read_header(segment.path)[0]
                except (JournalError, OSError) as e:
                    logger.warning("segment header unreadable", extra={"segment": segment.path.name, "error": str(e)})
        return None

    # The cursor

    def settle(self) -> None:
        """Bring the account up to date with what Redis has taken."""
        books = self.books
        written, stored = books.take()
        if written or stored:
            self.account.settle(written, {}, stored, books.newest_recv_ns)

    def settled(self, *, last: bool = False) -> Candidate | None:
        """How far the cursor may move now: behind what is settled; a store that is down holds it up for a minute at most. `last`: nothing more will be read."""
        self.settle()
        candidate = self._candidate
        if candidate is not None and not self._may_pass(candidate):
            return None
        self._candidate = None
        if self._position is not None and self._position != self._settled_to:
            self._candidate = self._propose(self._position)
            if last and self._may_pass(self._candidate):
                candidate = self._candidate
        if candidate is None or (self._settled_to is not None and candidate.position <= self._settled_to):
            return None  # nothing new, or still in the part that is read again
        return candidate

    def write(self, candidate: Candidate) -> None:
        """Make it the cursor: waits for the disk, so call it from a thread. A disk that refuses costs a restart some work and no more.

        Raises: JournalError if another process has taken the cursor over.
        """
        try:
            told = {"stored": self.account.stored(), "claim_ms": self.books.claim_ms}
            self._cursor.save(candidate.position, candidate.saved | told)
        except OSError as e:
            if not self._cursor_fails:
                logger.warning("cursor not saved", extra={"journal": self.path.name, "error": str(e)})
            self._cursor_fails = True
            return
        self._cursor_fails = False
        self._settled_to = candidate.position

    def _propose(self, position: Position) -> Candidate:
        saved = self.account.saved()
        # By the time this is saved all rows before it are settled, and none behind it is in it.
        done = {feed: saved["quarantined"].get(feed, 0) + saved["lost"].get(feed, 0) for feed in saved["journalled"]}
        saved["written"] = {feed: n - done[feed] for feed, n in saved["journalled"].items()}
        return Candidate(position, self.books.next_generation(), saved, self._clock())

    def _may_pass(self, candidate: Candidate) -> bool:
        return self.books.is_settled(candidate.generation) or self._clock() - candidate.at_ns > GIVE_WAY_NS

    def close(self) -> None:
        """Close files and give the cursor free. Saves nothing."""
        self._reader.close()
        self._cursor.close()

    def backlog(self) -> tuple[int, int]:
        """(rows, bytes) that are not read yet."""
        rows, size = self._reader.backlog(self._position)
        return rows, size

    def _on_problem(self, problem: Any) -> None:
        self.problems += 1
        logger.error(
            "journal damaged", extra={"journal": self.path.name, "reason": problem.reason, "bytes": problem.size_bytes}
        )


def _runs(reads: Sequence[FrameRead], settled_to: Position | None) -> list[tuple[str, str, pa.RecordBatch, bool]]:
    """Frames joined by record type inside a segment, first frame first: one pass over many small commits. Values, statuses and holes carry their times, so
    the order between types does not matter; inside a type it is kept.
    """
    groups: dict[tuple[str, str, bool], list[pa.RecordBatch]] = {}
    for read in reads:
        counted = settled_to is None or read.end > settled_to
        groups.setdefault((read.start.uuid, read.record_type, counted), []).append(read.batch)
    return [
        (uuid, record_type, batches[0] if len(batches) == 1 else pa.concat_batches(batches), counted)
        for (uuid, record_type, counted), batches in groups.items()
    ]
