"""The page on hot state says what is written: a reader scripts against it."""

from __future__ import annotations

import re
from pathlib import Path

from feedplane_core.names import HOT_KINDS, Mode, trades_key
from feedplane_writer.redis_sink.entries import STREAM_LENGTH
from feedplane_writer.redis_sink.kinds import HEAD_FIELDS, KINDS
from feedplane_writer.redis_sink.quality import Quality, state_text

PAGE = Path(__file__).parents[4] / "docs" / "hot-state.md"


def test_it_names_every_key_with_its_fields() -> None:
    rows = dict(re.findall(r"^\| `(\S+)` \|.*\| (`.*) \|$", PAGE.read_text(), re.MULTILINE))

    for kind in KINDS:
        fields = re.findall(r"\w+", rows[f"last:{kind.name}:<exchange>:<instrument>"])
        expected = [*kind.fields[:2], *kind.fields[-2:]] if kind.depth else list(kind.fields)
        assert fields == expected, kind.name
    assert {kind.name for kind in KINDS} == set(HOT_KINDS)
    assert trades_key("<exchange>", "<instrument>") in rows


def test_it_names_every_state_and_common_field() -> None:
    text = PAGE.read_text()

    assert {state_text(mode, quality) for mode in Mode for quality in Quality} <= set(re.findall(r"`([a-z-]+)`", text))
    assert all(f"`{field}`" in text for field in (*HEAD_FIELDS, "state"))
    assert f"the last {STREAM_LENGTH:,} trades" in text
