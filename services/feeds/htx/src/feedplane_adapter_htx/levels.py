"""Levels of a book: from the raw JSON of `[[price, size], ...]`, where both are numbers, to texts, without parsing a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec
from feedplane_core.decimals import SCALE, Dec, Level, Levels, exact_product, non_negative, positive
from feedplane_core.errors import DecodeError

from .wire import MaybeNumber, decoding, text_of

_NUMBER = r"[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+"
_PRICE_ABOVE_ZERO = r"(?=[0.]*+[1-9])"
_PLAIN_LEVELS = re.compile(
    rf"\[\[{_PRICE_ABOVE_ZERO}{_NUMBER},{_NUMBER}\](?:,\[{_PRICE_ABOVE_ZERO}{_NUMBER},{_NUMBER}\])*+\]"
).fullmatch
_rows = msgspec.json.Decoder(list[list[msgspec.Raw]])
_WHOLE_DIGITS = 20
_MEMO_CAP = 1 << 14
_written_out: dict[str, Dec] = {}
"""Prices as the venue writes them -> plain: those of cheap coins all come as `9.2E-7`, and they repeat."""

ToBase: TypeAlias = Callable[[Dec], Dec]
"""A quantity as the venue counts it -> base units."""


def levels_of(raw: MaybeNumber, channel: str) -> Levels:
    """Levels as `[price, qty]` texts, all plain, prices above zero; none where the side is absent or null: it has not changed.

    One regular expression over the raw JSON, then two splits: 0.1 us a level against 0.5 for decoding numbers that keep their digits.
    Raises: DecodeError.
    """
    if raw is msgspec.UNSET:
        return ()
    text = _ascii(raw, channel)
    if text == "[]":
        return ()
    if _PLAIN_LEVELS(text) is not None:
        return [pair.split(",") for pair in text[2:-2].split("],[")]
    if text == "null":
        return ()
    return [_level(row, channel) for row in decoding(channel, _rows.decode, bytes(raw))]


def _ascii(raw: msgspec.Raw, channel: str) -> str:
    try:
        return str(raw, "ascii")
    except UnicodeDecodeError:
        raise DecodeError(channel, "number", "levels that are no ASCII") from None


def _level(row: Sequence[msgspec.Raw], channel: str) -> Level:
    """Exponents, quotes, white space and further elements: rare enough to be read one by one."""
    if len(row) < 2:
        raise DecodeError(channel, "schema", f"a level of {len(row)} numbers")
    price = text_of(row[0], channel)
    return [
        _written_out.get(price) or _write_out(price, channel),
        non_negative(text_of(row[1], channel), channel, "qty"),
    ]


def _write_out(price: str, channel: str) -> Dec:
    plain = positive(price, channel, "price")
    if len(_written_out) >= _MEMO_CAP:
        _written_out.clear()
    _written_out[price] = plain
    return plain


def in_base(levels: Levels, to_base: ToBase) -> Levels:
    """The same levels with their quantities in base units."""
    return [[price, to_base(qty)] for price, qty in levels]


def multiplier(factor: Dec, channel: str) -> ToBase:
    """Exact multiplication of plain texts by a fixed factor, normalised: `"38"` by `"0.001"` is `"0.038"`.

    Whole numbers, which contracts are, are multiplied as integers, and by a power of ten, which most sizes are, as text (0.4 us against 3 for Decimals); the
    result is that of `exact_product`.
    """
    _, digits, exponent = Decimal(factor).normalize().as_tuple()
    assert isinstance(exponent, int)
    whole_factor = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    places = max(-exponent, 0)

    def to_base(text: Dec) -> Dec:
        if not text.isdecimal() or (text[0] == "0" and text != "0"):
            return exact_product(text, factor, channel=channel)
        product = text if whole_factor == 1 else str(int(text) * whole_factor)
        fraction = ""
        if places:
            if len(product) <= places:
                product = product.zfill(places + 1)
            product, fraction = product[:-places], product[-places:].rstrip("0")
        if len(product) > _WHOLE_DIGITS or len(fraction) > SCALE:
            raise DecodeError(channel, "number_range", "qty does not fit Decimal(38,18)")
        return f"{product}.{fraction}" if fraction else product

    return to_base
