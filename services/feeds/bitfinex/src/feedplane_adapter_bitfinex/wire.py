"""What all Bitfinex messages share: arrays without keys, numbers kept as their digits, times in ms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from feedplane_core.decimals import Dec, is_zero, non_negative, plain, positive
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_MS

EXCHANGE = "bitfinex"

Value: TypeAlias = Any
"""One JSON value: the digits of a float as text, an int as an int. Everything that is read of it is checked here."""
Row: TypeAlias = Sequence[Value]
"""An array; rows may grow at the end at any time and old ones are shorter, so no length is ever tested for equality."""

MAX_MS = 9_223_372_036_854
"""The last epoch millisecond that fits an int64 of nanoseconds."""
MIN_MS = 10**12
"""Of 2001: a number at the end of a frame is a time from here on, and a sequence number below."""
_MAX_INT = 10**38

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on hostile bytes; `RecursionError` is deep nesting."""

_decode = msgspec.json.Decoder(float_hook=str).decode


def decoded(channel: str, text: bytes) -> Value:
    """Any JSON, floats as the text that was sent, so that no digit is lost.

    Raises: DecodeError `json`.
    """
    try:
        return _decode(text)
    except JSON_ERRORS as error:
        raise DecodeError(channel, "json", str(error)[:200]) from None


def at(row: Row, index: int) -> Value:
    """`None` beyond the end of a row."""
    return row[index] if index < len(row) else None


def row_of(value: Value, channel: str, least: int) -> Row:
    """Raises: DecodeError `schema` for what is no array of at least so many values."""
    if type(value) is not list or len(value) < least:
        raise DecodeError(channel, "schema", f"no array of {least} values or more")
    return value


def text_of(value: Value, channel: str, field: str) -> str:
    """The digits of a number. Raises: DecodeError."""
    if type(value) is str:
        return value
    if type(value) is not int:
        raise DecodeError(channel, "number", f"{field} is {type(value).__name__}, not a number")
    if not -_MAX_INT < value < _MAX_INT:
        raise DecodeError(channel, "number_range", f"{field} does not fit Decimal(38,18)")
    return str(value)


def price_of(value: Value, channel: str, field: str = "price") -> Dec:
    """Raises: DecodeError for what is no positive number."""
    return positive(text_of(value, channel, field), channel, field)


def size_of(value: Value, channel: str, field: str) -> Dec:
    """Raises: DecodeError for what is no number, or below zero."""
    return non_negative(text_of(value, channel, field), channel, field)


def rate_of(value: Value, channel: str, field: str) -> Dec:
    """Of either sign. Raises: DecodeError."""
    return plain(text_of(value, channel, field), channel, field)


def signed_size(value: Value, channel: str, field: str = "amount") -> tuple[Dec, bool]:
    """(size, is positive) of an amount whose sign is a side. Raises: DecodeError, also for zero: it has no side."""
    text = plain(text_of(value, channel, field), channel, field)
    if is_zero(text):
        raise DecodeError(channel, "number", f"{field} is zero")
    return (text[1:], False) if text[0] == "-" else (text, True)


def ms_ns(value: Value, channel: str, field: str = "time") -> int:
    """Epoch milliseconds in ns. Raises: DecodeError."""
    if type(value) is not int or not 0 < value <= MAX_MS:
        raise DecodeError(channel, "schema", f"{field} is no epoch in milliseconds")
    return value * NS_PER_MS
