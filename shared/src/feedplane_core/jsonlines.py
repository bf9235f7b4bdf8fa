"""Events as JSON: the output of `feedplane decode`, the `event` of a simulator's ledger, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from .errors import DecodeError
from .events import AnyEvent, Event

_INTERNAL = frozenset({"ordinal", "depth", "checksum"})
"""Fields that serve sequencing; `depth` stays for `book_top`, which is told apart by it."""
_RENAMED = {"gap_feed": "feed", "status_feed": "feed"}
_NAMED_BACK = {"gap": "gap_feed", "status": "status_feed"}


def event_dict(event: Event) -> dict[str, Any]:
    """One JSON-ready dict: `type` first, prices and sizes as text, times as integer ns."""
    raw = msgspec.to_builtins(event)
    if raw["type"] == "book_top":
        return dict(raw)
    return {_RENAMED.get(key, key): value for key, value in raw.items() if key not in _INTERNAL}


def event_line(event: Event) -> bytes:
    """One line of NDJSON, newline included."""
    return orjson.dumps(event_dict(event), option=orjson.OPT_APPEND_NEWLINE)


def event_from_dict(raw: dict[str, Any]) -> AnyEvent:
    """Inverse of `event_dict` for all that it kept. Raises: msgspec.ValidationError."""
    feed_key = _NAMED_BACK.get(raw.get("type", ""))
    if feed_key is not None:
        raw = {(feed_key if key == "feed" else key): value for key, value in raw.items()}
    event: AnyEvent = msgspec.convert(raw, AnyEvent)
    return event


def error_line(error: DecodeError, line: int) -> bytes:
    """A `decode_error` object for input line `line` (from 1)."""
    body = {"type": "decode_error", "code": error.code, "channel": error.channel, "line": line, "detail": error.detail}
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)
