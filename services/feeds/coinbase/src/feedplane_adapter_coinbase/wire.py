"""What all Coinbase messages share: bounded numbers, exact times."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, TypeAlias

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_S

EXCHANGE = "coinbase"

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Product: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Side: TypeAlias = Literal["buy", "sell"]

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on hostile bytes; `RecursionError` is deep nesting."""

_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)", re.ASCII).fullmatch
_ZERO_TIME = "0001-01-01"  # Go's zero time: the venue did not know
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_FIRST_YEAR, _LAST_YEAR = 1970, 2261  # what 64 bits of ns hold
_MICROS_LENGTH = len("2014-11-07T08:19:27.028459Z")
_MEMO_CAP = 4_096

_seconds: dict[str, int] = {}
"""`2014-11-07T08:19:27` -> ns: a second has many messages and one date (0.2 us a time against 1.2)."""


def iso_ns(text: str, channel: str) -> int | None:
    """An ISO-8601 UTC time with up to nine decimals in ns, exactly; `None` for the venue's zero time 0001-01-01.

    Raises: DecodeError `schema` for any other text, `number_range` for a year that 64 bits of ns do not hold.
    """
    if len(text) == _MICROS_LENGTH and text[19] == "." and text[26] == "Z":
        second = _seconds.get(text[:19])
        micros = text[20:26]
        if second is not None and micros.isdecimal() and micros.isascii():
            return second + int(micros) * 1_000
    return _parse_iso(text, channel)


def _parse_iso(text: str, channel: str) -> int | None:
    if text.startswith(_ZERO_TIME):
        return None
    parsed = _ISO(text)
    if parsed is None:
        raise DecodeError(channel, "schema", "time is not ISO-8601 UTC")
    whole, fraction = parsed.groups(default="")
    return _second_ns(whole, channel) + int(fraction.ljust(9, "0"))


def _second_ns(text: str, channel: str) -> int:
    known = _seconds.get(text)
    if known is not None:
        return known
    year, hour, minute, second = int(text[:4]), int(text[11:13]), int(text[14:16]), int(text[17:19])
    try:
        days = date(year, int(text[5:7]), int(text[8:10])).toordinal() - _EPOCH_ORDINAL
    except ValueError as error:
        raise DecodeError(channel, "schema", "no such date") from error
    if hour > 23 or minute > 59 or second > 59:
        raise DecodeError(channel, "schema", "no such time of day")
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise DecodeError(channel, "number_range", "year does not fit 64 bits of ns")
    ns = (days * 86_400 + hour * 3_600 + minute * 60 + second) * NS_PER_S
    if len(_seconds) >= _MEMO_CAP:
        _seconds.clear()
    _seconds[text] = ns
    return ns


def refusal(channel: str, error: Exception) -> DecodeError:
    """The `DecodeError` for what msgspec raised: `schema` for JSON of another shape, `json` for what is no JSON."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])
