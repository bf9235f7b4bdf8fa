"""The embedded engine: one per process and data directory, any number of connections.

A connection costs 0.1 ms and shares tables, caches and merges with all others; settings, current database, role and
temporary tables are its own. So every request gets a fresh one, and nothing has to be put back afterwards. Connections
run in parallel and the engine releases the interpreter's lock while it works.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from feedplane_core.errors import UsageError

from feedplane_clickhouse_lite import engine_config, orphans
from feedplane_clickhouse_lite.errors import CANNOT_PARSE_TEXT, SYNTAX_ERROR, ClickHouseError, engine_error
from feedplane_clickhouse_lite.settings import Settings
from feedplane_clickhouse_lite.users import Users

logger = logging.getLogger(__name__)

# The extension itself: the package's wrapper hides `classify_query` and the switch for signal handlers. Untyped.
_chdb: Any = import_module("chdb._chdb")

_CANNOT_LOCK: Final = 76
_ESCAPES: Final = {
    ord("\\"): b"\\\\", ord("\n"): b"\\n", ord("\t"): b"\\t", ord("\r"): b"\\r", ord("'"): b"\\'", 0: b"\\0",
}  # fmt: skip
_SCOPE: Final = ": In scope SELECT formatQuery"


@dataclass(frozen=True)
class Stats:
    """What a query did, as in `X-ClickHouse-Summary`."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0


class Connection:
    """One connection to the engine; used by one thread at a time."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def execute(
        self, sql: bytes | str, output_format: str = "TabSeparated", parameters: Mapping[str, str] | None = None
    ) -> Any:
        """Run one statement and return the engine's whole result.

        Raises:
            ClickHouseError: with the engine's code and words.
        """
        try:
            return self._raw.query(sql, output_format, params=dict(parameters or {}))
        except RuntimeError as e:
            raise engine_error(e) from None

    def text(self, sql: str) -> str:
        """The result of a small internal query, as text."""
        return str(self.execute(sql, "RawBLOB").data())

    def send(self, sql: bytes, output_format: str, parameters: Mapping[str, str]) -> Any:
        """Start a query whose result is fetched in pieces."""
        try:
            return self._raw.send_query(sql, output_format, params=dict(parameters))
        except RuntimeError as e:
            raise engine_error(e) from None

    def fetch(self, stream: Any) -> Any:
        """The next piece of a result; one without rows is the last."""
        try:
            return self._raw.streaming_fetch_result(stream)
        except RuntimeError as e:
            raise engine_error(e) from None

    def cancel(self, stream: Any) -> None:
        """Stop a query that was started with `send`."""
        self._raw.streaming_cancel_query(stream)

    def statement_count(self, sql: bytes) -> int:
        """How many statements the engine's parser finds; 0 for what it cannot parse."""
        try:
            return int(self._raw.classify_query(sql)["statement_count"])
        except (RuntimeError, UnicodeDecodeError):
            return 0

    def is_mutating(self, sql: bytes) -> bool:
        """Whether the statement changes data or schema, by the engine's parser."""
        try:
            kind = self._raw.classify_query(sql)["query_class"]
        except (RuntimeError, UnicodeDecodeError):
            return False  # unparsable: it will fail on its own
        return kind in (_chdb.query_class.MUTATING, _chdb.query_class.MUTATING_GLOBAL)

    def canonical(self, sql: bytes) -> bytes:
        """`sql` as the engine's parser prints it: one line, no comments, names and strings in plain quotes.

        Raises:
            ClickHouseError: it does not parse, or is more than one statement.
        """
        try:
            text = sql.decode()
        except UnicodeDecodeError as e:
            raise ClickHouseError(CANNOT_PARSE_TEXT, f"The query is not UTF-8: {e}") from None
        escaped = text.translate({mark: escape.decode() for mark, escape in _ESCAPES.items()})
        try:
            result = self.execute("SELECT formatQuerySingleLine({sql:String})", "RawBLOB", {"sql": escaped})
        except ClickHouseError as e:
            if e.code == SYNTAX_ERROR:
                raise ClickHouseError(SYNTAX_ERROR, e.text.partition(_SCOPE)[0]) from None
            raise
        return bytes(result.bytes())

    def close(self) -> None:
        """Release the connection; its temporary tables go with it."""
        self._raw.close()


class Engine:
    """The engine itself. `open` once per process, `close` at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._admin: Connection | None = None
        self._admin_lock = threading.Lock()
        self.version = ""
        self.timezone = ""

    def open(self, settings: Settings, users: Users) -> None:
        """Start the engine on `<data_dir>/db` and make the default database.

        Raises:
            UsageError: another process uses the directory, or the engine refuses the configuration.
        """
        _chdb.set_signal_handlers_enabled(0)  # SIGTERM is ours
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine_config.make_default_database(self._path)
        orphans.take_back(self._path)
        config = engine_config.write(settings.data_dir / "config", settings, users)
        try:
            self._admin = Connection(_chdb.connect(f"{self._path}?config-file={config}"))
            self._admin.execute(f"SET ROLE {engine_config.ADMIN_ROLE}")
            self._admin.execute(f"CREATE DATABASE IF NOT EXISTS {quoted_name(settings.default_database)}")
        except (RuntimeError, ClickHouseError) as e:
            error = e if isinstance(e, ClickHouseError) else engine_error(e)
            if error.code == _CANNOT_LOCK:
                raise UsageError("data_dir", f"{self._path} is in use by another process") from None
            raise UsageError("engine", f"cannot start on {self._path}: {error.text.splitlines()[0]}") from None
        self.version = self._admin.text("SELECT version()")
        self.timezone = self._admin.text("SELECT timezone()")

    def connect(self) -> Connection:
        """A fresh connection, of no role yet."""
        try:
            return Connection(_chdb.connect(str(self._path)))
        except RuntimeError as e:
            raise engine_error(e) from None

    def kill(self, marker: str) -> None:
        """Cancel the query whose connection carries `marker`; nothing happens when it is over already."""
        where = f"Settings['log_comment'] = {quoted_text(marker)}"
        with self._admin_lock:
            if self._admin is not None:
                self._admin.execute(f"KILL QUERY WHERE {where} ASYNC")

    def close(self) -> None:
        """Release the engine, so that the next process finds the directory free."""
        with self._admin_lock:
            if self._admin is not None:
                self._admin.close()
                self._admin = None


def quoted_name(name: str) -> str:
    """An identifier in backquotes, whatever it contains."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quoted_text(text: str) -> str:
    """A string literal, whatever it contains."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
