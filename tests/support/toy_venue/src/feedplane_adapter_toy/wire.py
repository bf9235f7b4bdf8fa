"""What all Toy messages share: bounded numbers and one way to refuse what is not understood."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from feedplane_core.errors import DecodeError

EXCHANGE = "toy"

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Trade ids and sequence numbers: what a 64-bit column holds."""
Millis: TypeAlias = Annotated[int, msgspec.Meta(gt=0, le=9_223_372_036_854)]
"""A time whose nanoseconds fit 64 bits."""
Market: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
WireLevels: TypeAlias = list[tuple[str, str]]
"""`[["64250.10","0.5"]]`: price and absolute quantity."""

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on hostile bytes; `RecursionError` is deep nesting."""


def refusal(channel: str, error: Exception) -> DecodeError:
    """`schema` for JSON of another shape, `json` for what is no JSON."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])
