"""Durations and sizes: text with one unit in the file, integer nanoseconds and bytes in the program.

One number and one unit (`90m`, never `1h30m`), no fractions: each value has one reading, and the same pattern guards it
in the CRD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from feedplane_core.names import NS_PER_MS, NS_PER_S
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

NS_PER_UNIT = {"ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S, "d": 86_400 * NS_PER_S}
BYTES_PER_UNIT = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}

DURATION_PATTERN = r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[1-9][0-9]{0,8}(Ki|Mi|Gi|Ti)$"
QUANTITY_MAX_CHARS = 11

_QUANTITY = re.compile(r"([1-9][0-9]{0,8})([A-Za-z]+)").fullmatch
_LOOSE = re.compile(r"\s*([0-9][0-9_]*)\s*([A-Za-zµ]*)\s*").fullmatch

_DURATION_SLIPS = {
    "msec": "ms", "millis": "ms", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m",
    "minute": "m", "minutes": "m", "hr": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
}  # fmt: skip
_SIZE_SLIPS = {
    "k": "Ki", "kb": "Ki", "kib": "Ki", "m": "Mi", "mb": "Mi", "mib": "Mi", "g": "Gi", "gb": "Gi", "gib": "Gi", "t": "Ti",
    "tb": "Ti", "tib": "Ti",
}  # fmt: skip

_DURATION_HELP = "a duration is a whole number and one of ms, s, m, h, d, as in 200ms, 10s, 23h, 1d"
_SIZE_HELP = "a size is a whole number and one of Ki, Mi, Gi, Ti, as in 512Mi, 4Gi"


def parse_duration_ns(text: object) -> int:
    """`"200ms"` -> 200_000_000.

    Raises: PydanticCustomError `duration` naming what is accepted.
    """
    return _parse(text, NS_PER_UNIT, _DURATION_SLIPS, "duration", _DURATION_HELP)


def parse_size_bytes(text: object) -> int:
    """`"4Gi"` -> 4_294_967_296.

    Raises: PydanticCustomError `size` naming what is accepted.
    """
    return _parse(text, BYTES_PER_UNIT, _SIZE_SLIPS, "size", _SIZE_HELP)


def format_duration(value_ns: int) -> str:
    """The shortest text of a whole number of milliseconds: 86_400 s is `1d`, 90 s is `90s`."""
    return _format(value_ns, NS_PER_UNIT)


def format_size(value_bytes: int) -> str:
    return _format(value_bytes, BYTES_PER_UNIT)


def _parse(text: object, units: dict[str, int], slips: dict[str, str], kind: str, help_text: str) -> int:
    match = _QUANTITY(text) if isinstance(text, str) else None
    if match is not None and match[2] in units:
        return int(match[1]) * units[match[2]]
    context: dict[str, Any] = {"got": str(text)[:40], "help": help_text, "suggestion": _mended(text, units, slips)}
    raise PydanticCustomError(kind, "{got} is not accepted: {help}", context)


def _mended(text: object, units: dict[str, int], slips: dict[str, str]) -> str | None:
    """`"10 sec"` -> `"10s"`; None where the meaning would be a guess (a number without unit)."""
    match = _LOOSE(text) if isinstance(text, str) else None
    if match is None or int(match[1].replace("_", "")) == 0:
        return None
    unit = {name.lower(): name for name in units}.get(match[2].lower()) or slips.get(match[2].lower())
    return f"{int(match[1].replace('_', ''))}{unit}" if unit else None


def _format(value: int, units: dict[str, int]) -> str:
    for unit, factor in reversed(units.items()):
        if value % factor == 0:
            return f"{value // factor}{unit}"
    raise ValueError(f"{value} is no whole number of {next(iter(units))}")


@dataclass(frozen=True, slots=True)
class Duration:
    """Pydantic marker: an `int` of nanoseconds written as text, between `least` and `most` (both included)."""

    least: str
    most: str

    @property
    def pattern(self) -> str:
        return DURATION_PATTERN

    def parse(self, text: object) -> int:
        return _bounded(parse_duration_ns(text), parse_duration_ns(self.least), parse_duration_ns(self.most), self)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _text_schema(self.parse, format_duration)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return _json_schema(self, "duration")


@dataclass(frozen=True, slots=True)
class Size:
    """Pydantic marker: an `int` of bytes written as text, between `least` and `most` (both included)."""

    least: str
    most: str

    @property
    def pattern(self) -> str:
        return SIZE_PATTERN

    def parse(self, text: object) -> int:
        return _bounded(parse_size_bytes(text), parse_size_bytes(self.least), parse_size_bytes(self.most), self)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _text_schema(self.parse, format_size)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return _json_schema(self, "size")


def _bounded(value: int, least: int, most: int, marker: Duration | Size) -> int:
    if least <= value <= most:
        return value
    nearest = marker.least if value < least else marker.most
    context = {"least": marker.least, "most": marker.most, "suggestion": nearest}
    raise PydanticCustomError("out_of_bounds", "must be between {least} and {most}", context)


def _text_schema(parse: Any, write: Any) -> core_schema.CoreSchema:
    return core_schema.no_info_plain_validator_function(
        parse,
        serialization=core_schema.plain_serializer_function_ser_schema(write, return_schema=core_schema.str_schema()),
    )


def _json_schema(marker: Duration | Size, kind: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": marker.pattern, "maxLength": QUANTITY_MAX_CHARS}
    return schema | {"x-feedplane-bounds": {"kind": kind, "least": marker.least, "most": marker.most}}


CadenceNs = Annotated[int, Duration("10ms", "1h")]
"""How often a sampled feed is written."""
