"""Numbers as Redis shows them."""

from __future__ import annotations

from decimal import Context, Decimal

import pyarrow as pa
import pytest
from feedplane_writer.redis_sink.texts import decimal_texts, integer_texts
from hypothesis import given
from hypothesis import strategies as st

DECIMAL = pa.decimal128(38, 18)
numbers = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(n).scaleb(-18, Context(prec=60)))


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("7.6110", "7.611"),
        ("0", "0"),
        ("0.000000000000000000", "0"),
        ("100", "100"),
        ("-0.50", "-0.5"),
        ("0.000000100", "0.0000001"),
        ("-0.000000000000000001", "-0.000000000000000001"),
        ("0.0000000001", "0.0000000001"),
        ("12345678901234567890.5", "12345678901234567890.5"),
    ],
)
def test_the_shortest_plain_text_of_the_same_number(given_text: str, shown: str) -> None:
    assert decimal_texts([pa.array([given_text]).cast(DECIMAL)]) == [[shown]]


@given(st.lists(st.one_of(st.none(), numbers), min_size=1, max_size=20))
def test_texts_are_exact_plain_and_without_padding(values: list[Decimal | None]) -> None:
    padded = [None if value is None else format(value, "f") for value in values]
    (texts,) = decimal_texts([pa.array(padded, pa.string()).cast(DECIMAL)])

    for value, text in zip(values, texts, strict=True):
        if value is None:
            assert text is None
            continue
        assert text is not None
        assert Decimal(text) == value
        assert set(text) <= set("-0123456789.")
        assert "." not in text or text[-1] not in "0."


def test_columns_keep_apart() -> None:
    columns = [pa.array(texts).cast(DECIMAL) for texts in (["1", None], ["2.5"], [])]

    assert decimal_texts([*columns[:2], columns[2].cast(DECIMAL)]) == [["1", None], ["2.5"], []]


def test_times_that_a_venue_does_not_send_stay_empty() -> None:
    assert integer_texts(pa.array([1_790_000_000_123_456_789, None], pa.timestamp("ns"))) == ["1790000000123456789", ""]
