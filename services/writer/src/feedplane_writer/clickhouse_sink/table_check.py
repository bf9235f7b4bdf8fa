"""Whether a table takes what we send, told by its columns and not by an error's text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

_FAMILIES: Final = (
    (pa.types.is_string, ("String", "FixedString", "Enum8", "Enum16")),
    (pa.types.is_timestamp, ("DateTime64", "DateTime")),
    (pa.types.is_boolean, ("Bool", "UInt8")),
    (pa.types.is_integer, ("Int", "UInt", "Decimal")),
)
_WRAPPERS: Final = ("LowCardinality(", "Nullable(")


def table_faults(sent: pa.Schema, columns: Mapping[str, str]) -> list[str]:
    """What is wrong with a table whose columns have these types, for rows of `sent`; empty where it is as it should
    be."""
    if not columns:
        return ["the table is missing"]
    faults = [f"column {field.name} is missing" for field in sent if field.name not in columns]
    faults += [
        f"column {field.name} is {columns[field.name]}, which {field.type} does not fit"
        for field in sent
        if field.name in columns and not _takes(_bare(columns[field.name]), field.type)
    ]
    return faults


def _bare(kind: str) -> str:
    for wrapper in _WRAPPERS:
        while kind.startswith(wrapper):
            kind = kind[len(wrapper) : -1]
    return kind


def _takes(kind: str, sent: pa.DataType) -> bool:
    if pa.types.is_dictionary(sent):
        return _takes(kind, sent.value_type)
    if pa.types.is_decimal(sent):
        return kind.startswith("Decimal") and kind.endswith(f", {sent.scale})")
    return any(kind.startswith(names) for is_of, names in _FAMILIES if is_of(sent))
