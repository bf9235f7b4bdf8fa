"""Decimal columns as the shortest plain text of the same number: `7.611`, never `7.6110` and never `1E-7`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_ZERO: Final = "0E-18"  # how Arrow writes 0 at scale 18


def decimal_texts(columns: Sequence[pa.Array]) -> list[list[str | None]]:
    """The texts of several decimal128(38, 18) columns; null stays `None`. Exact: trailing zeros are all that goes.

    The columns are converted as one: a kernel call costs more than fifty numbers.
    """
    joined = columns[0] if len(columns) == 1 else pa.concat_arrays(columns)
    padded = joined.cast(pa.string())
    texts = pc.utf8_rtrim(pc.utf8_rtrim(padded, "0"), ".").to_pylist()
    if any("E" in text for text in texts if text):
        # Numbers under 1e-6 come with an exponent, which must not be trimmed: 1.00E-10 is not 1.00E-1.
        whole = padded.to_pylist()
        texts = [_plain(whole[i]) if text and "E" in text else text for i, text in enumerate(texts)]
    parts, start = [], 0
    for column in columns:
        parts.append(texts[start : start + len(column)])
        start += len(column)
    return parts


def integer_texts(column: pa.Array) -> list[str]:
    """Integers or timestamp[ns] as text, `""` for null: nothing is filled in."""
    return ["" if value is None else str(value) for value in column.cast(pa.int64()).to_pylist()]


@lru_cache(maxsize=4_096)
def _plain(text: str) -> str:
    if text == _ZERO:
        return "0"
    plain = format(Decimal(text), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
