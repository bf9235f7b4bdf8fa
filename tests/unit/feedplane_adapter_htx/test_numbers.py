"""Numbers: levels without parsing, exponents, contracts in base units."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from feedplane_adapter_htx.levels import in_base, levels_of, multiplier
from feedplane_core.decimals import exact_product
from feedplane_core.errors import DecodeError
from hypothesis import given
from hypothesis import strategies as st


def levels(text: str) -> list[list[str]]:
    return [list(level) for level in levels_of(msgspec.Raw(text.encode()), "mbp")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ("null", []),
        ("[[645.14,26.75597395914065]]", [["645.14", "26.75597395914065"]]),
        ("[[43445.74,1],[43444.48,0]]", [["43445.74", "1"], ["43444.48", "0"]]),
        ("[[9058.27,0.0]]", [["9058.27", "0.0"]]),
        ("[[9.2E-7,1E+6]]", [["0.00000092", "1000000"]]),
        ("[[1.294965E-6,2],[3,4]]", [["0.000001294965", "2"], ["3", "4"]]),
        ('[["1.5","2"]]', [["1.5", "2"]]),
        ("[ [1, 2] , [0.5,3] ]", [["1", "2"], ["0.5", "3"]]),
        ("[[1,2,7],[3,4,8]]", [["1", "2"], ["3", "4"]]),
    ],
)
def test_levels_keep_their_digits(text: str, expected: list[list[str]]) -> None:
    assert levels(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[[0,1]]", "number"),
        ("[[0.000,1]]", "number"),
        ("[[-1,1]]", "number"),
        ("[[1,-1]]", "number"),
        ("[[1]]", "schema"),
        ("[[null,1]]", "number"),
        ("[[1,[2]]]", "number"),
        ("[[1e400,1]]", "number_range"),
        ("[[1,0.0000000000000000001]]", "number_range"),
        ("[1,2]", "schema"),
        ("{}", "schema"),
        ('["é"]', "number"),
    ],
)
def test_levels_that_are_none_are_refused(text: str, code: str) -> None:
    with pytest.raises(DecodeError) as refused:
        levels(text)
    assert refused.value.code == code


def test_a_side_that_is_absent_has_not_changed() -> None:
    assert levels_of(msgspec.UNSET, "mbp") == ()


@given(
    st.integers(0, 10**12).map(str),
    st.sampled_from(["1", "0.001", "10", "1000", "0.5", "0.0005", "0.1", "2.5", "0.000000000001"]),
)
def test_whole_contracts_are_converted_as_by_decimals(contracts: str, size: str) -> None:
    assert multiplier(size, "qty")(contracts) == exact_product(contracts, size)


@given(st.decimals(0, 10**9, places=6).map(lambda d: format(d, "f")), st.sampled_from(["1", "0.001", "0.0005", "1000"]))
def test_parts_of_contracts_are_converted_exactly(contracts: str, size: str) -> None:
    assert Decimal(multiplier(size, "qty")(contracts)) == Decimal(contracts) * Decimal(size)


def test_a_quantity_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DecodeError, match="number_range"):
        multiplier("1000", "qty")("9" * 20)


def test_prices_are_left_alone_by_the_conversion() -> None:
    assert in_base([["13071.9", "38"], ["13071.8", "0"]], multiplier("0.001", "qty")) == [
        ["13071.9", "0.038"],
        ["13071.8", "0"],
    ]
