"""One request's work on the engine: prepare a connection, check the statement, run it. Blocking; runs in a thread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from feedplane_clickhouse_lite import guard
from feedplane_clickhouse_lite.engine import Connection, Stats, quoted_name, quoted_text
from feedplane_clickhouse_lite.errors import NOT_IMPLEMENTED, READONLY, SYNTAX_ERROR, UNKNOWN_FORMAT, ClickHouseError
from feedplane_clickhouse_lite.formats import Joiner, can_stream
from feedplane_clickhouse_lite.guard import Permissions
from feedplane_clickhouse_lite.handover import as_file
from feedplane_clickhouse_lite.request import External
from feedplane_clickhouse_lite.statement import Kind, Statement

Emit = Callable[[bytes], None]

_READ_ONLY_GET: Final = (
    "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
    "You should use method POST for modifying queries"
)
_FORMAT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_INSERT_DEFAULTS: Final = {"max_threads": "1", "max_insert_threads": "1", "input_format_parallel_parsing": "0"}
"""One thread reads a body: the same bytes then make the same blocks, which is what a deduplication token relies on. It
costs nothing: for 50k rows one thread is as fast as several, and other inserts have theirs."""
_LITERALS_ONLY: Final = {
    guard.INTERPRET_EXPRESSIONS: "0",
    "input_format_values_deduce_templates_of_expressions": "0",
}


@dataclass(frozen=True)
class Caller:
    """For whom a connection is made."""

    role: str
    readonly: int
    permissions: Permissions
    database: str


@dataclass(frozen=True)
class Job:
    """A statement and all that goes with it."""

    statement: Statement
    caller: Caller
    output_format: str
    is_get: bool = False
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    externals: tuple[External, ...] = ()
    data: Iterable[bytes] = ()


def prepare(connection: Connection, caller: Caller, marker: str) -> None:
    """Make a fresh connection the caller's: role first, since the other settings may depend on it."""
    connection.execute(f"SET ROLE {quoted_name(caller.role)}")
    connection.execute(f"SET log_comment = {quoted_text(marker)}")  # by which `Engine.kill` finds the query
    connection.execute(f"USE {quoted_name(caller.database)}")


def lock_readonly(connection: Connection, caller: Caller) -> None:
    """Take away what a read-only user may not have; cannot be undone on this connection."""
    if caller.readonly:
        connection.execute(f"SET readonly = {caller.readonly}")


def run_alone(connection: Connection, job: Job, marker: str, emit: Emit) -> Stats:
    """Run `job` on a fresh connection, which is of no use afterwards.

    Raises:
        ClickHouseError: refused here or by the engine.
    """
    prepare(connection, job.caller, marker)
    check(connection, job)
    if job.database:
        connection.execute(f"USE {quoted_name(job.database)}")
    load_externals(connection, job.externals)
    lock_readonly(connection, job.caller)
    set_settings(connection, effective_settings(job))
    if job.is_get and not job.caller.readonly and "readonly" not in job.settings:
        connection.execute("SET readonly = 2")
    return run(connection, job, emit)


def run_in_session(connection: Connection, job: Job, emit: Emit) -> Stats:
    """Run `job` on the connection of a session: what came in the URL holds for this statement only."""
    check(connection, job)
    has_data = job.statement.kind is Kind.INSERT_DATA
    if job.is_get and not job.caller.readonly and (has_data or connection.is_mutating(job.statement.head)):
        raise ClickHouseError(READONLY, _READ_ONLY_GET)
    database = connection.text("SELECT currentDatabase()") if job.database else ""
    settings = effective_settings(job)
    before = _current(connection, {**settings, **_LITERALS_ONLY} if has_data else settings)
    try:
        if job.database and job.database != database:
            connection.execute(f"USE {quoted_name(job.database)}")
        set_settings(connection, settings)
        load_externals(connection, job.externals)
        return run(connection, job, emit)
    finally:
        for table in job.externals:
            connection.execute(f"DROP TEMPORARY TABLE IF EXISTS {quoted_name(table.name)}")
        set_settings(connection, before)
        if database and job.database != database:
            connection.execute(f"USE {quoted_name(database)}")


def check(connection: Connection, job: Job) -> None:
    """Refuse several statements in one, and what the caller may not say.

    Raises:
        ClickHouseError: 62, 497 or 358.
    """
    has_data = job.statement.kind is Kind.INSERT_DATA
    head = job.statement.head + job.statement.settings
    if b";" in head.rstrip(b"; \t\r\n") and connection.statement_count(head) > 1:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
    if not guard.needs_look(head):
        return
    whole = head + b"\nFORMAT Null" if has_data and job.statement.input_at is None else head
    guard.check(connection.canonical(whole), job.caller.permissions, data_apart=has_data)


def effective_settings(job: Job) -> dict[str, str]:
    """The settings of the request over those that its kind starts with."""
    defaults = _INSERT_DEFAULTS if job.statement.kind is Kind.INSERT_DATA and not job.caller.readonly else {}
    return {**defaults, **job.settings}


def set_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    """Apply settings in one statement; the engine refuses unknown names and bad values."""
    if settings:
        pairs = ", ".join(f"{quoted_name(name)} = {quoted_text(value)}" for name, value in settings.items())
        connection.execute(f"SET {pairs}")


