"""Getting slices into one shard: retry for ever what passes, bisect what does not, wait where the table is not as it
should be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import pyarrow as pa
from feedplane_core.errors import UsageError
from feedplane_ops.backoff import Backoff
from feedplane_ops.logging import Sampler

from ..words import Trouble
from .codes import Verdict, verdict
from .cut import Slice, decoded, encoded, json_rows
from .http import ServerError, ShardClient, Unreachable
from .table_check import table_faults

logger = logging.getLogger(__name__)

MAX_BISECT_REQUESTS: Final = 400
"""Beyond so many requests for one slice its refused parts are quarantined whole: a table that takes nothing must not
hold up the others."""

INSERT_SETTINGS: Final[Mapping[str, str]] = {
    "async_insert": "0",  # the asynchronous path acknowledges before the rows are durable
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",  # a roll-up counts a repeated slice once
    "optimize_on_insert": "0",  # what is twice in a slice is resolved where slices are: by merges and at read time
    "max_insert_block_size": "1048576",  # more than a slice has: one block, hence atomic, and equal on every retry
    "min_insert_block_size_rows": "1048576",
    "min_insert_block_size_bytes": "0",
    "max_partitions_per_insert_block": "1",  # a slice is of one: the server shall say so if that were ever untrue
}
"""Recorded with every round; a retry uses the recorded ones."""

_COLUMNS: Final = "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"


class Stopped(Exception):
    """The writer is to end before the slice was stored; it stays in the journal."""


class Poison(NamedTuple):
    """A row that the store refuses for ever. `row` is its index in the slice."""

    row: int
    code: int
    message: str
    values: dict[str, Any]


class Delivered(NamedTuple):
    """What became of a slice: rows stored, rows refused."""

    stored_rows: int
    poison: list[Poison]


class Observer:
    """What a sender tells of its work; the base does nothing. Called from the worker's thread."""

    def inserted(self, table: str, rows: int, size_bytes: int, took_ns: int) -> None:
        """An insert was acknowledged."""

    def retried(self, reason: str) -> None:
        """An insert failed and will be repeated; `reason` is a code or a kind of network error."""


