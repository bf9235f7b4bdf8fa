"""Exact decimal text: what a price or size is between the wire and the stores.

`Dec` is plain decimal text (`"-12.50"`, never `"1e-7"`, never a float) that fits ClickHouse's `Decimal(38,18)`: at most 20 digits before the point and 18 after it.
Keys for ordering are integers scaled by 10**18, so they are exact for every text that passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import Any, TypeAlias

from . import plain as reference
from .cores import compiled
from .errors import DecodeError

Dec: TypeAlias = str
Level: TypeAlias = Sequence[str]
"""`[price, qty]`, as the JSON decoder made it."""
Levels: TypeAlias = Sequence[Level]

SCALE = 18
_UNIT = 10**SCALE
_MAX_DIGITS_BEFORE_POINT = 20
_LIMIT = Decimal(10) ** _MAX_DIGITS_BEFORE_POINT
_EXACT = Context(prec=76, rounding=ROUND_HALF_EVEN)

_MAX_NUMBER_CHARS = 128  # a longer text is refused before Decimal() spends time on it

_numbers: Any = compiled or reference
_is_plain: Callable[[object], bool] = _numbers.is_plain
_are_positive: Callable[..., bool] = _numbers.are_positive
are_plain_levels: Callable[[object], bool] = _numbers.are_plain_levels
"""Whether all levels are (price, qty) pairs of plain text, prices above zero, sizes without a sign."""
are_plain: Callable[..., bool] = _numbers.are_plain
"""Whether all texts are plain and without a sign: one check instead of one each."""


def plain(text: object, channel: str, field: str = "number") -> Dec:
    """`text` as plain decimal text, exactly; exponents are written out (`1e-7` -> `0.0000001`).

    Raises: DecodeError `number` if it is no finite number, `number_range` if it does not fit Decimal(38,18).
    """
    if not isinstance(text, str):
        raise DecodeError(channel, "number", f"{field} is {type(text).__name__}, not text")
    if _is_plain(text):
        return text
    return _normalise(text, channel, field)


def _normalise(text: str, channel: str, field: str) -> Dec:
    if len(text) > _MAX_NUMBER_CHARS or not text.isascii() or "_" in text or text.strip() != text:
        raise DecodeError(channel, "number", f"{field} is not a number")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise DecodeError(channel, "number", f"{field} is not a number") from None
    if not value.is_finite():
        raise DecodeError(channel, "number", f"{field} is not finite")
    return decimal_text(value, channel, field)


def decimal_text(value: Decimal, channel: str = "-", field: str = "number") -> Dec:
    """An exact Decimal as plain text.

    Raises: DecodeError `number_range` if it does not fit Decimal(38,18) without loss.
    """
    if value.adjusted() >= _MAX_DIGITS_BEFORE_POINT or value.adjusted() < -4 * SCALE:
        if value == 0:
            return "0"
        raise DecodeError(channel, "number_range", f"{field} does not fit Decimal(38,18)")
    text = format(value, "f")
    whole, _, fraction = text.partition(".")
    if len(fraction) > SCALE:
        if fraction[SCALE:].strip("0"):
            raise DecodeError(channel, "number_range", f"{field} has more than {SCALE} decimals")
        text = f"{whole}.{fraction[:SCALE]}"
    return text


def positive(text: object, channel: str, field: str) -> Dec:
    """`plain`, and above zero.

    Raises: DecodeError `number` for zero or a negative number.
    """
    value = plain(text, channel, field)
    if value[0] == "-" or not value.strip("0."):
        raise DecodeError(channel, "number", f"{field} is not positive")
    return value


def non_negative(text: object, channel: str, field: str) -> Dec:
    """`plain`, and not below zero."""
    value = plain(text, channel, field)
    if value[0] == "-" and value.strip("-0."):
        raise DecodeError(channel, "number", f"{field} is negative")
    return value.lstrip("-")


def check_levels(levels: Levels, channel: str) -> Levels:
    """The same levels if all of their numbers are plain and not negative, else levels with every number normalised.

    Raises: DecodeError as `plain`.
    """
    if not levels or are_plain_levels(levels):
        return levels
    return [_checked_level(level, channel) for level in levels]


def _checked_level(level: Level, channel: str) -> Level:
    if len(level) != 2:
        raise DecodeError(channel, "schema", f"a level of {len(level)} numbers")
    return positive(level[0], channel, "price"), non_negative(level[1], channel, "qty")


def positives(channel: str, *texts: str) -> Sequence[Dec]:
    """`texts`, all `positive`: one check for several numbers of one message.

    Raises: DecodeError as `positive`.
    """
    if _are_positive(*texts):
        return texts
    return [positive(text, channel, "number") for text in texts]


def is_zero(text: Dec) -> bool:
    """Whether plain decimal text is zero in any padding: `0`, `0.00000000`."""
    return text[0] in "0-" and not text.strip("-0.")


def scaled(text: Dec) -> int:
    """`text` * 10**18 as an exact integer: the ordering key of prices, equal for equal values in any zero padding."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(SCALE, "0")) if len(fraction) <= SCALE else int(Decimal(text).scaleb(SCALE))