def load_externals(connection: Connection, externals: Iterable[External]) -> None:
    """Fill one temporary table for each form part."""
    for table in externals:
        if table.format.upper() == "VALUES":  # it evaluates expressions, which would escape the guard
            raise ClickHouseError(NOT_IMPLEMENTED, "Format Values is not supported for external tables and input()")
        ddl = f"CREATE TEMPORARY TABLE {quoted_name(table.name)} ({table.structure}) ENGINE = Memory"
        guard.check(connection.canonical(ddl.encode()), Permissions())
        connection.execute(ddl)
        rows = Statement(Kind.INSERT_DATA, f"INSERT INTO {quoted_name(table.name)}".encode())
        insert(connection, rows, table.format, (table.data,))


def run(connection: Connection, job: Job, emit: Emit) -> Stats:
    """Run the statement on a connection that is ready for it; result bytes go to `emit`."""
    statement = job.statement
    if statement.kind is Kind.INSERT_DATA:
        return _run_insert(connection, job)
    output_format = statement.format or job.output_format
    if statement.kind is Kind.SELECT and can_stream(output_format) and _plain_rows(job):
        return _run_streamed(connection, job, output_format, emit)
    result = connection.execute(statement.head, output_format, job.parameters)
    view = _view(result)
    if len(view):
        emit(bytes(view))
    return Stats(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        result_bytes=len(view),
    )


def _plain_rows(job: Job) -> bool:
    """Whether the result is rows and nothing else: totals and extremes come after the last piece."""
    return not job.statement.has_totals and job.settings.get("extremes", "0") == "0"


def _run_streamed(connection: Connection, job: Job, output_format: str, emit: Emit) -> Stats:
    stream = connection.send(job.statement.head, output_format, job.parameters)
    joiner = Joiner(output_format)
    rows = result_bytes = read_rows = read_bytes = 0
    ended = False
    try:
        while not ended:
            piece = connection.fetch(stream)
            ended = piece.rows_read() == 0  # the last one: possibly a header, for a result without rows
            rows += piece.rows_read()
            read_rows = max(read_rows, piece.storage_rows_read())
            read_bytes = max(read_bytes, piece.storage_bytes_read())
            for part in joiner.add(_view(piece)):
                result_bytes += len(part)
                if len(part):
                    emit(bytes(part))
        emit(joiner.end())
    except BaseException:
        if not ended:
            connection.cancel(stream)
        raise
    return Stats(read_rows=read_rows, read_bytes=read_bytes, result_rows=rows, result_bytes=result_bytes)


def _run_insert(connection: Connection, job: Job) -> Stats:
    statement = job.statement
    input_format = statement.format or job.output_format
    data = job.data
    if input_format.upper() == "VALUES" and not job.caller.permissions.files:
        data = (b"".join(data),)
        if guard.values_need_literals(data[0]):
            _forbid_expressions(connection, statement)
    if statement.input_at is None:
        return insert(connection, statement, input_format, data, job.parameters)
    table = f"_input_{uuid4().hex}"
    structure = parse_literal(statement.input_structure)
    load_externals(connection, (External(table, structure, input_format, b"".join(data)),))
    start, end = statement.input_at
    select = statement.head[:start] + table.encode() + statement.head[end:]
    result = connection.execute(select, parameters=job.parameters)
    connection.execute(f"DROP TEMPORARY TABLE {table}")
    return Stats(written_rows=result.rows_written(), written_bytes=result.bytes_written())


def insert(
    connection: Connection,
    statement: Statement,
    input_format: str,
    data: Iterable[bytes],
    parameters: Mapping[str, str] | None = None,
) -> Stats:
    """Insert rows that are encoded in `input_format`, all or (up to the engine's block size) nothing.

    As `FROM INFILE`, which takes the server's own way from bytes to rows: column lists, defaults and every error of
    a part, view or constraint. The engine's call for inserting in pieces must not be used: it returns success for
    rows that were refused after parsing (252, 243, 469, a failing view).
    """
    if not _FORMAT_NAME.fullmatch(input_format):  # it becomes a part of the statement
        raise ClickHouseError(UNKNOWN_FORMAT, f"Unknown format {input_format[:64]!r}")
    with as_file(data) as path:
        source = f"\nFROM INFILE {quoted_text(path)} COMPRESSION 'none'\n".encode()
        sql = statement.head + source + statement.settings + f"\nFORMAT {input_format}".encode()
        result = connection.execute(sql, parameters=parameters)
    return Stats(written_rows=result.rows_written(), written_bytes=result.bytes_written())


def _forbid_expressions(connection: Connection, statement: Statement) -> None:
    """Have the Values parser take literals only: an expression in the data would escape the guard."""
    if b"input_format_values" in (statement.head + statement.settings).lower():
        raise ClickHouseError(
            READONLY, "input_format_values_* settings cannot be combined with data that could hold refused calls"
        )
    set_settings(connection, _LITERALS_ONLY)


def parse_literal(literal: bytes) -> str:
    """The text of a single-quoted SQL literal."""
    text = literal.decode()
    return text[1:-1].replace("\\'", "'").replace("''", "'").replace("\\\\", "\\")


def _current(connection: Connection, settings: Mapping[str, str]) -> dict[str, str]:
    if not settings:
        return {}
    names = ", ".join(quoted_text(name) for name in settings)
    sql = f"SELECT name, value FROM system.settings WHERE name IN ({names})"  # noqa: S608 (every name is quoted)
    lines = str(connection.execute(sql, "JSONCompactEachRow").data())
    return dict(map(json.loads, lines.splitlines()))


def _view(result: Any) -> memoryview:
    """The bytes of a result where the engine put them; valid while `result` lives."""
    return memoryview(result.get_memview().view()) if result.size() else memoryview(b"")
