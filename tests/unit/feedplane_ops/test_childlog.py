from pathlib import Path

import pytest
from feedplane_ops.childlog import KEPT_LINES, ChildLog
from hypothesis import given
from hypothesis import strategies as st


def test_lines_are_kept_in_file_and_memory(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "logs" / "child.log", 1_000, 2)
    log.open()
    log.write(b"one\ntw")
    log.write(b"o\nthree")

    assert log.last_lines() == ("one", "two", "three")
    log.close()
    log.note("four")  # the file is closed; memory still tells
    assert log.last_lines() == ("one", "two", "three", "four")
    assert (tmp_path / "logs" / "child.log").read_bytes() == b"one\ntwo\nthree"


def test_a_restart_appends(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        log = ChildLog(tmp_path / "x.log", 1_000, 0)
        log.open()
        log.write(text)
        log.close()

    assert (tmp_path / "x.log").read_bytes() == b"first\nsecond\n"


@given(chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=40), keep=st.integers(0, 3))
def test_files_stay_under_their_caps_and_hold_the_newest_bytes(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], keep: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = ChildLog(folder / "x.log", 100, keep)
    log.open()
    for chunk in chunks:
        log.write(chunk)
    log.close()

    names = [f"x.log.{n}" for n in range(keep, 0, -1)] + ["x.log"]
    kept = [(folder / name).read_bytes() for name in names if (folder / name).exists()]
    assert {path.name for path in folder.iterdir()} <= set(names)
    assert all(len(content) <= 100 for content in kept)
    assert b"".join(chunks).endswith(b"".join(kept))
    assert log.bytes_lost == 0


def test_memory_holds_few_and_short_lines(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "x.log", 10_000_000, 0)
    log.open()
    log.write(b"y" * 1_000_000)
    log.write(b"\n" + b"\n".join(b"z%d" % n for n in range(1_000)))
    log.close()

    assert len(log.last_lines()) == KEPT_LINES
    assert log.last_lines()[-1] == "z999"
    assert sum(map(len, log.last_lines())) < 50_000


def test_a_log_that_cannot_grow_loses_bytes_not_the_child(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "x.log", 100, 1)
    log.open()
    log.write(b"a" * 90)
    (tmp_path / "x.log.1").mkdir()  # rotation will fail on it
    (tmp_path / "x.log.1" / "in the way").touch()
    log.write(b"b" * 90)
    log.write(b"c" * 5)
    log.close()

    assert log.bytes_lost == 90
    assert (tmp_path / "x.log").read_bytes() == b"b" * 90 + b"c" * 5


def test_bytes_are_counted_as_lost_on_a_full_disk() -> None:
    log = ChildLog(Path("/dev/full"), 100, 0)
    log.open()
    log.write(b"a" * 60)

    assert log.bytes_lost == 60
    assert log.last_lines() == ("a" * 60,)
    log.close()
