"""An order book against the simplest one there could be."""

from __future__ import annotations

from decimal import Decimal

from feedplane_core.book import FAR, BookSide, OrderBook
from hypothesis import given
from hypothesis import strategies as st

prices = st.sampled_from(["1", "1.0", "2", "2.50", "2.5", "3", "10", "9.99", "100", "0.1"])
quantities = st.sampled_from(["0", "0.000", "1", "2.5"])
levels = st.lists(st.tuples(prices, quantities), max_size=12)


class Plain:
    """Prices as Decimals in a dict."""

    def __init__(self, *, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.held: dict[Decimal, str] = {}

    def apply(self, changes: list[tuple[str, str]]) -> None:
        for price, qty in changes:
            if Decimal(qty):
                self.held[Decimal(price)] = qty
            else:
                self.held.pop(Decimal(price), None)

    def top(self) -> list[tuple[Decimal, str]]:
        return sorted(self.held.items(), reverse=self.is_bid)


@given(st.booleans(), levels, st.lists(levels, max_size=10), st.integers(0, 6))
def test_a_side_holds_what_it_was_told_best_first(
    is_bid: bool, first: list[tuple[str, str]], changes: list[list[tuple[str, str]]], depth: int
) -> None:
    side, plain = BookSide(+1 if is_bid else -1), Plain(is_bid=is_bid)
    side.replace(first)
    plain.apply(first) if not any(Decimal(q) == 0 for _, q in first) else plain.apply(_replaced(first))
    for change in changes:
        before = plain.top()[:5]
        near = side.apply(change)
        plain.apply(change)
        if plain.top()[:5] != before:
            assert near < 5
        if plain.top()[:1] != before[:1]:
            assert near == 0
    expected = plain.top()

    assert [(Decimal(p), q) for p, q in side.top()] == expected
    assert [(Decimal(p), q) for p, q in side.top(depth)] == expected[:depth]
    assert len(side) == len(expected)
    best = side.best()
    assert (Decimal(best[0]), best[1]) == expected[0] if best is not None else not expected
    assert side.prune(depth) == max(0, len(expected) - depth)
    assert [(Decimal(p), q) for p, q in side.top()] == expected[:depth]


def _replaced(first: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A whole book skips zeros: they remove nothing that stands beside them."""
    return [(price, qty) for price, qty in first if Decimal(qty)]


@given(levels, levels)
def test_crossed_and_two_sided_are_told_exactly(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
    book = OrderBook()
    book.replace(bids, asks)
    bid = max((Decimal(p) for p, q in bids if Decimal(q)), default=None)
    ask = min((Decimal(p) for p, q in asks if Decimal(q)), default=None)

    assert book.is_two_sided() == (bid is not None and ask is not None)
    assert book.is_crossed() == (bid is not None and ask is not None and bid >= ask)


def test_nothing_changed_is_far() -> None:
    book = OrderBook()
    book.replace([("1", "1")], [("2", "1")])

    assert book.apply([], []) == FAR
    assert book.apply([("1", "1")], []) == FAR
    assert book.apply([("0.5", "0")], []) == FAR
