"""Cursors: atomic, fenced, one process a sink."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_core.errors import JournalError, JournalLocked
from feedplane_journal.cursors import END_OF_TIME, lowest_position, register_sinks
from feedplane_journal.segments import CursorStore, Position, read_cursors
from feedplane_testing.journals import UnsyncedFiles

HERE = Position(3, 100, "u3")


def test_a_cursor_comes_back_with_what_the_sink_kept_beside_it(tmp_path: Path) -> None:
    store = CursorStore(tmp_path, "clickhouse")
    assert store.load() is None
    store.save(HERE, {"slice": [1, 2]})
    store.save(Position(3, 200, "u3"))
    store.close()
    again = CursorStore(tmp_path, "clickhouse")

    assert again.load() == Position(3, 200, "u3")
    assert again.extra == {"slice": [1, 2]}
    assert again.epoch == 2
    assert read_cursors(tmp_path) == {"clickhouse": Position(3, 200, "u3")}


def test_a_second_process_of_a_sink_is_refused_and_other_sinks_are_not(tmp_path: Path) -> None:
    store = CursorStore(tmp_path, "redis")
    with pytest.raises(JournalLocked):
        CursorStore(tmp_path, "redis")
    CursorStore(tmp_path, "clickhouse").close()
    store.close()
    CursorStore(tmp_path, "redis").close()


def test_a_cursor_of_an_older_epoch_cannot_move_it(tmp_path: Path) -> None:
    """A zombie whose lock did not hold: a volume mounted twice, a lock file replaced."""
    zombie = CursorStore(tmp_path, "redis")
    (tmp_path / "cursors" / "redis.lock").unlink()
    heir = CursorStore(tmp_path, "redis")
    heir.save(HERE)

    with pytest.raises(JournalError, match="belongs to epoch 2, not 1"):
        zombie.save(Position(9, 9, "u9"))
    assert heir.load() == HERE


def test_a_closed_cursor_saves_nothing(tmp_path: Path) -> None:
    store = CursorStore(tmp_path, "redis")
    store.close()
    with pytest.raises(JournalError, match="closed"):
        store.save(HERE)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "UPPER", ".hidden", "x" * 64])
def test_a_sink_is_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError, match="sink name"):
        CursorStore(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_cursor_file_that_cannot_be_read_is_said_and_not_taken_for_a_start(tmp_path: Path) -> None:
    store = CursorStore(tmp_path, "redis")
    store.save(HERE)
    (tmp_path / "cursors" / "redis.json").write_text('{"sink": "redis"}')

    with pytest.raises(JournalError, match="cannot be read"):
        store.load()


def test_the_lowest_position_is_that_of_the_slowest_registered_sink(tmp_path: Path) -> None:
    files = UnsyncedFiles()
    assert lowest_position(tmp_path) is None, "no sink known: nothing may go"
    for sink, position in {"a": HERE, "b": Position(2, 5, "u2"), "gone": Position(1, 0, "u1")}.items():
        store = CursorStore(tmp_path, sink)
        store.save(position)
        store.close()
    assert lowest_position(tmp_path) == Position(1, 0, "u1")
    register_sinks(tmp_path, ["a", "b"], files)
    assert lowest_position(tmp_path) == Position(2, 5, "u2")
    register_sinks(tmp_path, ["a", "new"], files)
    assert lowest_position(tmp_path) is None, "a sink that never saved has passed nothing"
    register_sinks(tmp_path, [], files)
    assert lowest_position(tmp_path) == END_OF_TIME
