"""The thread of one shard: takes a round from each journal in turn, stores it, moves the cursor. One insert in
flight; the journal's next round is read and cut meanwhile."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns, sleep, time_ns
from typing import Final

from feedplane_core.errors import JournalError
from feedplane_core.names import NS_PER_MS, NS_PER_S
from feedplane_ops.health import Heartbeat

from ..feeds import Counts, add_counts
from ..hooks import Stage, reached
from ..words import Trouble
from .cursor import Settled
from .cut import Cut, Slice
from .pipe import Pipe, Round
from .poison import keep_rows
from .sender import Delivered, Poison, Sender, Stopped

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.02
_DISK_RETRY_NS: Final = 500 * NS_PER_MS


class Records:
    """Tells the worker's owner of rounds; the base does nothing. Called from the worker's thread."""

    def settled(self, exchange: str, made: Settled) -> None:
        """A round is stored and its cursor saved."""

    def quarantined(self, exchange: str, feed: str, reason: str, records: int) -> None:
        """Records that no store will take."""


class ShardWorker:
    """Serves all journals for one shard until told to end."""

    def __init__(
        self,
        shard: int,
        make_sender: Callable[[Callable[[int], bool]], Sender],
        records: Records,
        in_flight_bytes: int,
        heartbeat: Heartbeat,
        prepare: Callable[[Sender], None] = lambda sender: None,
    ) -> None:
        """`prepare` is run before the first insert, in the worker's thread."""
        self.shard = shard
        self.committed_ns = 0
        """Wall clock of the last round that the store took."""
        self._prepare = prepare
        self.error: Exception | None = None
        self.abandoned: dict[Path, str] = {}
        """Journals that cannot be read any more, and why."""
        self._sender = make_sender(self._pause)
        self._records = records
        self._in_flight_bytes = in_flight_bytes
        self._heartbeat = heartbeat
        self._pipes: list[Pipe] = []
        self._draining = threading.Event()
        self._deadline_ns = 0
        self._thread = threading.Thread(target=self._guarded, name=f"shard-{shard}", daemon=True)
        self._helper = ThreadPoolExecutor(1, thread_name_prefix=f"shard-{shard}-ahead")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def add(self, pipe: Pipe) -> None:
        """Serve one more journal. From any thread."""
        self._pipes = [*self._pipes, pipe]

    def drain(self, within_ns: int) -> None:
        """Store what the journals hold, for at most so long, then end. From any thread."""
        self._deadline_ns = monotonic_ns() + within_ns
        self._draining.set()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> str | None:
        """Why nothing can be stored now; None while all is well."""
        return self._sender.waiting

    def trouble(self) -> Trouble | None:
        """As `waiting`, with its age and code."""
        return self._sender.trouble()

    def _guarded(self) -> None:
        try:
            self._prepare(self._sender)
            self._run()
        except Stopped:
            logger.info("stopped before the journals were empty", extra={"shard": self.shard})
        except Exception as e:  # a bug, or a journal that is no longer ours: the process ends and says why
            logger.critical("shard worker failed", exc_info=True, extra={"shard": self.shard})
            self.error = e
        finally:
            self._helper.shutdown()

    def _run(self) -> None:
        while True:
            is_draining = self._draining.is_set()
            is_busy = False
            for pipe in self._pipes:
                self._heartbeat.beat()
                try:
                    is_busy |= self._serve(pipe, is_draining)
                except JournalError as e:  # of this journal alone: the others go on
                    self._abandon(pipe, e)
            if is_draining and not is_busy:
                return
            if not is_busy:
                self._draining.wait(_POLL_S)
            elif is_draining and monotonic_ns() >= self._deadline_ns:
                raise Stopped

    def _serve(self, pipe: Pipe, is_draining: bool) -> bool:
        """One step of one journal; whether a round was stored. Raises: Stopped, JournalError."""
        pipe.gather()
        self._balance(pipe)
        if not pipe.is_due(is_draining or self._holds_too_much()):
            return False
        self._store(pipe)
        return True

    def _abandon(self, pipe: Pipe, error: JournalError) -> None:
        self._pipes = [other for other in self._pipes if other is not pipe]
        self.abandoned = {**self.abandoned, pipe.path: str(error)}
        pipe.close()
        logger.error("journal given up", extra={"journal": pipe.path.name, "shard": self.shard, "error": str(error)})

    def _holds_too_much(self) -> bool:
        return sum(pipe.held_bytes for pipe in self._pipes) >= self._in_flight_bytes

    def _store(self, pipe: Pipe) -> None:
        reached(Stage.AFTER_READ)
        planned = pipe.next_round()
        self._on_disk(pipe, lambda: pipe.save(planned))
        reached(Stage.AFTER_BEFORE)
        outcome = _Outcome(planned.cut)
        with self._looking_ahead(pipe):
            for piece in sorted(planned.cut.slices, key=_comes_last):
                delivered = self._sender.deliver(piece, planned.token(piece), planned.record.settings)
                outcome.add(piece, delivered)
                if delivered.poison:
                    self._keep(pipe, planned.token(piece), piece, delivered.poison)
        self._keep_refused(pipe, planned)
        if planned.cut.slices:
            self.committed_ns = time_ns()
        settled = outcome.settled()
        reached(Stage.AFTER_COMMIT)
        pipe.cursor.settle(self.shard, planned.record.end, settled)
        self._on_disk(pipe, pipe.cursor.save)
        reached(Stage.AFTER_AFTER)
        self._tell(pipe.exchange, settled, outcome.reasons)

    @contextmanager
    def _looking_ahead(self, pipe: Pipe) -> Iterator[None]:
        ahead = self._helper.submit(pipe.look_ahead)
        try:
            yield
        finally:
            wait([ahead])  # from here on the pipe is this thread's again

    def _keep(self, pipe: Pipe, token: str, piece: Slice, poison: list[Poison]) -> None:
        logger.error(
            "rows quarantined", extra={"table": piece.table, "rows": len(poison), "error_code": poison[0].code}
        )
        lines = [
            {"table": piece.table, "reason": "store", "code": p.code, "message": p.message, "row": p.values}
            for p in poison
        ]
        keep_rows(pipe.path, token, lines)

    def _keep_refused(self, pipe: Pipe, planned: Round) -> None:
        refused = planned.cut.refused
        if refused:
            logger.warning(
                "records quarantined",
                extra={"exchange": pipe.exchange, "rows": len(refused), "reason": refused[0].reason},
            )
            start = planned.record.start
            lines = [{"feed": r.feed, "reason": r.reason, "row": r.row} for r in refused]
            keep_rows(pipe.path, f"{start.uuid}:{start.offset}-{planned.record.end.offset}:{self.shard}:refused", lines)

    def _tell(self, exchange: str, settled: Settled, reasons: Mapping[tuple[str, str], int]) -> None:
        self._records.settled(exchange, settled)
        for (feed, reason), records in reasons.items():
            self._records.quarantined(exchange, feed, reason, records)

    def _balance(self, pipe: Pipe) -> None:
        """At the journal's end, after it dropped segments unread: what is still pending will never come."""
        account = pipe.cursor.account
        if (
            pipe.has_skipped
            and pipe.is_idle
            and account.counted_to is not None
            and pipe.cursor.all_at(account.counted_to)
        ):
            pipe.has_skipped = False
            lost = account.write_off()
            if lost:
                logger.error("journal dropped records unread", extra={"exchange": pipe.exchange, "records": lost})
                self._on_disk(pipe, pipe.cursor.save)

    def _on_disk(self, pipe: Pipe, step: Callable[[], None]) -> None:
        """Repeat `step` until the disk takes it. Raises: Stopped; JournalError if the journal was removed."""
        while True:
            try:
                return step()
            except OSError as e:
                if not pipe.path.is_dir():
                    raise JournalError(f"{pipe.path} is gone") from e
                logger.error("journal directory cannot be written", extra={"error": str(e), "shard": self.shard})
                if self._pause(_DISK_RETRY_NS):
                    raise Stopped from e

    def _pause(self, ns: int) -> bool:
        """Sleep for `ns`, less when the writer is told to end; whether it must end now."""
        self._heartbeat.beat()
        if not self._draining.is_set():
            self._draining.wait(ns / NS_PER_S)
            return False
        left_ns = self._deadline_ns - monotonic_ns()
        sleep(max(0, min(ns, left_ns)) / NS_PER_S)
        return left_ns <= ns