def unscaled(key: int) -> Dec:
    """The shortest plain text of `key` / 10**18; inverse of `scaled` up to zero padding."""
    sign, magnitude = ("-", -key) if key < 0 else ("", key)
    whole, fraction = divmod(magnitude, _UNIT)
    tail = f".{fraction:018d}".rstrip("0").rstrip(".") if fraction else ""
    return f"{sign}{whole}{tail}"


def exact_product(*factors: Dec, channel: str = "-", field: str = "qty") -> Dec:
    """The exact product of plain texts, in the shortest plain text. In integers: half the time that `Decimal` takes.

    Raises: DecodeError `number_range` if it does not fit Decimal(38,18).
    """
    digits, places = 1, 0
    for factor in factors:  # `_integer_of`, written out: contracts become base units level by level
        whole, _, fraction = factor.partition(".")
        digits *= int(whole + fraction)
        places += len(fraction)
    return _text_of(digits, places, channel, field)


def rounded_ratio(factors: Iterable[Dec], divisor: Dec, channel: str = "-", field: str = "qty") -> Dec:
    """The product of plain texts over another, rounded half-even to 18 decimals, in the shortest plain text.

    Raises: DecodeError `number_range` if it does not fit Decimal(38,18), `number` for a divisor of zero.
    """
    numerator, places = _integer_of(factors)
    denominator, divisor_places = _integer_of((divisor,))
    if not denominator:
        raise DecodeError(channel, "number", f"{field} over zero")
    shift = SCALE + divisor_places - places
    if shift >= 0:
        numerator *= 10**shift
    else:
        denominator *= 10**-shift
    whole, rest = divmod(numerator, denominator)
    twice, limit = 2 * abs(rest), abs(denominator)
    if twice > limit or (twice == limit and whole & 1):
        whole += 1
    return _text_of(whole, SCALE, channel, field)


def _integer_of(factors: Iterable[Dec]) -> tuple[int, int]:
    """(n, places): the product is n / 10**places."""
    digits, places = 1, 0
    for factor in factors:
        whole, _, fraction = factor.partition(".")
        digits *= int(whole + fraction)
        places += len(fraction)
    return digits, places


def _text_of(digits: int, places: int, channel: str, field: str) -> Dec:
    """digits / 10**places without padding."""
    if digits < 0:
        return f"-{_text_of(-digits, places, channel, field)}"
    text = str(digits)
    if places:
        if len(text) <= places:
            text = text.rjust(places + 1, "0")
        fraction = text[-places:].rstrip("0")
        text = text[:-places]
        if fraction:
            if len(fraction) > SCALE:
                raise DecodeError(channel, "number_range", f"{field} has more than {SCALE} decimals")
            if len(text) <= _MAX_DIGITS_BEFORE_POINT:
                return f"{text}.{fraction}"
    if len(text) > _MAX_DIGITS_BEFORE_POINT:
        raise DecodeError(channel, "number_range", f"{field} does not fit Decimal(38,18)")
    return text


def quotient(numerator: Decimal, denominator: Decimal, places: int = SCALE) -> Decimal:
    """`numerator / denominator` rounded half-even to `places` decimals: the one inexact operation there is."""
    with localcontext(_EXACT):
        return (numerator / denominator).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)


def total(texts: Iterable[Dec]) -> Decimal:
    """The exact sum of plain texts."""
    with localcontext(_EXACT):
        return sum((Decimal(text) for text in texts), Decimal(0))
