"""Logs: one JSON object a line on stderr, with a fixed phrase in `event` and everything that varies in fields."""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic_ns, time_ns
from typing import Any, Final, TextIO

from feedplane_ops.redaction import MASK, is_secret_field, redacted

_NS_PER_S: Final = 1_000_000_000
_MAX_TEXT: Final = 4_096  # characters of one field
_MAX_TRACE: Final = 16_384
_MAX_ITEMS: Final = 50  # of a list or mapping in a field
_MAX_DEPTH: Final = 4

_RECORD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED: Final = frozenset({"ts", "level", "logger", "service", "event"})
_NOISY: Final = ("asyncio", "opentelemetry", "urllib3", "websockets")


class JsonFormatter(logging.Formatter):
    """A record as one line of ASCII JSON.

    Everything beyond printable ASCII is written as a JSON escape, so neither a line break nor a terminal sequence in
    a field (8-bit ones included) can forge a line or paint a terminal. Long values are cut.
    """

    def __init__(self, service: str, fixed: Mapping[str, str], clock: Callable[[], int] = time_ns) -> None:
        super().__init__()
        self._service = service
        self._clock = clock  # the record's own time is a float and has lost the nanoseconds
        self._fixed = dict(fixed)

    def format(self, record: logging.LogRecord) -> str:
        """Never raises for odd values: what JSON cannot carry is written as text."""
        line: dict[str, Any] = {
            "ts": iso_ns(self._clock()),
            "level": record.levelname.lower(),
            "logger": record.name,
            "service": self._service,
            "event": _shown(_message(record)),
            **self._fixed,
        }
        for name, value in vars(record).items():
            if name not in _RECORD_ATTRIBUTES:
                line[name + "_" if name in _RESERVED else name] = _field(name, value, 0)
        if record.exc_info and record.exc_info[0] is not None:
            line["error_type"] = record.exc_info[0].__name__
            line["error"] = _shown(_text(record.exc_info[1]))
            trace = "".join(traceback.format_exception(*record.exc_info))
            line["traceback"] = redacted(trace[-2 * _MAX_TRACE :])[-_MAX_TRACE:]
        return json.dumps(line, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("\x7f", "\\u007f")


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines and survives a stderr that is closed or full: losing a log line must not end a collector."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lines_lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the line that could not be written."""
        self.lines_lost += 1


def setup_logging(service: str, level: str = "info", stream: TextIO | None = None, **fixed: str) -> LineHandler:
    """Send all logging of the process to `stream` (stderr) as JSON lines, replacing earlier handlers.

    `fixed` fields (`instance`) stand in every line. Libraries speak only from warning upwards.
    """
    handler = LineHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(service, fixed))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)
    return handler


class Sampler:
    """Lets through a few log lines per key and minute, and counts the rest, so that a bad feed cannot flood the log."""

    def __init__(
        self, per_key_per_minute: int, clock: Callable[[], int] = monotonic_ns, *, max_keys: int = 1_024
    ) -> None:
        self._limit = per_key_per_minute
        self._clock = clock
        self._max_keys = max_keys
        self._windows: dict[str, list[int]] = {}  # key -> [minute, allowed in it, suppressed since last told]

    def allow(self, key: str) -> bool:
        """Whether the next line about `key` may be logged; counts it either way."""
        minute = self._clock() // (60 * _NS_PER_S)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._max_keys:
                del self._windows[next(iter(self._windows))]
            window = self._windows[key] = [minute, 0, 0]
        if window[0] != minute:
            window[0], window[1] = minute, 0
        if window[1] < self._limit:
            window[1] += 1
            return True
        window[2] += 1
        return False

    def take_suppressed(self, key: str) -> int:
        """How many lines about `key` were held back since this was last asked: a field for the next line let through."""
        window = self._windows.get(key)
        if window is None:
            return 0
        suppressed, window[2] = window[2], 0
        return suppressed


def iso_ns(ns: int) -> str:
    """`2026-11-21T01:43:10.123456789Z` of nanoseconds since the epoch."""
    seconds, fraction = divmod(ns, _NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a library's format string and arguments disagree; its line still counts
        return str(record.msg)


def _field(name: str, value: object, depth: int) -> object:
    if value is not None and is_secret_field(name):
        return MASK
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value[:_MAX_TEXT]).decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        items = list(value.items())[:_MAX_ITEMS]
        return {str(k): _field(str(k), v, depth + 1) for k, v in items}
    if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
        return [_field("", v, depth + 1) for v in list(value)[:_MAX_ITEMS]]
    return _shown(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as e:  # the log must survive any object's own __str__
        return f"<{type(value).__name__}: {type(e).__name__} in str()>"


def _shown(text: str) -> str:
    """Redacted, then cut: the other way round the front half of a secret could survive at the edge."""
    shown = redacted(text[: 2 * _MAX_TEXT])
    return shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}...(of {len(text)})"
