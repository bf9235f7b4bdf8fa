"""Placement on sockets: everything once, within capacity, and stable."""

from __future__ import annotations

import pytest
from feedplane_core.plan import place
from hypothesis import given
from hypothesis import strategies as st

LOADS = st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 4), max_size=60)


@given(loads=LOADS, capacity=st.integers(4, 20))
def test_each_name_is_placed_once_within_capacity(loads: dict[str, int], capacity: int) -> None:
    placed = place(loads, capacity)

    assert sorted(name for names in placed.values() for name in names) == sorted(loads)
    assert all(sum(loads[name] for name in names) <= capacity for names in placed.values())
    assert all(names == sorted(names) for names in placed.values())


def test_one_name_more_moves_few() -> None:
    loads = {f"S{n}": 2 for n in range(390)}

    before, after = place(loads, 200), place(loads | {"NEW": 2}, 200)

    assert before.keys() == after.keys()
    moved = [name for n, names in before.items() for name in names if name not in after[n]]
    assert len(moved) <= 5


def test_a_name_that_fits_no_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="BIG"):
        place({"BIG": 11}, 10)
