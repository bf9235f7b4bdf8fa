"""ClickHouse's errors: their codes, the text a server would send, and the HTTP status that goes with them.

ClickHouseError
└── made by the front (bad request, no access, too busy) or read from the engine's own message
"""

from __future__ import annotations

import re
from typing import Final

CANNOT_PARSE_TEXT: Final = 6
NOT_IMPLEMENTED: Final = 48
LOGICAL_ERROR: Final = 49
SYNTAX_ERROR: Final = 62
UNKNOWN_FORMAT: Final = 73
UNKNOWN_SETTING: Final = 115
READONLY: Final = 164
TIMEOUT_EXCEEDED: Final = 159
REQUIRED_PASSWORD: Final = 194
TOO_MANY_SIMULTANEOUS_QUERIES: Final = 202
QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: Final = 216
QUERY_IS_TOO_LARGE: Final = 229
CANNOT_DECOMPRESS: Final = 271
INTO_OUTFILE_NOT_ALLOWED: Final = 358
SESSION_NOT_FOUND: Final = 372
SESSION_IS_LOCKED: Final = 373
INVALID_SESSION_TIMEOUT: Final = 374
QUERY_WAS_CANCELLED: Final = 394
BAD_REQUEST_PARAMETER: Final = 408
ACCESS_DENIED: Final = 497
SET_NON_GRANTED_ROLE: Final = 512
AUTHENTICATION_FAILED: Final = 516

_NAMES: Final = {
    CANNOT_PARSE_TEXT: "CANNOT_PARSE_TEXT",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    LOGICAL_ERROR: "LOGICAL_ERROR",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    UNKNOWN_FORMAT: "UNKNOWN_FORMAT",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    READONLY: "READONLY",
    TIMEOUT_EXCEEDED: "TIMEOUT_EXCEEDED",
    REQUIRED_PASSWORD: "REQUIRED_PASSWORD",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    INTO_OUTFILE_NOT_ALLOWED: "INTO_OUTFILE_NOT_ALLOWED",
    SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    SESSION_IS_LOCKED: "SESSION_IS_LOCKED",
    INVALID_SESSION_TIMEOUT: "INVALID_SESSION_TIMEOUT",
    QUERY_WAS_CANCELLED: "QUERY_WAS_CANCELLED",
    BAD_REQUEST_PARAMETER: "BAD_REQUEST_PARAMETER",
    ACCESS_DENIED: "ACCESS_DENIED",
    SET_NON_GRANTED_ROLE: "SET_NON_GRANTED_ROLE",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
}

# Source: ClickHouse, src/Server/HTTPHandler.cpp and HTTP/exceptionCodeToHTTPStatus.cpp, read 2026-11.
_BAD_REQUEST: Final = frozenset(
    {6, 25, 26, 27, 38, 41, 43, 50, 53, 62, 72, 117, 167, 168, 320, 408, 427, 441}
    | {15, 16, 36, 44, 69, 70, 73, 131, 467, 675, 676}
)
_NOT_FOUND: Final = frozenset({46, 47, 56, 60, 63, 78, 81, 115, 139, 336})
_STATUS: Final = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    **dict.fromkeys(_NOT_FOUND, 404),
    REQUIRED_PASSWORD: 401,
    192: 403,  # UNKNOWN_USER
    193: 403,  # WRONG_PASSWORD
    AUTHENTICATION_FAILED: 403,
    SET_NON_GRANTED_ROLE: 403,
    ACCESS_DENIED: 403,
    TIMEOUT_EXCEEDED: 408,
    381: 411,  # HTTP_LENGTH_REQUIRED
    QUERY_IS_TOO_LARGE: 413,
    NOT_IMPLEMENTED: 501,
    TOO_MANY_SIMULTANEOUS_QUERIES: 503,
    209: 503,  # SOCKET_TIMEOUT
    439: 503,  # CANNOT_SCHEDULE_TASK
}

_ENGINE_MESSAGE: Final = re.compile(r"Code: (\d+)\. (DB::[A-Za-z]*Exception: .*)", re.DOTALL)
_NESTED: Final = re.compile(r"^DB::[A-Za-z]*Exception: (?=Code: \d+\. DB::)")
_NAMES_AGAIN: Final = re.compile(r"( \([A-Z0-9_]+\))(?:\.? \([A-Z0-9_]+\))+$")
_VERSION: Final = re.compile(r" \(version [^)]*(?:\([^)]*\))?\)")


class ClickHouseError(Exception):
    """An error as a ClickHouse server tells it: `code`, and `text` that begins with `DB::Exception: `."""

    def __init__(self, code: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s
        name = _NAMES.get(code)
        text = message if message.startswith("DB::") else f"DB::Exception: {message}"
        self.text = text if name is None or text.endswith(f"({name})") else f"{text} ({name})"

    @property
    def http_status(self) -> int:
        """The status a server answers with; 500 unless the code says otherwise."""
        return _STATUS.get(self.code, 500)

    def body(self, version: str) -> str:
        """One line: `Code: 60. DB::Exception: Unknown table ... (UNKNOWN_TABLE) (version 26.9.2.1)`."""
        return f"Code: {self.code}. {self.text} (version {version})\n"


def engine_error(raw: BaseException | str) -> ClickHouseError:
    """Read the engine's message. It wraps errors in errors of the same words; the innermost is the one told."""
    found = _ENGINE_MESSAGE.search(str(raw))
    if found is None:
        return ClickHouseError(LOGICAL_ERROR, str(raw))
    code, text = int(found[1]), found[2]
    while _NESTED.match(text) and (inner := _ENGINE_MESSAGE.search(text, 1)):
        code, text = int(inner[1]), inner[2]
    return ClickHouseError(code, _NAMES_AGAIN.sub(r"\1", _VERSION.sub("", text).rstrip()))
