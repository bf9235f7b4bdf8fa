"""Contracts in base units: exact products, and ratios rounded half-even to 18 decimals, against `Decimal`."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from feedplane_core.decimals import exact_product, plain, rounded_ratio
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import MarketType
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.builds(
    lambda digits, places: plain(format(Decimal(digits).scaleb(-places), "f"), "-"),
    st.integers(0, 10**12 - 1),
    st.integers(0, 9),
)
DIVISORS = TEXTS.filter(lambda text: Decimal(text) > 0)


@given(left=TEXTS, right=TEXTS)
def test_products_are_exact_and_not_padded(left: str, right: str) -> None:
    with localcontext(prec=80):
        expected = Decimal(left) * Decimal(right)
        fits = expected < 10**20 and expected == expected.quantize(Decimal("1e-18"))
    if not fits:
        with pytest.raises(DecodeError, match="number_range"):
            exact_product(left, right)
        return

    text = exact_product(left, right)

    assert Decimal(text) == expected
    assert plain(text, "-") == text
    assert "." not in text or not text.endswith("0")


@given(qty=TEXTS, size=TEXTS, price=DIVISORS)
def test_ratios_are_rounded_half_even(qty: str, size: str, price: str) -> None:
    with localcontext(prec=120):
        ratio = Decimal(qty) * Decimal(size) / Decimal(price)
        expected = ratio.quantize(Decimal("1e-18"), rounding=ROUND_HALF_EVEN)
    if expected >= 10**20:
        with pytest.raises(DecodeError, match="number_range"):
            rounded_ratio((qty, size), price)
        return

    text = rounded_ratio((qty, size), price)

    assert Decimal(text) == expected
    assert plain(text, "-") == text


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (("1", "2000000000000000000"), "0"),  # half of the last place: to even
        (("3", "2000000000000000000"), "0.000000000000000002"),
        (("-3", "2000000000000000000"), "-0.000000000000000002"),
        (("5", "2"), "2.5"),
        (("0", "7"), "0"),
    ],
)
def test_halves_go_to_even(ratio: tuple[str, str], expected: str) -> None:
    assert rounded_ratio(ratio[:1], ratio[1]) == expected


def test_nothing_is_divided_by_zero() -> None:
    with pytest.raises(DecodeError, match="over zero"):
        rounded_ratio(("1",), "0.00")


def test_contracts_become_base_units() -> None:
    common = {"exchange": "x", "instrument": "X", "pair": "X", "base": "BTC", "quote": "USD"}
    linear = Instrument(**common, market_type=MarketType.PERP_LINEAR, contract_size="0.01")
    inverse = Instrument(
        **common, market_type=MarketType.PERP_INVERSE, contract_size="100", contract_unit=ContractUnit.QUOTE
    )

    assert linear.base_qty("1543.21", "84660") == "15.4321"
    assert inverse.base_qty("3", "79999.9") == "0.003750004687505859"
    assert inverse.base_qty("0", "79999.9") == "0"
