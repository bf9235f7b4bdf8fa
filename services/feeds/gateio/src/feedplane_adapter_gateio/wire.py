"""What every payload of this venue is made of: envelopes, times in four units, numbers as text or as JSON numbers, and how JSON is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_MS, NS_PER_S

T = TypeVar("T")
R = TypeVar("R")

EXCHANGE = "gateio"

ABSENT = msgspec.Raw(b"")
"""A number that a frame may lack: `number_text` makes `""` of it, as of `null`."""

MAX_NS = (1 << 63) - 1
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_NS)]
"""Sequence numbers and times."""
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_NS // NS_PER_S)]
Id: TypeAlias = Count | Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
"""A number on sockets, text in some REST bodies."""

_JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SECONDS_BELOW, _MS_BELOW, _US_BELOW = 10**11, 10**14, 10**17


class Envelope(msgspec.Struct, Generic[R], frozen=True, gc=False, kw_only=True):
    """`{"time":1606292218,"time_ms":1606292218231,"channel":"spot.trades","event":"update","result":...}`; keys come in any order, some frames lack `event` or `time`."""

    channel: str
    result: R
    event: str = ""
    time: Seconds = 0
    time_ms: Count = 0


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


def number_text(raw: msgspec.Raw) -> str:
    """The text of a JSON number or of a JSON string, unchecked: contract sizes are one or the other (header `X-Gate-Size-Decimal`), a liquidation's price is a number.

    No float is ever made of it.
    """
    text = bytes(raw).decode("ascii", "replace")
    if text == "null":
        return ""
    return text[1:-1] if text[:1] == '"' else text


def instant_ns(value: int, channel: str) -> int | None:
    """A time in seconds, milliseconds, microseconds (seen in `t` of old frames) or nanoseconds, told by its magnitude; `None` for 0, which means that there is none.

    Raises: DecodeError `schema` beyond the year 2262.
    """
    return None if value == 0 else _checked(value * _unit_of(value), channel)


def instant_text_ns(raw: msgspec.Raw, channel: str) -> int:
    """A time with decimals, as number or text: `"1606292218213.4578"` is in milliseconds, `1514764800.123` in seconds.

    Raises: DecodeError `schema`.
    """
    text = number_text(raw)
    whole, _, fraction = text.partition(".")
    if not (text.isascii() and whole.isdecimal() and len(whole) <= 19 and (fraction or "0").isdecimal()):
        raise DecodeError(channel, "schema", "no time")
    unit = _unit_of(int(whole))
    decimals = len(str(unit)) - 1
    value = int(whole) * unit + int(fraction[:decimals].ljust(decimals, "0") or "0")
    if not value:
        raise DecodeError(channel, "schema", "no time")
    return _checked(value, channel)


def _unit_of(value: int) -> int:
    if value < _SECONDS_BELOW:
        return NS_PER_S
    if value < _MS_BELOW:
        return NS_PER_MS
    return 1_000 if value < _US_BELOW else 1


def _checked(value_ns: int, channel: str) -> int:
    if value_ns > MAX_NS:
        raise DecodeError(channel, "schema", "a time beyond the year 2262")
    return value_ns


def pushed_ns(frame: Envelope[R]) -> int | None:
    """When the venue sent it; frames of old have seconds alone."""
    return instant_ns(frame.time_ms or frame.time, frame.channel)


def rows_of(result: T | list[T]) -> list[T]:
    """Results that are a list today and were one object in old recordings, or the other way round."""
    return result if isinstance(result, list) else [result]
