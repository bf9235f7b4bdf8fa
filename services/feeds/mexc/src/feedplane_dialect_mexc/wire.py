"""Protobuf by hand, as far as spot's frames need it: the schema is spelled out once more, in numbers, apart from the adapter's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

CHANNEL, SYMBOL, CREATE_TIME, SEND_TIME = 1, 3, 5, 6
LIMIT_DEPTHS, KLINE, MINI_TICKER, DEPTHS, DEALS, BOOK_TICKER = 303, 308, 309, 313, 314, 315

_VARINT, _LENGTH = 0, 2


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """0 is the default and is not sent."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def blob(number: int, payload: bytes) -> bytes:
    """A message inside a message: sent even where it is empty."""
    return varint(number << 3 | _LENGTH) + varint(len(payload)) + payload


def text(number: int, value: str) -> bytes:
    """An empty text is the default and is not sent."""
    return blob(number, value.encode()) if value else b""


def levels(number: int, rows: Iterable[Sequence[str]]) -> bytes:
    return b"".join(blob(number, text(1, price) + text(2, qty)) for price, qty in rows)


def wrapped(
    channel: str, symbol: str, body_number: int, body: bytes, *, sent_ms: int = 0, created_ms: int = 0
) -> bytes:
    """One frame; the body is its last field."""
    times = integer(CREATE_TIME, created_ms) + integer(SEND_TIME, sent_ms)
    return text(CHANNEL, channel) + text(SYMBOL, symbol) + times + blob(body_number, body)


def channel_of(frame: bytes) -> str:
    """The channel of a frame, which is its first field; `""` where it is not."""
    if len(frame) < 2 or frame[0] != CHANNEL << 3 | _LENGTH or frame[1] > 0x7F:
        return ""
    return frame[2 : 2 + frame[1]].decode(errors="replace")


def number(value: str) -> orjson.Fragment:
    """A JSON number with the digits it has."""
    return orjson.Fragment(value.encode())