class Sender:
    """Delivers slices to one shard, one at a time. Not thread-safe."""

    def __init__(
        self,
        client: ShardClient,
        *,
        database: str,
        table_suffix: str,
        backoff: Backoff,
        pause: Callable[[int], bool],
        observer: Observer,
        clock_ns: Callable[[], int],
    ) -> None:
        """`pause(ns)` sleeps and tells whether the writer must end now."""
        self._client = client
        self._database = database
        self._suffix = table_suffix
        self._backoff = backoff
        self._pause = pause
        self._observer = observer
        self._clock_ns = clock_ns
        self._sampler = Sampler(3)
        self._step: Callable[[ShardClient], None] = lambda client: None
        self.waiting: str | None = None
        """Why nothing can be stored now: `schema: ...` or `store: ...`; None while all is well."""
        self._failing_since_ns = 0
        self._failing_code = ""

    @property
    def is_schema_wrong(self) -> bool:
        """Whether it waits for a table to be made or migrated."""
        return self.waiting is not None and self.waiting.startswith("schema")

    def trouble(self) -> Trouble | None:
        """Since when nothing can be stored, and why."""
        why = self.waiting
        if why is None:
            return None
        code = "schema" if self.is_schema_wrong else self._failing_code
        return Trouble(self._clock_ns() - self._failing_since_ns, code, why)

    def prepare(self, step: Callable[[ShardClient], None]) -> None:
        """Repeat `step`, which makes the store ready for inserts, until the store has taken all of it; later again when
        tables are missing.

        Raises: Stopped.
        """
        self._step = step
        while True:
            try:
                step(self._client)
            except Unreachable as e:
                self._wait(e.kind, f"store: {self._client.endpoint}: {e}", "schema")
            except ServerError as e:
                whose = "schema" if verdict(e.code) in (Verdict.SCHEMA, Verdict.REJECT) else "store"
                self._wait(str(e.code), f"{whose}: tables cannot be brought forward: {str(e)[:200]}", "schema")
            except UsageError as e:  # of another layout, or changed by hand: for somebody to mend
                self._wait("schema", f"schema: {e}", "schema")
            else:
                self._recovered()
                return

    def deliver(self, piece: Slice, token: str, settings: Mapping[str, str]) -> Delivered:
        """Store every row of `piece` that the store takes; returns when all of them are stored or refused.

        Raises: Stopped.
        """
        error = self._insert(piece.table, piece.body, piece.rows, token, settings)
        if error is None:
            return Delivered(piece.rows, [])
        poison = _Bisection(self, piece, token, settings).run(error)
        return Delivered(piece.rows - len(poison), poison)

    def ask(self, table: str, statement: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Rows of a SELECT with bound parameters over this shard's part of a table, whose name takes the place of `%s`; asked until it is answered.

        Raises: Stopped.
        """
        named = statement % f"`{self._database}`.`{table}{self._suffix}`"
        while True:
            try:
                rows = self._client.query(named, parameters)
            except Unreachable as e:
                self._wait(e.kind, f"store: {self._client.endpoint}: {e}", table)
            except ServerError as e:
                self._wait(str(e.code), f"store: {table}: {str(e)[:200]}", table)
            else:
                self._recovered()
                return rows

    def _insert(
        self, table: str, body: bytes, rows: int, token: str, settings: Mapping[str, str]
    ) -> ServerError | None:
        """Insert until the store says yes; the error if it refuses these very rows. Raises: Stopped."""
        statement = self._statement(table, body)
        while True:
            began_ns = self._clock_ns()
            try:
                self._client.insert(statement, body, {**settings, "insert_deduplication_token": token})
            except Unreachable as e:
                self._wait(e.kind, f"store: {self._client.endpoint}: {e}", table)
            except ServerError as e:
                if self._is_refusal(e, table, body):
                    return e
            else:
                self._observer.inserted(table, rows, len(body), self._clock_ns() - began_ns)
                self._recovered()
                return None

    def _statement(self, table: str, body: bytes) -> str:
        names = ", ".join(f"`{name}`" for name in _schema(body).names)
        return f"INSERT INTO `{self._database}`.`{table}{self._suffix}` ({names}) FORMAT ArrowStream"

    def _is_refusal(self, error: ServerError, table: str, body: bytes) -> bool:
        """Whether the rows are to blame; if not, waits before the next try. Raises: Stopped."""
        meaning = verdict(error.code)
        why = f"store: {table}: {str(error)[:200]}"
        if meaning in (Verdict.REJECT, Verdict.SCHEMA):
            faults = self._table_faults(table, _schema(body))
            if meaning is Verdict.REJECT and faults == []:
                return True
            if faults or meaning is Verdict.SCHEMA:
                why = f"schema: {table}: {'; '.join(faults[:3]) if faults else str(error)[:200]}"
        elif meaning is Verdict.UNKNOWN and self._sampler.allow(f"unknown {error.code}"):
            logger.error(
                "unknown error code of the store",
                extra={"error_code": error.code, "table": table, "error": str(error)[:500]},
            )
        self._wait(str(error.code), why, table)
        if self.is_schema_wrong:
            self._step_again()
        return False

    def _step_again(self) -> None:
        """For a store that was replaced by an empty one. What goes wrong is told by the insert that comes next."""
        with suppress(Unreachable, ServerError, UsageError):
            self._step(self._client)

    def _table_faults(self, table: str, sent: pa.Schema) -> list[str] | None:
        """As `table_faults` of the table as it is now; None if that cannot be asked."""
        try:
            rows = self._client.query(_COLUMNS, {"database": self._database, "table": table + self._suffix})
        except (Unreachable, ServerError):
            return None
        return table_faults(sent, {row["name"]: row["type"] for row in rows})

    def _wait(self, reason: str, why: str, table: str) -> None:
        if self.waiting is None or self._sampler.allow(reason):
            logger.warning("insert failed", extra={"error_code": reason, "table": table, "detail": why})
        if self.waiting is None:
            self._failing_since_ns = self._clock_ns()
        self._failing_code = reason
        self.waiting = why
        self._observer.retried(reason)
        if self._pause(self._backoff.next_delay_ns()):
            raise Stopped

    def _recovered(self) -> None:
        if self.waiting is not None:
            logger.info(
                "inserts succeed again", extra={"endpoint": self._client.endpoint, "attempts": self._backoff.attempts}
            )
            self.waiting = None
        self._backoff.reset()


class _Bisection:
    """Finds the rows of a slice that are refused and stores the others: halves, each under a token derived from the
    slice's."""

    def __init__(self, sender: Sender, piece: Slice, token: str, settings: Mapping[str, str]) -> None:
        self._sender = sender
        self._piece = piece
        self._token = token
        self._settings = settings
        self._batch = decoded(piece.body)
        self._requests = 0
        self._poison: list[Poison] = []

    def run(self, error: ServerError) -> list[Poison]:
        logger.warning(
            "slice refused", extra={"table": self._piece.table, "error_code": error.code, "rows": self._piece.rows}
        )
        self._refused(0, self._piece.rows, "", error)
        return self._poison

    def _refused(self, start: int, stop: int, path: str, error: ServerError) -> None:
        """Rows `start` to `stop` were refused as a whole; one block is atomic, so none of them is stored."""
        if stop - start == 1 or self._requests >= MAX_BISECT_REQUESTS:
            self._give_up(start, stop, error)
            return
        middle = (start + stop) // 2
        self._try(start, middle, path + "0")
        self._try(middle, stop, path + "1")

    def _try(self, start: int, stop: int, path: str) -> None:
        self._requests += 1
        part = encoded(self._batch.slice(start, stop - start), "none")
        error = self._sender._insert(self._piece.table, part, stop - start, f"{self._token}:b{path}", self._settings)
        if error is not None:
            self._refused(start, stop, path, error)

    def _give_up(self, start: int, stop: int, error: ServerError) -> None:
        rows: Sequence[dict[str, Any]] = json_rows(self._batch.slice(start, stop - start))
        self._poison.extend(Poison(start + i, error.code, str(error)[:500], row) for i, row in enumerate(rows))


def _schema(body: bytes) -> pa.Schema:
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        return reader.schema
