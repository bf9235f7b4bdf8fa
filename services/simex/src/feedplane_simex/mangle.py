"""Breaking payloads on purpose, without knowing their venue: works on the text of the number that matters most in the message."""

from __future__ import annotations

import re
from collections.abc import Callable

from feedplane_core.dialect import Message
from feedplane_core.events import BookSnapshot, DepthDiff, Event

_NUMBER_FIELDS = ("price", "bid_price", "open", "mark_price", "rate", "open_interest")
_DEEP = 10_000


def _telling_number(event: Event) -> str | None:
    """The text of a price (or rate, or interest) that a decoder cannot do without."""
    if isinstance(event, BookSnapshot | DepthDiff):
        levels = event.bids or event.asks
        return levels[0][0] if levels else None
    for field in _NUMBER_FIELDS:
        value = getattr(event, field, None)
        if value is not None:
            return str(value)
    return None


def _value_pattern(message: Message) -> re.Pattern[bytes] | None:
    number = _telling_number(message.events[0]) if message.events else None
    if number is None:
        return None
    text = re.escape(number.encode())
    return re.compile(rb'"' + text + rb'"|(?<![\w."-])' + text + rb'(?![\w."])')


def _replace(payload: bytes, pattern: re.Pattern[bytes], bare: bytes) -> bytes:
    return pattern.sub(lambda m: b'"' + bare + b'"' if m[0].startswith(b'"') else bare, payload, count=1)


def _without(payload: bytes, pattern: re.Pattern[bytes]) -> bytes:
    keyed = re.compile(rb'"\w+":(?:' + pattern.pattern + rb"),?")
    changed = keyed.sub(b"", payload, count=1)
    if changed == payload:
        changed = re.compile(rb"(?:" + pattern.pattern + rb"),?").sub(b"", payload, count=1)
    return changed.replace(b",}", b"}").replace(b",]", b"]")


def _first_object(payload: bytes, insert: bytes) -> bytes:
    if payload[:1] not in (b"{", b"["):
        return payload  # binary: a brace in it is no object
    place = payload.find(b"{") + 1
    return payload[:place] + insert + payload[place:] if place else payload


def _with_repeated_key(payload: bytes) -> bytes:
    pair = re.search(rb'"\w+":(?:"[^"]*"|-?[\d.]+|true|false|null)(?=,)', payload)
    return _first_object(payload, pair[0] + b",") if pair else payload


def _truncated(payload: bytes) -> bytes:
    return payload[: max(1, len(payload) * 2 // 3)]


_BREAKS: dict[str, Callable[[bytes, re.Pattern[bytes]], bytes]] = {
    "nan": lambda payload, pattern: _replace(payload, pattern, b"NaN"),
    "huge": lambda payload, pattern: _replace(payload, pattern, b"1e400"),
    "negzero": lambda payload, pattern: _replace(payload, pattern, b"-0"),
    "type": lambda payload, pattern: pattern.sub(b'{"a":true}', payload, count=1),
    "missing": _without,
}
HARMLESS = frozenset({"dupkeys", "extra"})
"""Changes that a decoder is to live with."""


def mangled(message: Message, how: str) -> bytes:
    """The payload broken in the way asked for; where a payload has nothing to break that way (binary, no numbers) it is cut short."""
    payload = message.payload
    if how == "extra":
        return _first_object(payload, b'"newField":{"since":1},')
    if how == "dupkeys":
        return _with_repeated_key(payload)
    if how == "utf8":
        return payload[:-1] + b"\xff\xc3(" + payload[-1:]
    if how == "deep":
        return b"[" * _DEEP + b"]" * _DEEP
    if how == "unknown":
        return b'{"e":"neverHeardOf","channel":"neverHeardOf","type":"neverHeardOf"}'
    change, pattern = _BREAKS.get(how), _value_pattern(message)
    if change is not None and pattern is not None:
        changed = change(payload, pattern)
        if changed != payload:
            return changed
    return _truncated(payload)
