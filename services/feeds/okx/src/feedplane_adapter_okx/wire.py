"""What every payload of this venue is made of: times and ids that come as text, the REST envelope, and how JSON is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

import msgspec
from feedplane_core.errors import DecodeError

T = TypeVar("T")

EXCHANGE = "okx"

MAX_MS = 9_223_372_036_854
"""The last epoch millisecond that fits an int64 of nanoseconds."""
Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_MS)]
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) - 1)]
"""Trade and book numbers."""
Side: TypeAlias = Literal["buy", "sell"]

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Body(msgspec.Struct, Generic[T], frozen=True):
    """Every REST answer: `{"code":"0","msg":"","data":[...]}`. HTTP may be 200 where `code` refuses."""

    code: str
    msg: str = ""
    data: list[T] = []


def decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    """Numbers and times come as text (`"ts":"1630048897897"`), so integers are read from text too."""
    return msgspec.json.Decoder(shape, strict=False)


def decoding(channel: str, decode: Callable[[bytes], T], body: bytes) -> T:
    """`decode(body)`, with every refusal of the JSON decoder as a DecodeError.

    Raises: DecodeError `schema` for JSON of another shape, `json` for what is none.
    """
    try:
        return decode(body)
    except JSON_ERRORS as error:
        raise refusal(channel, error) from None


def rows_of(channel: str, decode: Callable[[bytes], Body[T]], body: bytes) -> list[T]:
    """The rows of a REST answer.

    Raises: DecodeError `venue_error` where the venue refused, else as `decoding`.
    """
    answer = decoding(channel, decode, body)
    if answer.code != "0":
        raise DecodeError(channel, "venue_error", f"{answer.code}: {answer.msg}"[:200])
    return answer.data


def refusal(channel: str, error: Exception) -> DecodeError:
    """What the JSON decoder raised, as what an adapter raises."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])


def ms_of(text: str, channel: str, field: str) -> int | None:
    """Milliseconds of a field that may be `""`; `None` for that and for `"0"`.

    Raises: DecodeError `schema`.
    """
    if text in ("", "0"):
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_MS)) or not 0 < int(text) <= MAX_MS:
        raise DecodeError(channel, "schema", f"{field} is no time in milliseconds")
    return int(text)


def check_name(found: str, expected: str, channel: str) -> None:
    """Raises: DecodeError where a row is of another instrument than its channel."""
    if found != expected:
        raise DecodeError(channel, "schema", f"{found[:64]!r} on a channel of {expected[:64]!r}")
