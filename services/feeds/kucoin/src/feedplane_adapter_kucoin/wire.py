"""What messages of both socket systems are made of: times in three units, numbers that may be text, and how JSON is refused."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

import msgspec
from feedplane_core.decimals import Dec, Level, Levels, check_levels
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_MS, Aggressor

EXCHANGE = "kucoin"

T = TypeVar("T")

Stamp: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""Epoch milliseconds or nanoseconds; `ns_of` tells which."""
Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=2**62)]
"""Sequences of books. A new listing's snapshot has been seen with -1 and 0."""
Symbol: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Side: TypeAlias = Literal["buy", "sell", "BUY", "SELL", "Buy", "Sell"]
"""The taker's, in any case."""

AGGRESSOR = {side: Aggressor(side.lower()) for side in ("buy", "sell", "BUY", "SELL", "Buy", "Sell")}

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on hostile bytes; `RecursionError` is deep nesting."""

_FIRST_NS = 10**17  # 1973 in nanoseconds; as milliseconds year 3 170 843
_MAX_MS = (2**63 - 1) // NS_PER_MS


NOTHING = msgspec.Raw(b"null")
"""Of a number that may be missing."""


class System(StrEnum):
    """The venue's two public socket systems. Their dialects are never mixed on a socket; offline frames of both are told by their shape."""

    UTA = "uta"
    CLASSIC = "classic"


class TradeType(StrEnum):
    """What the venue calls its two books of business: hosts, REST paths and `T` suffixes go by it."""

    SPOT = "SPOT"
    FUTURES = "FUTURES"


class Push(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A frame of the UTA system: `{"T":"trade.SPOT","P":1768802538491160904,"d":{...}}`. `P` is the push time."""

    d: T
    P: Stamp


class Message(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A frame of the classic system: `{"type":"message","topic":"/market/match:BTC-USDT","subject":"trade.l3match","data":{...}}`, keys in any order."""

    topic: str
    data: T
    subject: str = ""


def ns_of(stamp: int, channel: str) -> int:
    """A time in ns. The venue mixes units, once even on one channel (a published mark-price example has ms where live frames have ns).

    Raises: DecodeError `number_range` for a number that is neither.
    """
    if stamp >= _FIRST_NS:
        return stamp
    if stamp <= _MAX_MS:
        return stamp * NS_PER_MS
    raise DecodeError(channel, "number_range", "time is neither in ms nor in ns")


def number_text(raw: msgspec.Raw) -> Dec:
    """The digits of a JSON number, or of a string that holds one, untouched by binary floating point; still to be checked. `null` stays `null`."""
    return bytes(raw).decode(errors="replace").strip().strip('"')


def is_nothing(raw: msgspec.Raw) -> bool:
    return bytes(raw) == b"null"


def integer_of(value: int | str, channel: str, field: str) -> int:
    """A number that the venue sends as such or as text. Raises: DecodeError `number`, `number_range`."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
            raise DecodeError(channel, "number", f"{field} is not an integer")
        value = int(value)
    if not -1 <= value < 2**63:
        raise DecodeError(channel, "number_range", f"{field} does not fit 64 bits")
    return value


def pairs_of(rows: list[list[str]], channel: str) -> list[tuple[str, str]]:
    """Rows of `[price, size, ...]` as pairs. Raises: DecodeError `schema` for a shorter row."""
    try:
        return [(row[0], row[1]) for row in rows]
    except IndexError:
        raise DecodeError(channel, "schema", "a level of less than two numbers") from None


def priced_levels(levels: Levels, channel: str) -> Levels:
    """The levels, checked, without those of price 0, which change no book (only their sequence counts)."""
    kept: list[Level] = [level for level in levels if level[0].strip("0.")]
    return check_levels(kept, channel)


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
