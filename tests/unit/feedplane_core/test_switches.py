"""Switches: what is allowed passes, the rest is refused by name."""

from __future__ import annotations

import pytest
from feedplane_core.errors import UsageError
from feedplane_core.switches import check_intervals, check_names, chosen, number


def test_first_allowed_is_the_default_unless_one_is_named() -> None:
    assert chosen({}, "book", ("a", "b")) == "a"
    assert chosen({}, "book", ("a", "b"), "b") == "b"
    assert chosen({"book": "b"}, "book", ("a", "b")) == "b"


def test_unknown_choice_names_the_switch() -> None:
    with pytest.raises(UsageError, match=r"switches\.book"):
        chosen({"book": "c"}, "book", ("a", "b"))


def test_number_within_bounds() -> None:
    assert number({}, "topics", 200, 1, 400) == 200
    assert [number({"topics": text}, "topics", 200, 10, 400) for text in ("10", "400")] == [10, 400]


@pytest.mark.parametrize("text", ["", "9", "401", "-1", "1.5", "1e2", "\u0663\u0663", "9" * 5000])
def test_other_texts_are_no_number(text: str) -> None:
    with pytest.raises(UsageError, match=r"switches\.topics"):
        number({"topics": text}, "topics", 200, 10, 400)


def test_unknown_switch_is_named_with_those_that_exist() -> None:
    check_names("venue", {"book": "a"}, ("book", "topics"))
    with pytest.raises(UsageError, match=r"switches\.bok: venue has no such switch \(one of book, topics\)"):
        check_names("venue", {"book": "a", "bok": "b"}, ("book", "topics"))
    with pytest.raises(UsageError, match=r"no such switch$"):
        check_names("venue", {"any": ""}, ())


def test_first_unknown_interval_is_named() -> None:
    check_intervals("venue", ("1m",), {"1m": 60})
    with pytest.raises(UsageError, match="2m"):
        check_intervals("venue", ("1m", "2m", "3m"), {"1m": 60})
