"""Books: any interleaving of calls leaves the compiled book as the reference, told the same and showing the same texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from feedplane_core.book import FAR, PythonBookSide, PythonOrderBook
from feedplane_testing.numbers import PLAIN, thorough
from hypothesis import given
from hypothesis import strategies as st

# Few prices in several paddings, so that changes meet; many far ones, so that all classes of nearness occur.
PRICES = st.one_of(
    st.sampled_from(["1", "1.0", "1.00", "2", "2.50", "2.5", "3", "0.1", "-1", "00001"]),
    st.integers(1, 60).map(str),
    PLAIN,
)
QTYS = st.sampled_from(["0", "0.00", "00.0", "1", "1.0", "2.5", "7"])
LEVELS = st.lists(st.one_of(st.tuples(PRICES, QTYS), st.tuples(PRICES, QTYS).map(list)), max_size=40)
DEPTHS = st.integers(0, 30)
CALLS = st.one_of(
    st.tuples(st.sampled_from(["replace", "apply", "defer"]), LEVELS, LEVELS),
    st.tuples(st.just("prune"), DEPTHS),
    st.tuples(st.sampled_from(["take_near", "is_crossed", "is_two_sided"])),
)


class AtOnce(PythonOrderBook):
    """The reference, with deferred changes worked in as they come: which is how the compiled book defers."""

    def __init__(self) -> None:
        super().__init__()
        self._near = FAR

    def defer(self, bids: Any, asks: Any) -> None:
        self._near = min(self._near, self.apply(bids, asks))

    def take_near(self) -> int:
        near, self._near = self._near, FAR
        return near


def shown(book: Any, depth: int) -> list[object]:
    sides = (book.bids, book.asks)
    return [(len(s), s.best(), s.best_key(), s.top(), s.top(depth), book.is_crossed()) for s in sides]


@thorough(400)
@given(st.lists(CALLS, max_size=25), DEPTHS)
def test_any_interleaving_ends_alike(core: ModuleType, calls: list[tuple[Any, ...]], depth: int) -> None:
    native, reference = core.OrderBook(), AtOnce()
    for name, *arguments in calls:
        assert getattr(native, name)(*arguments) == getattr(reference, name)(*arguments)
        assert shown(native, depth) == shown(reference, depth)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 19, 20, 21, 40])
@pytest.mark.parametrize("sign", [+1, -1])
def test_nearness_is_told_by_the_same_places(core: ModuleType, count: int, sign: int) -> None:
    whole = [(str(100 + 2 * n), "1") for n in range(count)]
    for price in range(98, 104 + 2 * count):
        for qty in ("0", "1", "2"):
            native, reference = core.BookSide(sign), PythonBookSide(sign)
            native.replace(whole)
            reference.replace(whole)
            assert native.apply([(str(price), qty)]) == reference.apply([(str(price), qty)]), (price, qty)


@thorough(100)
@given(st.lists(st.tuples(LEVELS, LEVELS), max_size=25))
def test_deferred_changes_come_at_least_as_near_as_merged_ones(core: ModuleType, diffs: list[tuple[Any, Any]]) -> None:
    native, merged = core.OrderBook(), PythonOrderBook()
    for bids, asks in diffs:
        native.defer(bids, asks)
        merged.defer(bids, asks)

    assert native.take_near() <= merged.take_near()
    assert native.take_near() == FAR


NO_PAIRS: list[object] = [("1",), ("1", "2", "3"), ("1", 2), (1, "2"), None, 5, "12"]
NO_PRICES: list[object] = [("1e5", "1"), ("", "1"), ("x", "1")]


@pytest.mark.parametrize("level", NO_PAIRS + NO_PRICES)
@pytest.mark.parametrize("call", ["apply", "defer", "replace"])
def test_what_is_no_level_is_refused(core: ModuleType, call: str, level: object) -> None:
    side = core.BookSide(+1)
    side.replace([("5", "1")])
    with pytest.raises(ValueError, match=r"pair of texts|plain decimal text"):
        getattr(side, call)([("6", "1"), level])

    assert ("5", "1") in side.top()


def test_a_level_that_was_changed_later_is_refused_and_not_read_beyond_its_end(core: ModuleType) -> None:
    level = ["5", "1"]
    side = core.BookSide(-1)
    side.apply([level])
    level.clear()

    with pytest.raises(ValueError, match="pair"):
        side.apply([("5", "2")])


def test_levels_of_a_side_are_bounded(core: ModuleType) -> None:
    side = core.BookSide(+1)
    side.replace([(str(n), "1") for n in range(1, (1 << 20) + 1)])

    with pytest.raises(OverflowError, match="1048576 levels"):
        side.apply([("0.5", "1")])
    with pytest.raises(OverflowError, match="1048577 levels"):
        side.replace([("1", "1")] * ((1 << 20) + 1))
    assert len(side) == 1 << 20


def _after_many(act: Callable[[], object], times: int = 300) -> list[int]:
    for _ in range(times):
        act()
    return [sys.getrefcount(thing) for thing in HELD]


HELD: list[Any] = [("101.5", "1"), ("101.5", "2"), ("102.25", "3"), ["103", "1"], ("101.50", "0"), "101.5x"]


def test_no_reference_is_kept_or_lost(core: ModuleType) -> None:
    def use() -> None:
        book = core.OrderBook()
        book.replace(HELD[:3], [HELD[3]])
        book.apply(HELD[:4], [HELD[2], HELD[4]])
        book.defer(HELD[:5], HELD[:5])
        book.prune(1)
        book.bids.top(), book.asks.best(), book.bids.best_key()
        for call in (book.bids.apply, book.bids.replace):
            with pytest.raises(ValueError, match="plain decimal text"):
                call([HELD[1], (HELD[5], "1")])

    before = _after_many(use, 1)

    assert _after_many(use) == before
