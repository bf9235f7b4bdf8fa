"""Numbers: the compiled core takes for plain what the reference takes for plain, and scales it to the same integer."""

from __future__ import annotations

from fractions import Fraction
from types import ModuleType

import pytest
from feedplane_core import plain
from feedplane_core.decimals import scaled
from feedplane_testing.numbers import ODD, PLAIN, UNSIGNED, thorough
from hypothesis import example, given
from hypothesis import strategies as st

ALMOST = st.one_of(PLAIN, ODD)
THINGS = st.one_of(ALMOST, st.none(), st.integers(), st.floats(), st.binary(max_size=4))
LEVEL = st.one_of(st.tuples(ALMOST, ALMOST), st.lists(ALMOST, max_size=3), st.tuples(THINGS, THINGS))
GOOD_LEVEL = st.tuples(UNSIGNED, UNSIGNED)


@thorough(1_000)
@given(THINGS)
@example("9" * 20 + "." + "9" * 18)
@example("9" * 21)
@example("0." + "0" * 19)
def test_one_number_is_plain_for_both_or_for_none(core: ModuleType, text: object) -> None:
    assert core.is_plain(text) == plain.is_plain(text)


@thorough(500)
@given(st.lists(st.one_of(PLAIN, ALMOST), min_size=1, max_size=5))
def test_many_numbers_are_judged_alike(core: ModuleType, texts: list[str]) -> None:
    assert core.are_plain(*texts) == plain.are_plain(*texts)
    assert core.are_positive(*texts) == plain.are_positive(*texts)


@thorough(500)
@given(st.one_of(st.lists(GOOD_LEVEL, max_size=5), st.lists(st.one_of(GOOD_LEVEL, LEVEL), max_size=4), THINGS))
def test_levels_are_judged_alike(core: ModuleType, levels: object) -> None:
    assert core.are_plain_levels(levels) == plain.are_plain_levels(levels)


@thorough(1_000)
@given(PLAIN)
@example("-" + "9" * 20 + "." + "9" * 18)
def test_a_plain_number_is_scaled_to_its_last_digit(core: ModuleType, text: str) -> None:
    side = core.BookSide(+1)
    side.replace([(text, "1")])

    assert side.best_key() == scaled(text) == Fraction(text) * 10**18


def test_what_is_no_text_is_told_as_the_reference_tells_it(core: ModuleType) -> None:
    for judge in (core.are_plain, plain.are_plain, core.are_positive, plain.are_positive):
        with pytest.raises(TypeError):
            judge("1", None)
