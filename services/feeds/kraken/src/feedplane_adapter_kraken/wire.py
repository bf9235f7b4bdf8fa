"""What all Kraken messages share: JSON numbers kept as their digits, exact times, and how JSON is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from feedplane_core.decimals import Dec, Levels, are_plain, check_levels, non_negative, plain, positive
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_MS, NS_PER_S

T = TypeVar("T")

EXCHANGE = "kraken"

Number: TypeAlias = Any
"""A JSON number: the digits of a float as text (`float_hook`), an int as an int. Anything else is refused by `text_of`."""
MAX_MS = 9_223_372_036_854
"""The last epoch millisecond that fits an int64 of nanoseconds."""
Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_MS)]
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) - 1)]
Crc: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Side: TypeAlias = Literal["buy", "sell"]
Kind: TypeAlias = Literal["snapshot", "update"]

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on hostile bytes; `RecursionError` is deep nesting."""

_MAX_INT = 10**38

_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)", re.ASCII).fullmatch
_SECONDS = re.compile(r"(\d{1,10})(?:\.(\d{1,18}))?", re.ASCII).fullmatch
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_YEAR = 2261  # what 64 bits of ns hold
_MICROS_LENGTH = len("2023-10-06T17:35:56.123456Z")
_MEMO_CAP = 4_096
_seconds: dict[str, int] = {}
"""`2023-10-06T17:35:56` -> ns: a second has many messages and one date."""


class Level(msgspec.Struct, gc=False):
    """`{"price":0.5666,"qty":4831.75496356}`."""

    price: Number
    qty: Number


def decoder(shape: type[T]) -> Callable[[bytes], T]:
    """Decodes JSON into `shape`; a float becomes the text that was sent, so that no digit is lost."""
    return msgspec.json.Decoder(shape, float_hook=str).decode


def text_of(value: Number, channel: str, field: str) -> str:
    """The digits of a JSON number. Raises: DecodeError `number` for what is none, `number_range` for an int that fits nowhere."""
    if type(value) is str:
        return value
    if type(value) is not int:
        raise DecodeError(channel, "number", f"{field} is {type(value).__name__}, not a number")
    if not -_MAX_INT < value < _MAX_INT:
        raise DecodeError(channel, "number_range", f"{field} does not fit Decimal(38,18)")
    return str(value)


def price_of(value: Number, channel: str, field: str = "price") -> Dec:
    """Raises: DecodeError for what is no positive number."""
    return positive(text_of(value, channel, field), channel, field)


def size_of(value: Number, channel: str, field: str = "qty") -> Dec:
    """Raises: DecodeError for what is no number, or below zero."""
    return non_negative(text_of(value, channel, field), channel, field)


def levels_of(levels: list[Level], channel: str) -> Levels:
    """`[(price, qty), ...]` as sent. Raises: DecodeError."""
    pairs = [
        (
            level.price if type(level.price) is str else price_of(level.price, channel),
            level.qty if type(level.qty) is str else text_of(level.qty, channel, "qty"),
        )
        for level in levels
    ]
    return check_levels(pairs, channel)


def sizes_of(channel: str, *values: Number) -> Sequence[Dec]:
    """`size_of` for several numbers of one message, at the price of one."""
    texts = [value if type(value) is str else text_of(value, channel, "number") for value in values]
    return texts if are_plain(*texts) else [non_negative(text, channel, "number") for text in texts]


def trimmed(text: Dec) -> Dec:
    """Without the zeros that REST pads with: `105910.50000` -> `105910.5`, as the socket prints it."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def iso_ns(text: str, channel: str) -> int:
    """An ISO-8601 UTC time with up to nine decimals in ns, exactly.

    Raises: DecodeError `schema` for any other text, `number_range` for a year that 64 bits of ns do not hold.
    """
    if len(text) == _MICROS_LENGTH and text[19] == "." and text[26] == "Z":
        second = _seconds.get(text[:19])
        micros = text[20:26]
        if second is not None and micros.isdecimal() and micros.isascii():
            return second + int(micros) * 1_000
    parsed = _ISO(text)
    if parsed is None:
        raise DecodeError(channel, "schema", "time is not ISO-8601 UTC")
    whole, fraction = parsed.groups(default="")
    return _second_ns(whole, channel) + int(fraction.ljust(9, "0"))


def time_ns(text: str, channel: str) -> int | None:
    """`iso_ns`, or `None` for `""` and for the epoch, which the venue stamps where it has no time. Raises: DecodeError."""
    return iso_ns(text, channel) or None if text else None


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
    ns = (days * 86_400 + hour * 3_600 + minute * 60 + second) * NS_PER_S
    if ns < 0 or year > _LAST_YEAR:
        raise DecodeError(channel, "number_range", "year does not fit 64 bits of ns")
    if len(_seconds) >= _MEMO_CAP:
        _seconds.clear()
    _seconds[text] = ns
    return ns


def seconds_ns(value: Number, channel: str) -> int:
    """Epoch seconds with decimals (`1534614057.321597`) in ns, cut to the microseconds that sockets send.

    Raises: DecodeError.
    """
    parsed = _SECONDS(text_of(value, channel, "time"))
    if parsed is None or not 0 < int(parsed[1]) < MAX_MS // 1_000:
        raise DecodeError(channel, "number_range", "time is no epoch in seconds")
    return int(parsed[1]) * NS_PER_S + int((parsed[2] or "")[:6].ljust(6, "0")) * 1_000


def ms_ns(value: Number, channel: str, field: str) -> int | None:
    """Epoch milliseconds in ns; `None` for 0. Raises: DecodeError."""
    whole = trimmed(plain(text_of(value, channel, field), channel, field))
    if not whole.isdecimal() or len(whole) > len(str(MAX_MS)) or int(whole) > MAX_MS:
        raise DecodeError(channel, "number_range", f"{field} is no epoch in milliseconds")
    return int(whole) * NS_PER_MS or None


def decoding(channel: str, decode: Callable[[bytes], T], body: bytes) -> T:
    """`decode(body)`, with every refusal of the JSON decoder as a DecodeError.

    Raises: DecodeError `schema` for JSON of another shape, `json` for what is none.
    """
    try:
        return decode(body)
    except JSON_ERRORS as error:
        raise refusal(channel, error) from None


def refusal(channel: str, error: Exception) -> DecodeError:
    """What the JSON decoder raised, as what an adapter raises."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])
