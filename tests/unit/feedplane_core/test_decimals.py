"""Decimal text: exact, plain, in bounds; and ordered as numbers are."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
from feedplane_core.decimals import (
    are_plain,
    check_levels,
    exact_product,
    is_zero,
    non_negative,
    plain,
    positive,
    positives,
    quotient,
    scaled,
    total,
    unscaled,
)
from feedplane_core.errors import DecodeError
from hypothesis import given
from hypothesis import strategies as st

EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
digits = st.text("0123456789", min_size=1, max_size=20)
fractions = st.text("0123456789", min_size=1, max_size=18)
unsigned = st.one_of(digits, st.builds("{}.{}".format, digits, fractions))
signed = st.builds("{}{}".format, st.sampled_from(["", "-"]), unsigned)
anything = st.one_of(
    st.text(max_size=40),
    st.text("0123456789.eE+-_ infa", max_size=30),
    st.sampled_from(["NaN", "Infinity", "1e400", "-0", "1_000", "٣", " 1", "1 ", "1,2", ".5", "5.", "+1", "0x10", ""]),
)


def attempt(check: Callable[..., Any], *args: object) -> Any:
    """What `check` gives, or how it refused."""
    try:
        return check(*args)
    except DecodeError as error:
        return error


@given(signed)
def test_plain_text_passes_as_it_is(text: str) -> None:
    assert plain(text, "c") is text


@given(anything)
def test_whatever_comes_is_an_equal_plain_number_in_bounds_or_a_decode_error(text: str) -> None:
    found = attempt(plain, text, "c")
    if isinstance(found, DecodeError):
        assert found.code in ("number", "number_range")
        return
    whole, _, fraction = found.removeprefix("-").partition(".")
    assert whole.isascii()
    assert whole.isdigit()
    assert len(whole) <= 20
    assert len(fraction) <= 18
    assert Decimal(found) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1e-7", "0.0000001"),
        ("1E+3", "1000"),
        ("5.", "5"),
        (".5", "0.5"),
        ("+2", "2"),
        ("0e-500", "0"),
        ("1.2300e2", "123.00"),
    ],
)
def test_exponents_and_short_forms_are_written_out(text: str, found: str) -> None:
    assert plain(text, "c") == found


@pytest.mark.parametrize("text", ["1e400", "1e21", "1" * 21, "1e-19", "0." + "0" * 18 + "1", "9" * 200])
def test_what_the_stores_cannot_hold_is_refused_not_rounded(text: str) -> None:
    with pytest.raises(DecodeError):
        plain(text, "c")


@pytest.mark.parametrize("value", [1, 1.5, None, True, b"1", ["1"], Decimal(1)])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(DecodeError) as refused:
        plain(value, "c")
    assert refused.value.code == "number"


@given(unsigned)
def test_signs(text: str) -> None:
    assert non_negative(text, "c", "f") == text
    if Decimal(text):
        assert positive(text, "c", "f") == text
        with pytest.raises(DecodeError):
            non_negative(f"-{text}", "c", "f")
    else:
        assert is_zero(text)
        with pytest.raises(DecodeError):
            positive(text, "c", "f")


@given(st.lists(anything | unsigned, max_size=4))
def test_several_at_once_are_judged_as_one_by_one(texts: list[str]) -> None:
    refusals = [attempt(positive, text, "c", "f") for text in texts]
    is_refused = any(isinstance(refusal, DecodeError) for refusal in refusals)

    assert isinstance(attempt(positives, "c", *texts), DecodeError) == is_refused
    if are_plain(*texts):
        assert all(plain(text, "c") is text for text in texts)


@given(
    st.lists(st.tuples((unsigned | anything).filter(lambda text: text.strip("0.")), unsigned | anything), max_size=5)
)
def test_levels_are_judged_as_their_numbers_are(levels: list[tuple[str, str]]) -> None:
    checked = attempt(check_levels, levels, "c")
    each = [attempt(positive, price, "c", "price") for price, _ in levels]
    each += [attempt(non_negative, qty, "c", "qty") for _, qty in levels]
    assert isinstance(checked, DecodeError) == any(isinstance(one, DecodeError) for one in each)
    if isinstance(checked, DecodeError):
        return
    for (price, qty), (price_in, qty_in) in zip(checked, levels, strict=True):
        assert (Decimal(price), Decimal(qty)) == (Decimal(price_in), Decimal(qty_in))


@given(signed, signed)
def test_keys_order_as_numbers_do_and_say_the_number(one: str, two: str) -> None:
    assert (scaled(one) < scaled(two)) == (Decimal(one) < Decimal(two))
    assert (scaled(one) == scaled(two)) == (Decimal(one) == Decimal(two))
    assert Decimal(unscaled(scaled(one))) == Decimal(one)


@given(st.lists(unsigned, max_size=8))
def test_sums_are_exact(texts: list[str]) -> None:
    assert Fraction(total(texts)) == sum(map(Fraction, texts))


@given(unsigned, unsigned)
def test_products_are_exact_or_refused(one: str, two: str) -> None:
    value = EXACT.multiply(Decimal(one), Decimal(two))
    text = attempt(exact_product, one, two)
    if isinstance(text, DecodeError):
        assert text.code == "number_range"
        assert value.adjusted() >= 20 or value != value.quantize(Decimal(1).scaleb(-18), context=EXACT)
        return
    assert Decimal(text) == value


@given(signed, unsigned)
def test_quotients_are_rounded_half_even_at_the_last_place(one: str, two: str) -> None:
    if not Decimal(two):
        return
    exact = EXACT.divide(Decimal(one), Decimal(two))
    if exact.adjusted() > 40:
        return
    assert quotient(Decimal(one), Decimal(two)) == exact.quantize(Decimal(1).scaleb(-18), context=EXACT)
