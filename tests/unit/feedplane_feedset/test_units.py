from __future__ import annotations

import pytest
from feedplane_feedset.units import (
    BYTES_PER_UNIT,
    NS_PER_UNIT,
    Duration,
    format_duration,
    format_size,
    parse_duration_ns,
    parse_size_bytes,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

COUNTS = st.integers(1, 999_999_999)


@given(COUNTS, st.sampled_from(sorted(NS_PER_UNIT)))
def test_duration_is_count_times_unit_and_survives_formatting(count: int, unit: str) -> None:
    value_ns = parse_duration_ns(f"{count}{unit}")

    assert value_ns == count * NS_PER_UNIT[unit]
    assert parse_duration_ns(format_duration(value_ns)) == value_ns


@given(COUNTS, st.sampled_from(sorted(BYTES_PER_UNIT)))
def test_size_is_count_times_unit_and_survives_formatting(count: int, unit: str) -> None:
    value_bytes = parse_size_bytes(f"{count}{unit}")

    assert value_bytes == count * BYTES_PER_UNIT[unit]
    assert parse_size_bytes(format_size(value_bytes)) == value_bytes


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{1,3}[a-z]{1,2}", fullmatch=True))
def test_text_is_a_duration_only_as_a_count_and_a_unit(text: str) -> None:
    if any(text.endswith(unit) and _is_count(text.removesuffix(unit)) for unit in NS_PER_UNIT):
        assert parse_duration_ns(text) > 0
        return
    with pytest.raises(PydanticCustomError, match="one of ms, s, m, h, d"):
        parse_duration_ns(text)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 9


@pytest.mark.parametrize(
    "text", ["10", "", "0s", "-1s", "1.5s", "1h30m", "10 s", "10S", "1w", "5us", "1s\n", "\u0661s"]
)
def test_other_spellings_of_a_duration_are_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="a whole number and one of"):
        parse_duration_ns(text)


@pytest.mark.parametrize("value", [10, 1.5, None, True, ["1s"]])
def test_a_duration_without_unit_is_refused(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="is not accepted"):
        parse_duration_ns(value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("10 sec", "10s"), ("5minutes", "5m"), ("10S", "10s"), ("007s", "7s"), ("10", None), ("0s", None), ("9w", None)],
)
def test_a_slip_is_mended_and_a_guess_is_not_made(text: str, meant: str | None) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_duration_ns(text)

    assert caught.value.context is not None
    assert caught.value.context["suggestion"] == meant


@pytest.mark.parametrize(
    ("text", "meant"), [("4GB", "4Gi"), ("512 mb", "512Mi"), ("4gi", "4Gi"), ("4", None), ("4.5Gi", None)]
)
def test_size_slips_are_mended(text: str, meant: str | None) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_size_bytes(text)

    assert caught.value.context is not None
    assert caught.value.context["suggestion"] == meant


@pytest.mark.parametrize(("text", "nearest"), [("999ms", "1s"), ("2m", "1m")])
def test_bounds_are_named_with_the_nearest_one(text: str, nearest: str) -> None:
    with pytest.raises(PydanticCustomError, match="must be between 1s and 1m") as caught:
        Duration("1s", "1m").parse(text)

    assert caught.value.context is not None
    assert caught.value.context["suggestion"] == nearest


def test_bounds_are_included() -> None:
    assert Duration("1s", "1m").parse("1s") == 1_000_000_000
    assert Duration("1s", "1m").parse("60s") == 60_000_000_000
