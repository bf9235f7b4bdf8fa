"""What every message of this venue is made of: gzip, bounded integers, numbers that keep their digits."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from feedplane_core.errors import DecodeError

T = TypeVar("T")

EXCHANGE = "htx"

MAX_MS = 9_223_372_036_854
"""The last epoch millisecond that fits an int64 of nanoseconds."""
Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_MS)]
Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) - 1)]
Number: TypeAlias = msgspec.Raw
"""A JSON number as its digits, or a text that holds one: never a float."""
MaybeNumber: TypeAlias = msgspec.Raw | msgspec.UnsetType

MAX_PLAIN_BYTES = 16 << 20
"""Of one frame, decompressed. The largest real ones are a hundredth of it."""

_GZIP = 31  # zlib: 32 KiB window, gzip header
_JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def unzipped(frame: bytes) -> bytes:
    """The JSON inside a frame: each is a whole gzip member of its own.

    Raises: DecodeError `compression` for what is none, `too_large` for what inflates beyond bounds.
    """
    inflater = zlib.decompressobj(_GZIP)
    try:
        plain = inflater.decompress(frame, MAX_PLAIN_BYTES)
    except zlib.error as error:
        raise DecodeError("-", "compression", str(error)) from None
    if inflater.eof:
        return plain
    if len(plain) >= MAX_PLAIN_BYTES:
        raise DecodeError("-", "too_large", f"inflates to more than {MAX_PLAIN_BYTES} bytes")
    raise DecodeError("-", "compression", "the gzip member is cut short")


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


def text_of(raw: Number, channel: str) -> str:
    """The digits of a number, with or without quotes around it; of anything else its JSON, which no number check lets pass.

    Raises: DecodeError `number` for bytes that are no ASCII.
    """
    try:
        text = str(raw, "ascii")
    except UnicodeDecodeError:
        raise DecodeError(channel, "number", "a number that is no ASCII") from None
    return text[1:-1] if text.startswith('"') else text


def is_absent(raw: MaybeNumber) -> bool:
    """Whether a field is missing or null."""
    return raw is msgspec.UNSET or bytes(raw) == b"null"


def ms_of(raw: MaybeNumber, channel: str, field: str) -> int | None:
    """Milliseconds that come as a number or as text; `None` where there are none.

    Raises: DecodeError `schema`.
    """
    if raw is msgspec.UNSET:
        return None
    text = text_of(raw, channel)
    if text in ("", "0", "null"):
        return None
    if not text.isdecimal() or len(text) > len(str(MAX_MS)) or not 0 < int(text) <= MAX_MS:
        raise DecodeError(channel, "schema", f"{field} is no time in milliseconds")
    return int(text)
