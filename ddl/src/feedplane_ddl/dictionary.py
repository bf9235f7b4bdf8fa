"""The data dictionary: every column and every event field with its type, unit and meaning, and the page made from
it. Pure.

A test holds it against the tables that the engine really has and against the event types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .event_fields import EVENTS
from .table_fields import TABLES


@dataclass(frozen=True)
class Field:
    """One row of the dictionary."""

    name: str
    type: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """A table or an event type: what a row is, and its fields in order."""

    name: str
    meaning: str
    fields: tuple[Field, ...]


def _section(name: str, text: str) -> Section:
    """Parses `meaning`, then one `name | type | unit | meaning` a line."""
    first, *lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    fields = tuple(Field(*(cell.strip() for cell in line.split("|", 3))) for line in lines)
    return Section(name, first, fields)


def _sections(texts: Mapping[str, str]) -> dict[str, Section]:
    return {name: _section(name, text) for name, text in texts.items()}


TABLE_SECTIONS: Final = _sections(TABLES)
EVENT_SECTIONS: Final = _sections(EVENTS)

_HEAD: Final = """# Data dictionary

<!-- Generated from feedplane_ddl.dictionary; do not edit. -->

Prices and sizes are exact decimals, times are UTC with nanoseconds. `base` and `quote` are units of the instrument's
base and quote currency.
Tables marked with a `_dedup` view can hold a row twice until a merge (overlapping connections, replays): read
`<table>_dedup` where each identity must
count once. Every gap in a table's history is a row of `gaps`.
"""

_EVENTS_HEAD: Final = """What `feedplane decode` prints (`type` tells them apart) and what the journal holds. `ordinal`,
`checksum` and the `depth` of a snapshot serve sequencing and are not printed.
"""


def render_markdown() -> str:
    """The page `docs/data-dictionary.md`."""
    return "\n".join(
        [
            _HEAD,
            "## Tables\n",
            *(_rendered(section) for section in TABLE_SECTIONS.values()),
            "## Events\n",
            _EVENTS_HEAD,
            *(_rendered(section) for section in EVENT_SECTIONS.values()),
        ]
    )


def _rendered(section: Section) -> str:
    rows = (f"| `{f.name}` | {_cell(f.type)} | {f.unit or '-'} | {_cell(f.meaning)} |" for f in section.fields)
    return "\n".join([f"### {section.name}\n", section.meaning, "", *_table(rows), ""])


def _table(rows: Iterable[str]) -> list[str]:
    return ["| field | type | unit | meaning |", "|---|---|---|---|", *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
