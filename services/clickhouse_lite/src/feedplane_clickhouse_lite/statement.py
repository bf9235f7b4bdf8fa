"""What a statement is: its kind, the format it names, and where the data of an INSERT begins. Pure."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from feedplane_clickhouse_lite.lexer import Token, tokens

_AFTER_FORMAT: Final = re.compile(rb"[ \t\f]*\r?\n?")
_READING: Final = frozenset({b"SELECT", b"WITH", b"FROM", b"("})
_OPENING: Final = frozenset({b"(", b"[", b"{"})
_CLOSING: Final = frozenset({b")", b"]", b"}"})


class Kind(enum.Enum):
    """How the engine is to be driven."""

    SELECT = "select"  # rows come back and may be streamed
    INSERT_DATA = "insert"  # rows come with the request
    OTHER = "other"  # DDL, INSERT ... SELECT, SHOW, SET and all the rest


@dataclass(frozen=True)
class Statement:
    """One statement. `head` is the whole SQL; for INSERT_DATA it ends before SETTINGS, FORMAT and data."""

    kind: Kind
    head: bytes
    settings: bytes = b""  # the SETTINGS clause of an INSERT_DATA, with its keyword
    format: str | None = None  # as the statement names it; None when it leaves that to the request
    data_at: int | None = None  # offset of inline data in the text that was given
    has_totals: bool = False  # WITH TOTALS: an extra block that only whole results carry
    input_at: tuple[int, int] | None = None  # span in `head` of `input('...')`, when the data feeds a SELECT
    input_structure: bytes = b""


def parse(sql: bytes) -> Statement:
    """Classify `sql`. Malformed SQL comes out as OTHER: the engine is the one to refuse it, with its own words."""
    first = next(tokens(sql), None)
    if first is None:
        return Statement(Kind.OTHER, sql)
    if first.word == b"INSERT":
        return _parse_insert(sql)
    kind = Kind.SELECT if first.word in _READING or first.text == b"(" else Kind.OTHER
    found = list(tokens(sql))
    named = _trailing_format(found)
    totals = any(a.word == b"WITH" and b.word == b"TOTALS" for a, b in pairwise(found))
    return Statement(kind, sql, b"", _plain(named) if named else None, has_totals=totals)


def _trailing_format(found: list[Token]) -> Token | None:
    """The name after the last FORMAT that ends the statement, or is followed by SETTINGS or INTO only."""
    for at in range(len(found) - 2, -1, -1):
        if found[at].word != b"FORMAT" or not found[at + 1].is_name:
            continue
        after = found[at + 2] if at + 2 < len(found) else None
        if after is None or after.text == b";" or after.word in (b"SETTINGS", b"INTO"):
            return found[at + 1]
    return None


def _parse_insert(sql: bytes) -> Statement:
    """Walk `INSERT INTO [TABLE] [FUNCTION] target [(columns)] [SETTINGS ...] (VALUES | FORMAT x | SELECT ...)`."""
    stream = tokens(sql)
    next(stream)
    depth = 0
    target_done = False
    previous: Token | None = None
    opened: Token | None = None  # the parenthesis just passed, to see whether a SELECT stands in it
    settings_at: int | None = None
    for token in stream:
        if token.text in _OPENING:
            depth += 1
            target_done = target_done or (previous is not None and previous.word not in (b"INTO", b"TABLE"))
        elif token.text in _CLOSING:
            depth -= 1
        elif opened is not None and token.word in (b"SELECT", b"WITH"):
            return _insert_select(sql)
        elif depth == 0 and not target_done:
            target_done = token.is_name and token.word not in (b"INTO", b"TABLE", b"FUNCTION")
        elif depth == 0 and previous is not None and previous.text != b".":
            match token.word:
                case b"SETTINGS":
                    settings_at = token.start
                case b"VALUES":
                    return Statement(Kind.INSERT_DATA, *_cut(sql, settings_at, token.start), "Values", token.end)
                case b"FORMAT":
                    return _insert_format(sql, settings_at, token)
                case b"SELECT" | b"WITH" | b"FROM":  # FROM INFILE included: refused by the guard
                    return _insert_select(sql)
        opened = token if token.text == b"(" and depth == 1 else None
        previous = token
    return Statement(Kind.INSERT_DATA, *_cut(sql, settings_at, len(sql)), None, len(sql))


def _cut(sql: bytes, settings_at: int | None, end: int) -> tuple[bytes, bytes]:
    """The statement's head, and its SETTINGS clause if it has one before `end`."""
    return (sql[:end], b"") if settings_at is None else (sql[:settings_at], sql[settings_at:end])


def _insert_format(sql: bytes, settings_at: int | None, keyword: Token) -> Statement:
    """`FORMAT name [SETTINGS a = 1, b = 'x']`, blanks, at most one line break, and then data up to the end."""
    name = next(tokens(sql, keyword.end), None)
    if name is None or not name.is_name:
        return Statement(Kind.OTHER, sql)
    head, settings = _cut(sql, settings_at, keyword.start)
    end = name.end
    after = next(tokens(sql, end), None)
    if after is not None and after.word == b"SETTINGS":
        settings_end = _settings_end(sql, after.end)
        if settings_end > after.end:  # else it is data that begins with that word
            settings, end = sql[after.start : settings_end], settings_end
    data = _AFTER_FORMAT.match(sql, end)
    return Statement(Kind.INSERT_DATA, head, settings, _plain(name), data.end() if data else end)


def _plain(name: Token) -> str:
    """The name without quotes; what is no format then fails as an unknown one."""
    return name.text.decode("utf-8", "replace").strip('`"“”')


def _settings_end(sql: bytes, pos: int) -> int:
    """The end of `a = 1, b = 'x'`: what follows a value without a comma is data."""
    while True:
        stream = tokens(sql, pos)
        name, equals, value = next(stream, None), next(stream, None), next(stream, None)
        if name is None or equals is None or value is None or equals.text != b"=":
            return pos
        if value.text in (b"-", b"+"):
            value = next(stream, value)
        depth, pos = int(value.text in _OPENING), value.end
        while depth and (token := next(stream, None)):  # an array or a map
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            pos = token.end
        comma = next(tokens(sql, pos), None)
        if comma is None or comma.text != b",":
            return pos
        pos = comma.end


def _insert_select(sql: bytes) -> Statement:
    """INSERT ... SELECT; with `input('structure')` and a FORMAT the rows still come with the request."""
    found: list[Token] = []
    call: tuple[int, int] | None = None
    structure = b""
    for token in tokens(sql):
        found.append(token)
        if token.text == b")" and len(found) >= 4 and found[-4].word == b"INPUT" and found[-3].text == b"(":
            call, structure = (found[-4].start, token.end), found[-2].text
        if call and token.is_name and len(found) >= 2 and found[-2].word == b"FORMAT":
            data = _AFTER_FORMAT.match(sql, token.end)
            head = sql[: found[-2].start]
            at = data.end() if data else token.end
            return Statement(Kind.INSERT_DATA, head, b"", _plain(token), at, input_at=call, input_structure=structure)
    return Statement(Kind.OTHER, sql)
