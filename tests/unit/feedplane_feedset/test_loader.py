from __future__ import annotations

import time

import pytest
from feedplane_feedset.errors import FeedSetError, Problem
from feedplane_feedset.loader import MAX_ALIASES, MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_NODES, load_document, render_path


def refusal(text: str | bytes) -> Problem:
    with pytest.raises(FeedSetError) as caught:
        load_document(text)
    (problem,) = caught.value.problems
    return problem


def test_yaml_and_json_give_the_same_data() -> None:
    text = "a: [1, x, true, null]\nb: {c: 1.5}\n"

    assert load_document(text).data == load_document('{"a": [1, "x", true, null], "b": {"c": 1.5}}').data


def test_only_json_types_come_out() -> None:
    assert load_document("day: 2026-01-01").data == {"day": "2026-01-01"}


def test_lines_are_those_of_the_keys_and_items() -> None:
    document = load_document("a:\n  - x\n  - b: 1\n")

    assert document.line_of(("a", 1, "b")) == 3
    assert document.line_of(("a", 1, "missing")) == 3
    assert document.line_of(()) is None


def test_duplicate_key_is_refused_where_it_stands() -> None:
    problem = refusal("spec:\n  sinks: {}\n  spool: {}\n  sinks: {}\n")

    assert (problem.path, problem.line) == ("spec.sinks", 4)
    assert "twice" in problem.message


def test_aliases_are_followed_up_to_the_cap() -> None:
    most = ", ".join(["*a"] * MAX_ALIASES)

    assert load_document(f"x: &a BTCUSDT\ny: [{most}]").data["y"] == ["BTCUSDT"] * MAX_ALIASES
    assert "aliases" in refusal(f"x: &a BTCUSDT\ny: [{most}, *a]").message


def test_merge_keys_work_and_still_do_not_repeat() -> None:
    assert load_document("base: &b {x: 1}\nuse: {<<: *b, y: 2}").data["use"] == {"x": 1, "y": 2}
    assert "twice" in refusal("base: &b {x: 1}\nuse: {<<: *b, y: 2, y: 3}").message


def test_a_bomb_of_aliases_is_refused_soon() -> None:
    """Sixteen aliases of a long list unfold to more than a reader should walk."""
    items = ",".join(["x"] * 20_000)
    text = f"a: &a [{items}]\nb: [{', '.join(['*a'] * MAX_ALIASES)}]"
    started_s = time.monotonic()

    assert "unfolds" in refusal(text).message
    assert time.monotonic() - started_s < 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("{}\n---\n{}\n", "several documents"),
        ("a: &a [*a]\n", "contains itself"),
        ("a: *nowhere\n", "undefined alias"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("[" + "x," * (MAX_NODES + 1) + "]", "more than 100000 values"),
        ("a: !!python/object/apply:os.system [id]\n", "tag"),
        ("a: !!binary aGk=\n", "tag !!binary"),
        ("a: !!timestamp 2026-01-01\n", "tag !!timestamp"),
        ("a: !own x\n", "tag !own"),
        ("1: x\n", "keys are text"),
        ("yes: x\n", "keys are text"),
        ("? [a]\n: x\n", "keys are text"),
        ("a: [\n", "not accepted"),
        ("a: \x07\n", "not YAML"),
        (b"a: \xff\n", "not UTF-8"),
        ("a: " + "9" * 5_000, "not YAML"),
        ("#" * (MAX_DOCUMENT_BYTES + 1), "bytes long"),
    ],
)
def test_refusals(text: str | bytes, message: str) -> None:
    assert message in refusal(text).message


def test_byte_order_mark_is_no_content() -> None:
    assert load_document("a: 1".encode("utf-8-sig")).data == {"a": 1}


def test_paths_are_written_as_people_write_them() -> None:
    assert render_path(("spec", "exchanges", 1, "feeds", 0)) == "spec.exchanges[1].feeds[0]"
    assert render_path(()) == ""