def _comes_last(piece: Slice) -> bool:
    """A collector's sign of life says that all before it is stored."""
    return piece.table == "status"


class _Outcome:
    """Sums up a round: a record is quarantined when any of its rows is, and written otherwise."""

    def __init__(self, made: Cut) -> None:
        self._made = made
        self._bad: dict[str, set[int]] = defaultdict(set)
        self._stored: Counts = {}
        self.reasons: dict[tuple[str, str], int] = defaultdict(int)
        for refused in made.refused:
            self.reasons[refused.feed, refused.reason] += 1

    def add(self, piece: Slice, delivered: Delivered) -> None:
        add_counts(self._stored, {piece.table: delivered.stored_rows})
        if not delivered.poison:
            return
        bad = self._bad[piece.table]
        for poison in delivered.poison:
            record = piece.records[poison.row].as_py()
            if record not in bad:
                bad.add(record)
                self.reasons[piece.feed, str(poison.code)] += 1

    def settled(self) -> Settled:
        quarantined: Counts = {}
        for (feed, _), records in self.reasons.items():
            add_counts(quarantined, {feed: records})
        written = {feed: n - quarantined.get(feed, 0) for feed, n in self._made.read.items()}
        return Settled(written, quarantined, self._stored, self._made.newest_recv_ns)
