"""Every event field is described, by its printed name. Columns are held against the real tables in tests/integration/test_ddl.py."""

from __future__ import annotations

import msgspec
import pytest
from feedplane_core.events import EVENT_TYPES, Event, type_name
from feedplane_ddl.dictionary import EVENT_SECTIONS, TABLE_SECTIONS, render_markdown

NOT_PRINTED = {"ordinal", "checksum"}
RENAMED = {"gap_feed": "feed", "status_feed": "feed"}


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=type_name)
def test_every_field_of_an_event_is_described(event_type: type[Event]) -> None:
    hidden = NOT_PRINTED | ({"depth"} if type_name(event_type) != "book_top" else set())
    fields = {RENAMED.get(f.name, f.name) for f in msgspec.structs.fields(event_type)} - hidden

    assert {field.name for field in EVENT_SECTIONS[type_name(event_type)].fields} == fields


def test_nothing_is_described_that_does_not_exist() -> None:
    assert set(EVENT_SECTIONS) == {type_name(event_type) for event_type in EVENT_TYPES}


def test_every_field_has_a_meaning() -> None:
    for section in [*TABLE_SECTIONS.values(), *EVENT_SECTIONS.values()]:
        for field in section.fields:
            assert field.type, (section.name, field.name)
            assert field.meaning.endswith((".", "_known`).", "...")), (section.name, field.name)


def test_the_page_has_every_column_once_per_table() -> None:
    page = render_markdown()

    for section in TABLE_SECTIONS.values():
        part = page.split(f"\n### {section.name}\n")[1].split("\n### ")[0]
        for field in section.fields:
            assert part.count(f"| `{field.name}` |") == 1
