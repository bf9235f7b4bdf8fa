"""What every payload of this venue is made of: times, ids, topics, and how JSON is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from feedplane_core.errors import DecodeError

T = TypeVar("T")

EXCHANGE = "bybit"

MAX_MS = 9_223_372_036_854
"""The last epoch millisecond that fits an int64 of nanoseconds."""
Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_MS)]
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) - 1)]
Side: TypeAlias = Literal["Buy", "Sell"]
Kind: TypeAlias = Literal["snapshot", "delta"]

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


def ms_of(text: str, channel: str, field: str) -> int | None:
    """Milliseconds that come as text; `None` for `""` and `"0"`, which mean that there is none.

    Raises: DecodeError `schema`.
    """
    if text in ("", "0"):
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_MS)) or not 0 < int(text) <= MAX_MS:
        raise DecodeError(channel, "schema", f"{field} is no time in milliseconds")
    return int(text)


def check_symbol(found: str, expected: str, channel: str) -> None:
    """Raises: DecodeError where a payload is of another instrument than its topic."""
    if found != expected:
        raise DecodeError(channel, "schema", f"{found[:64]!r} on a topic of {expected[:64]!r}")
