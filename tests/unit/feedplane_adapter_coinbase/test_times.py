"""ISO-8601 to integer ns, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from feedplane_adapter_coinbase.wire import iso_ns
from feedplane_core.errors import DecodeError
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(at=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2261, 12, 31)), digits=st.integers(0, 6))
def test_any_time_to_the_microsecond_agrees_with_datetime(at: datetime, digits: int) -> None:
    fraction = f"{at.microsecond:06d}"[:digits]
    text = at.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{fraction}" if fraction else "") + "Z"
    cut = at.replace(microsecond=int(fraction.ljust(6, "0")), tzinfo=UTC)

    assert iso_ns(text, "match") == (cut - EPOCH) // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2014-11-07T08:19:27.028459Z", 1415348367028459000),
        ("2014-11-07T08:19:27.123456789Z", 1415348367123456789),
        ("2014-11-07T08:19:27.1Z", 1415348367100000000),
        ("2014-11-07T08:19:27Z", 1415348367000000000),
        ("2014-11-07T08:19:27.5+00:00", 1415348367500000000),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T23:59:59.999999Z", 1709251199999999000),
    ],
)
def test_known_times(text: str, ns: int) -> None:
    assert iso_ns(text, "match") == ns
    assert iso_ns(text, "match") == ns  # and again, from memory


def test_zero_time_is_no_time() -> None:
    assert iso_ns("0001-01-01T00:00:00.000000Z", "l2update") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "schema"),
        ("yesterday", "schema"),
        ("2014-11-07", "schema"),
        ("2014-11-07T08:19:27", "schema"),
        ("2014-11-07T08:19:27.Z", "schema"),
        ("2014-11-07T08:19:27.1234567890Z", "schema"),
        ("2014-11-07T08:19:27.02_459Z", "schema"),
        ("2014-11-07T08:19:27.٠٢٨٤٥٩Z", "schema"),
        ("2014-11-07T08:19:27.028459+01:00", "schema"),
        ("2014-02-30T08:19:27.028459Z", "schema"),
        ("2014-11-07T24:00:00.000000Z", "schema"),
        ("2014-11-07T08:60:00.000000Z", "schema"),
        ("2014-11-07T08:19:61.000000Z", "schema"),
        ("1969-12-31T23:59:59.000000Z", "number_range"),
        ("2262-01-01T00:00:00.000000Z", "number_range"),
    ],
)
def test_any_other_text_is_refused(text: str, code: str) -> None:
    iso_ns("2014-11-07T08:19:27.028459Z", "match")  # the second is remembered: the fast path must refuse as well

    with pytest.raises(DecodeError) as refused:
        iso_ns(text, "match")

    assert refused.value.code == code
