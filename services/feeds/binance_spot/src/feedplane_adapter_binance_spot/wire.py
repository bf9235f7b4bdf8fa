"""What all Binance Spot messages share: bounded numbers, times in two units, the combined-stream envelope."""

from __future__ import annotations

from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.names import NS_PER_MS, NS_PER_US

EXCHANGE = "binance_spot"

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Trade and update ids: what a 64-bit column holds."""
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Symbol: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
WireLevels: TypeAlias = list[tuple[str, str]]
"""`[["0.0024","10"]]`: price and absolute quantity."""

_MS_LIMIT = 9_223_372_036_854  # beyond it a time in ms does not fit 64 bits of ns
_US_FLOOR = 10**14
_US_LIMIT = 9_223_372_036_854_775

T = TypeVar("T")


class Envelope(msgspec.Struct, Generic[T], gc=False):
    """`{"stream":"btcusdt@trade","data":{...}}`; the name is read from the bytes before."""

    data: T


def event_ns(time: int, channel: str) -> int:
    """A venue time in ns. The unit (ms, or us where `timeUnit=MICROSECOND` was asked for) is told from the magnitude: no ms time reaches 10**14 before the year 5138.

    Raises: DecodeError `number_range` for a time that neither unit explains.
    Source: Binance spot API docs, WebSocket Streams, "General information" (timeUnit); public-data README, "timestamps", read 2026-11-20.
    """
    if 0 < time <= _MS_LIMIT:
        return time * NS_PER_MS
    if _US_FLOOR < time <= _US_LIMIT:
        return time * NS_PER_US
    raise DecodeError(channel, "number_range", "time is neither ms nor us")


def refusal(channel: str, error: Exception) -> DecodeError:
    """The `DecodeError` for what msgspec raised: `schema` for JSON of another shape, `json` for what is no JSON."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])


JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that a msgspec decoder raises on hostile bytes; `RecursionError` is deep nesting."""
