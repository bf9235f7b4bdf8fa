"""Bitfinex: checksums, against the venue's own examples, and the text of numbers in them."""

from __future__ import annotations

import pytest
from feedplane_adapter_bitfinex.book import Rule, checksum, number_text

BIDS = [("6000", "1"), ("5900", "2")]
ASKS = [("6100", "3"), ("6200", "4")]


def test_the_documented_example() -> None:
    """`6000:1:6100:-3:5900:2:6200:-4`. Source: v2 docs, WS checksum."""
    assert checksum(BIDS, ASKS) == 1_756_193_398


def test_missing_levels_contribute_nothing_and_the_26th_is_not_looked_at() -> None:
    deep = [(str(7000 + n), "1") for n in range(30)]

    assert checksum(BIDS, []) != checksum(BIDS, ASKS)
    assert checksum([], deep) == checksum([], deep[:25])
    assert checksum([], deep) != checksum([], deep[:24])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6000", "6000"),
        ("6000.0", "6000"),
        ("0.10", "0.1"),
        ("0.000001", "0.000001"),
        ("0.00000011", "1.1e-7"),
        ("0.00000004", "4e-8"),
        ("100", "100"),
    ],
)
def test_numbers_are_printed_as_javascript_does(text: str, expected: str) -> None:
    assert number_text(text) == expected


def test_tiny_prices_are_checked_only_where_it_is_known_how() -> None:
    bids, asks = [("0.00000012", "5")], [("0.00000013", "6")]

    assert Rule().checksum(bids, asks) is None
    assert Rule("exponent").checksum(bids, asks) == checksum(bids, asks)
    assert Rule("plain").checksum(bids, asks) == checksum(bids, asks, plain_prices=True)
    assert Rule("plain").checksum(bids, asks) != Rule("exponent").checksum(bids, asks)
    assert Rule().checksum(BIDS, ASKS) == 1_756_193_398
