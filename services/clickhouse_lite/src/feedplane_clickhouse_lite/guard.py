"""What a statement may not say. The engine trusts whoever runs it: it would read any host file, and run commands.

Grants keep table functions that name a source (`file`, `url`, `s3`) out. They do not cover the scalar function
`file`, the engine `File`, dictionaries with `SOURCE(EXECUTABLE(...))`, or `INTO OUTFILE` [each was tried]. Those are
found here, in the statement as **the engine's own parser** prints it: comments, escapes, quotes of any sort and
here-documents are gone by then, so that there is no second opinion on where a name ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from feedplane_clickhouse_lite.errors import ACCESS_DENIED, INTO_OUTFILE_NOT_ALLOWED, ClickHouseError
from feedplane_clickhouse_lite.lexer import Token, tokens

_SUSPICIOUS: Final = re.compile(
    rb"(?i)file|python|executable|sqlite|eval|disk|(?:iceberg|lake|paimon)local|arrow|engine|source|attach|role"
    rb"|backup|restore|jdbc|odbc|execute|catboost|hdfs|\\"
)
"""Every refused spelling holds one of these, or a backslash that may hide it. Everything else needs no second look."""

_VALUES_WITH_CODE: Final = re.compile(rb"(?i)file|python|executable|eval|\\")
INTERPRET_EXPRESSIONS: Final = "input_format_values_interpret_expressions"

_NEVER_CALLED: Final = frozenset(
    {b"PYTHON", b"ARROWSTREAM", b"EXECUTABLE", b"EXECUTABLEPOOL", b"EVAL", b"DISK", b"JDBC", b"ODBC"}
    | {b"CATBOOSTEVALUATE"}
)
_FILE_CALLS: Final = frozenset(
    {b"FILE", b"FILECLUSTER", b"FILESYSTEM", b"SQLITE", b"ICEBERGLOCAL", b"ICEBERGLOCALCLUSTER"}
    | {b"DELTALAKELOCAL", b"PAIMONLOCAL", b"HDFS", b"HDFSCLUSTER"}
)
_OWN_ENGINES: Final = re.compile(
    rb"(?:Replicated)?(?:Replacing|Summing|Aggregating|Collapsing|VersionedCollapsing|Graphite|Coalescing)?MergeTree"
    rb"|Memory|Null|Log|TinyLog|StripeLog|Buffer|Distributed|Merge|Set|Join|Dictionary|View|MaterializedView"
    rb"|GenerateRandom|Alias|KeeperMap|TimeSeries|Atomic|Ordinary|Lazy",
    re.IGNORECASE,
)
_FILE_ENGINES: Final = frozenset({b"FILE", b"SQLITE", b"FILELOG", b"FILESYSTEM", b"ICEBERGLOCAL", b"DELTALAKELOCAL"})
_NETWORK_ENGINES: Final = frozenset(
    {b"URL", b"S3", b"S3QUEUE", b"KAFKA", b"REDIS", b"MYSQL", b"POSTGRESQL", b"MATERIALIZEDPOSTGRESQL", b"MONGODB"}
    | {b"REMOTE", b"REMOTESECURE", b"GCS", b"ICEBERG", b"ICEBERGS3", b"DELTALAKE", b"DELTALAKES3", b"REPLICATED"}
)
_DEFINING: Final = ([b"CREATE"], [b"ATTACH"], [b"REPLACE"], [b"ALTER"])  # elsewhere `engine` is a column
_OWN_SOURCES: Final = frozenset({b"CLICKHOUSE", b"NULL"})
_SQL_IN_TEXT: Final = frozenset({b"QUERY", b"WHERE", b"INVALIDATE_QUERY", b"UPDATE_FIELD"})


@dataclass(frozen=True)
class Permissions:
    """What statements of a user may reach beyond the tables of this engine."""

    files: bool = False
    network: bool = False


def needs_look(head: bytes) -> bool:
    """Whether `head` could hold anything refused, and so has to be parsed by the engine and shown to `check`."""
    return _SUSPICIOUS.search(head) is not None


def values_need_literals(data: bytes) -> bool:
    """Whether data of FORMAT Values could hold a refused call: that format evaluates expressions."""
    return _VALUES_WITH_CODE.search(data) is not None


def check(canonical: bytes, allowed: Permissions, *, data_apart: bool = False) -> None:
    """Refuse `canonical`, a statement as the engine's `formatQuery` prints it.

    `data_apart` says that rows of an INSERT go to the engine by another way than behind the statement; such rows
    are not printed, and those of FORMAT Values may call functions.

    Raises:
        ClickHouseError: 497 (or 358 for OUTFILE), naming what is not allowed.
    """
    found = list(tokens(canonical))
    words = [token.word for token in found]
    _check_statement(found, words)
    if words[:1] == [b"INSERT"] and b"SELECT" not in words and not data_apart:
        raise _denied("INSERT in this spelling")
    defines = words[:1] in _DEFINING
    for at, token in enumerate(found):
        if _text(found, at + 1) == b"(" or (at > 0 and words[at - 1] == b"APPLY"):
            _check_call(_name(token), allowed)
        if defines and token.word == b"ENGINE" and _text(found, at + 1) == b"=" and found[at + 2].is_name:
            _check_engine(_name(found[at + 2]), allowed)
        if defines and token.word == b"SOURCE" and _text(found, at + 1) == b"(":
            _check_source(_name(found[at + 2]), words, allowed)


def _check_statement(found: list[Token], words: list[bytes]) -> None:
    for first, second in pairwise(words):
        if (first, second) == (b"INTO", b"OUTFILE"):
            raise ClickHouseError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        if (first, second) == (b"FROM", b"INFILE"):
            raise _denied("FROM INFILE")
    match words[:2]:
        case [b"SET", b"ROLE"] | [b"SET", b"DEFAULT"]:
            raise _denied("SET ROLE")
        case [b"EXECUTE", _] | [b"BACKUP", _] | [b"RESTORE", _]:
            raise _denied(words[0].decode())
        case [b"ATTACH", _] if any(a.word == b"FROM" and b.text[:1] == b"'" for a, b in pairwise(found)):
            raise _denied("ATTACH ... FROM a path")


def _check_call(name: bytes, allowed: Permissions) -> None:
    if name in _NEVER_CALLED or (name in _FILE_CALLS and not allowed.files):
        raise _denied(f"{name.decode('utf-8', 'replace').lower()}()")


def _check_engine(name: bytes, allowed: Permissions) -> None:
    if _OWN_ENGINES.fullmatch(name):
        return
    if (allowed.files and name in _FILE_ENGINES) or (allowed.network and name in _NETWORK_ENGINES):
        return
    raise _denied(f"engine {name.decode('utf-8', 'replace')}")


def _check_source(name: bytes, words: list[bytes], allowed: Permissions) -> None:
    if (name == b"FILE" and allowed.files) or (name == b"HTTP" and allowed.network):
        return
    if name not in _OWN_SOURCES:
        raise _denied(f"dictionary source {name.decode('utf-8', 'replace')}")
    if not allowed.files and not _SQL_IN_TEXT.isdisjoint(words):
        raise _denied("a dictionary source with SQL in a string")


def _text(found: list[Token], at: int) -> bytes:
    """The text of token `at`, empty past the last pair: whoever asks goes on to look one further."""
    return found[at].text if at + 1 < len(found) else b""


def _name(token: Token) -> bytes:
    return token.text.strip(b'`"').upper() if token.is_name else b""


def _denied(what: str) -> ClickHouseError:
    return ClickHouseError(ACCESS_DENIED, f"{what} is not allowed by this server's settings")
