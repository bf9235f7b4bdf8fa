"""One HTTP request as ClickHouse reads it: which parameters are the protocol's, which are settings. Pure."""

from __future__ import annotations

import binascii
import re
import uuid
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from feedplane_clickhouse_lite.errors import (
    AUTHENTICATION_FAILED,
    BAD_REQUEST_PARAMETER,
    INVALID_SESSION_TIMEOUT,
    SET_NON_GRANTED_ROLE,
    UNKNOWN_SETTING,
    ClickHouseError,
)

MAX_SESSION_TIMEOUT_S: Final = 3_600
DEFAULT_SESSION_TIMEOUT_S: Final = 60
DEFAULT_ZLIB_LEVEL: Final = 3

# Settings that only mean something to a server's HTTP side. Those we act on are read below; the rest (progress
# headers, CORS, buffering) is accepted and has no effect.
_HTTP_ONLY: Final = frozenset(
    {"query", "database", "default_format", "user", "password", "quota_key", "query_id", "stacktrace", "role"}
    | {"session_id", "session_timeout", "session_check", "close_session", "compress", "decompress", "buffer_size"}
    | {"wait_end_of_query", "client_protocol_version", "enable_http_compression", "http_zlib_compression_level"}
    | {"send_progress_in_http_headers", "http_headers_progress_interval_ms", "add_http_cors_header"}
    | {"cancel_http_readonly_queries_on_client_close", "http_native_compression_disable_checksumming_on_decompress"}
    | {"http_wait_end_of_query", "http_response_buffer_size", "http_write_exception_in_output_format"}
)
_PARAMETER: Final = "param_"
_EXTERNAL: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)_(?P<part>format|types|structure)")
_SETTING: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,255}")
_QUERY_ID: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")


@dataclass(frozen=True)
class Session:
    """The session a request belongs to."""

    id: str
    timeout_s: int
    must_exist: bool
    close_after: bool


@dataclass(frozen=True)
class External:
    """A temporary table that came as a part of a form: its columns in SQL, its format, its rows."""

    name: str
    structure: str
    format: str
    data: bytes


@dataclass(frozen=True)
class Request:
    """What a client asked for, the SQL in the URL included and the body not."""

    query: bytes
    user: str | None
    password: str | None
    query_id: str
    database: str | None = None
    default_format: str | None = None
    session: Session | None = None
    is_get: bool = False
    wait_end: bool = False
    decompress_native: bool = False
    compress_native: bool = False
    http_compression: bool = True
    zlib_level: int = DEFAULT_ZLIB_LEVEL
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_request(method: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> Request:
    """Read URL parameters and headers (names in lower case) the way a server does.

    Raises:
        ClickHouseError: a parameter is malformed, or credentials came in two ways.
    """
    given = dict(query)  # a repeated parameter: the last one counts
    user, password = _credentials(given, headers)
    if given.get("role"):
        raise ClickHouseError(SET_NON_GRANTED_ROLE, "Roles cannot be chosen by the client")
    query_id = given.get("query_id") or headers.get("x-clickhouse-query-id") or str(uuid.uuid4())
    if not _QUERY_ID.fullmatch(query_id):
        raise ClickHouseError(BAD_REQUEST_PARAMETER, "query_id must be 1 to 256 printable characters")
    return Request(
        query=given.get("query", "").encode(),
        user=user,
        password=password,
        query_id=query_id,
        database=given.get("database") or headers.get("x-clickhouse-database"),
        default_format=given.get("default_format") or headers.get("x-clickhouse-format"),
        session=_session(given),
        is_get=method in ("GET", "HEAD"),
        wait_end=_flag(given, "wait_end_of_query") or _flag(given, "http_wait_end_of_query"),
        decompress_native=_flag(given, "decompress"),
        compress_native=_flag(given, "compress"),
        http_compression=_flag(given, "enable_http_compression", default=True),
        zlib_level=_number(given, "http_zlib_compression_level", DEFAULT_ZLIB_LEVEL, 1, 9, BAD_REQUEST_PARAMETER),
        settings=_settings(given),
        parameters={k.removeprefix(_PARAMETER): v for k, v in given.items() if k.startswith(_PARAMETER)},
    )


def external_table(name: str, data: bytes, query: Mapping[str, str]) -> External:
    """The table of form part `name`; its columns stand in `<name>_structure` or `<name>_types` of the URL.

    Raises:
        ClickHouseError: the name is no identifier, or neither is given.
    """
    if not _SETTING.fullmatch(name) or "." in name:
        raise ClickHouseError(BAD_REQUEST_PARAMETER, f"Not a name for an external table: {name[:64]!r}")
    structure = query.get(f"{name}_structure")
    if structure is None and (types := query.get(f"{name}_types")):
        structure = ", ".join(f"_{number} {kind}" for number, kind in enumerate(split_types(types), start=1))
    if not structure:
        raise ClickHouseError(BAD_REQUEST_PARAMETER, f"External table {name} has neither structure nor types")
    return External(name, structure, query.get(f"{name}_format") or "TabSeparated", data)


def split_types(types: str) -> list[str]:
    """Split at the commas that are not inside of parentheses: `UInt8,Decimal(38, 18)` is two types."""
    parts, depth, start = [], 0, 0
    for at, mark in enumerate(types):
        depth += {"(": 1, ")": -1}.get(mark, 0)
        if mark == "," and depth == 0:
            parts.append(types[start:at].strip())
            start = at + 1
    return [*parts, types[start:].strip()]


def _credentials(given: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    by_header = headers.get("x-clickhouse-user"), headers.get("x-clickhouse-key")
    by_url = given.get("user"), given.get("password")
    authorization = headers.get("authorization", "")
    used = [ways for ways in (by_header, by_url) if ways != (None, None)]
    if authorization:
        used.append(_basic(authorization))
    if len(used) > 1:
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            "Invalid authentication: it is not allowed to use more than one of X-ClickHouse headers, "
            "Authorization header and URL parameters at once",
        )
    return used[0] if used else (None, None)


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise ClickHouseError(AUTHENTICATION_FAILED, "Invalid authentication: only the Basic scheme is supported")
    try:
        user, separator, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        separator = ""
    if not separator:
        raise ClickHouseError(AUTHENTICATION_FAILED, "Invalid authentication: malformed Basic credentials")
    return user, password


def _session(given: Mapping[str, str]) -> Session | None:
    if not (identity := given.get("session_id")):
        return None
    timeout_s = _number(
        given, "session_timeout", DEFAULT_SESSION_TIMEOUT_S, 1, MAX_SESSION_TIMEOUT_S, INVALID_SESSION_TIMEOUT
    )
    return Session(identity, timeout_s, given.get("session_check") == "1", given.get("close_session") == "1")


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    settings = {}
    for name, value in given.items():
        if name in _HTTP_ONLY or name.startswith(_PARAMETER) or _is_external(name, given):
            continue
        if not _SETTING.fullmatch(name):
            raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting {name[:64]!r}")
        settings[name] = value
    return settings


def _is_external(name: str, given: Mapping[str, str]) -> bool:
    """Whether this describes an external table; `insert_format` alone, without structure or types, does not."""
    match = _EXTERNAL.fullmatch(name)
    return match is not None and any(f"{match['name']}_{part}" in given for part in ("structure", "types"))


def _flag(given: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    return given[name].lower() in ("1", "true") if name in given else default


def _number(given: Mapping[str, str], name: str, default: int, low: int, high: int, code: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:9]) <= high:
        raise ClickHouseError(code, f"{name} must be a number from {low} to {high}")
    return int(text)
