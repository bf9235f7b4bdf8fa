"""What every payload of this venue is made of: times, versions, JSON numbers as exact text, and how JSON is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from feedplane_core.decimals import Dec, is_zero, non_negative, plain, positive
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_MS

T = TypeVar("T")

EXCHANGE = "mexc"

MAX_MS = 9_223_372_036_854
"""The last epoch millisecond that fits an int64 of nanoseconds."""
MAX_VERSION = (1 << 62) - 1
Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_MS)]
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_MS // 1_000 - 10_000_000)]
Version: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)]
TradeId: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
Number: TypeAlias = msgspec.Raw
"""A JSON number as the venue wrote it (`76374.4`, `7.548E+4`): decoding it to a float would not be exact."""

ABSENT = msgspec.Raw(b"null")
"""What a field of raw JSON is where it is absent: the decoder has no union of raw JSON and nothing."""

_JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decoding(channel: str, decode: Callable[[bytes], T], body: bytes) -> T:
    """`decode(body)`, with every refusal of the JSON decoder as a DecodeError.

    Raises: DecodeError `schema` for JSON of another shape, `json` for what is none.
    """
    try:
        return decode(body)
    except _JSON_ERRORS as error:
        raise refusal(channel, error) from None


def refusal(channel: str, error: Exception) -> DecodeError:
    """What the JSON decoder raised, as what an adapter raises."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])


def text_of(number: Number) -> str:
    """The text of a JSON number, or of a number in quotes; what else it may be is refused by the check that follows."""
    text = bytes(number).decode(errors="replace")
    return text[1:-1] if text.startswith('"') else text


def plain_of(number: Number, channel: str, field: str) -> Dec:
    return plain(text_of(number), channel, field)


def positive_of(number: Number, channel: str, field: str) -> Dec:
    return positive(text_of(number), channel, field)


def non_negative_of(number: Number, channel: str, field: str) -> Dec:
    return non_negative(text_of(number), channel, field)


def is_absent(number: Number) -> bool:
    return bytes(number) == b"null"


def price_or_none(number: Number, channel: str, field: str) -> Dec | None:
    """A price of which 0, `null` and absence say that there is none."""
    if is_absent(number):
        return None
    value = non_negative_of(number, channel, field)
    return None if is_zero(value) else value


def time_ns(ms: int, channel: str, field: str) -> int:
    """Raises: DecodeError `schema` where `ms` is no epoch millisecond."""
    if not 0 < ms <= MAX_MS:
        raise DecodeError(channel, "schema", f"{field} is no time in milliseconds")
    return ms * NS_PER_MS


def version_of(text: str, channel: str, field: str) -> int:
    """A version that comes as text: beyond 2**31, so never a short integer.

    Raises: DecodeError `schema`.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > MAX_VERSION:
        raise DecodeError(channel, "schema", f"{field} is no version")
    return int(text)
