"""Just enough of ClickHouse's lexer to find where a statement's clauses stand; works on bytes, so offsets are exact.

It never decides what is allowed: `guard.py` asks the engine's own parser for that. A difference from the server
here can only misplace a format, and the engine then reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    rb"""
      (?P<space>[ \t\r\n\f\v]+)
    | (?P<comment>--[^\n]*|\#[ !][^\n]*)
    | (?P<open>/\*)
    | (?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    | (?P<smart>\xe2\x80\x98.*?\xe2\x80\x99|\xe2\x80\x9c.*?\xe2\x80\x9d)
    | (?P<hex>[xXbB]'[^']*')
    | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    | (?P<number>[0-9](?:[0-9A-Za-z_.]|(?<=[eE])[+-])*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(rb"/\*|\*/")
_NAMING: Final = frozenset({"word", "quoted", "smart"})


class Token(NamedTuple):
    """A significant token: `kind` is word, quoted, smart, hex, heredoc, number or mark."""

    kind: str
    text: bytes
    start: int
    end: int

    @property
    def word(self) -> bytes:
        """The word in upper case; empty for what is no bare word."""
        return self.text.upper() if self.kind == "word" else b""

    @property
    def is_name(self) -> bool:
        """Whether it can be an identifier: a bare word, or one in quotes."""
        return self.kind in _NAMING and not self.text.startswith((b"'", b"\xe2\x80\x98"))


def tokens(sql: bytes, pos: int = 0) -> Iterator[Token]:
    """The significant tokens of `sql` from `pos`, lazily: what follows the last one asked for is never looked at."""
    while pos < len(sql):
        match = _TOKEN.match(sql, pos)
        if match is None:
            return
        kind = match.lastgroup or "mark"
        if kind == "tag":
            kind = "heredoc"
        pos = _after_comment(sql, match.end()) if kind == "open" else match.end()
        if kind not in ("space", "comment", "open"):
            yield Token(kind, match[0], match.start(), match.end())


def _after_comment(sql: bytes, pos: int) -> int:
    """The end of a `/* */` comment whose opening ends at `pos`; they nest, as in the engine."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, pos):
        depth += 1 if edge[0] == b"/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
