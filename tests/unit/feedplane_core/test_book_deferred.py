"""Deferred changes: a book that is only looked at now and then is the book that was looked at always."""

from __future__ import annotations

from feedplane_core.book import FAR, OrderBook
from feedplane_core.decimals import Level, scaled
from hypothesis import given, settings
from hypothesis import strategies as st

# Few prices in several paddings, so that changes meet and spellings of one price follow each other.
_PRICES = st.sampled_from(["1", "1.0", "1.00", "2", "2.50", "2.5", "3", "4", "5.1", "5.10"])
_QTYS = st.sampled_from(["0", "0.00", "1", "2.5", "7"])
_LEVELS = st.lists(st.tuples(_PRICES, _QTYS), max_size=6)
_DIFFS = st.lists(st.tuples(_LEVELS, _LEVELS, st.booleans()), max_size=30)


def values(levels: list[Level]) -> list[tuple[int, int]]:
    """Levels by value: of two paddings of one number either may be held."""
    return [(scaled(price), scaled(qty)) for price, qty in levels]


@settings(deadline=None)
@given(_LEVELS, _LEVELS, _DIFFS)
def test_deferred_and_immediate_books_end_alike(
    bids: list[tuple[str, str]],
    asks: list[tuple[str, str]],
    diffs: list[tuple[list[tuple[str, str]], list[tuple[str, str]], bool]],
) -> None:
    at_once, later = OrderBook(), OrderBook()
    at_once.replace(bids, asks)
    later.replace(bids, asks)
    for bid_changes, ask_changes, looks in diffs:
        at_once.apply(bid_changes, ask_changes)
        later.defer(bid_changes, ask_changes)
        if looks:
            assert values(later.bids.top(1)) == values(at_once.bids.top(1))

    assert values(later.bids.top()) == values(at_once.bids.top())
    assert values(later.asks.top()) == values(at_once.asks.top())
    assert later.is_crossed() == at_once.is_crossed()


def test_near_tells_what_deferred_changes_have_touched() -> None:
    book = OrderBook()
    book.replace([(str(100 - n), "1") for n in range(40)], [(str(200 + n), "1") for n in range(40)])

    book.defer([("62", "5")], [])
    assert book.take_near() == FAR

    book.defer([("62", "6")], [])
    book.defer([], [("200", "0")])
    assert book.take_near() == 0
    assert book.take_near() == FAR
