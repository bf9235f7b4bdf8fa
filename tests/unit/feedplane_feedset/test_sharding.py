from __future__ import annotations

import pytest
from feedplane_feedset.config import SymbolSelection
from feedplane_feedset.sharding import owned, select_symbols, shard_of
from hypothesis import given
from hypothesis import strategies as st

SYMBOLS = [f"COIN{i}USDT" for i in range(2_000)]
SYMBOL_SETS = st.frozensets(st.text("ABCXYZ0123-_/", min_size=1, max_size=10), max_size=40)


def discovery(**changes: object) -> SymbolSelection:
    base = SymbolSelection(mode="discover", max_symbols=200, refresh_ns=1)
    return base.model_copy(update=changes)


def test_assignment_is_the_same_in_every_process_and_release() -> None:
    """Known answers: a change here would move symbols of everyone who upgrades."""
    assert [
        shard_of(symbol, 4) for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BTC-USD", "币安人生USDT")
    ] == KNOWN_SHARDS


KNOWN_SHARDS = [2, 0, 1, 2, 0]


@given(SYMBOL_SETS, st.integers(1, 64))
def test_every_symbol_has_exactly_one_shard(symbols: frozenset[str], shards: int) -> None:
    parts = [owned(symbols, shard, shards) for shard in range(shards)]

    assert sorted(symbol for part in parts for symbol in part) == sorted(symbols)


@given(SYMBOL_SETS, st.integers(1, 63))
def test_another_shard_takes_symbols_and_moves_none_between_the_others(symbols: frozenset[str], shards: int) -> None:
    for symbol in symbols:
        after = shard_of(symbol, shards + 1)

        assert after in (shard_of(symbol, shards), shards)


@given(SYMBOL_SETS, st.text("ABC", min_size=1, max_size=4), st.integers(1, 8))
def test_a_listing_moves_no_other_symbol(symbols: frozenset[str], listed: str, shards: int) -> None:
    for shard in range(shards):
        assert set(owned(symbols | {listed}, shard, shards)) - {listed} == set(owned(symbols, shard, shards)) - {listed}


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 15])
def test_another_shard_takes_about_its_share(shards: int) -> None:
    moved = sum(shard_of(symbol, shards) != shard_of(symbol, shards + 1) for symbol in SYMBOLS)

    assert moved == pytest.approx(len(SYMBOLS) / (shards + 1), rel=0.25)


def test_shards_are_of_similar_size() -> None:
    sizes = [len(owned(SYMBOLS, shard, 8)) for shard in range(8)]

    assert max(sizes) < 1.25 * len(SYMBOLS) / 8
    assert min(sizes) > 0.75 * len(SYMBOLS) / 8


def test_no_shards_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shards is 0"):
        shard_of("BTCUSDT", 0)


def test_discovery_filters_by_quote_in_any_case_and_leaves_out_the_excluded() -> None:
    listed = [("btcusdt", "usdt"), ("ethusdt", "usdt"), ("btceur", "eur")]

    assert select_symbols(listed, discovery(quotes=("USDT",), exclude=("ethusdt",)), 0, 1) == ("btcusdt",)
    assert select_symbols(listed, discovery(), 0, 1) == ("btceur", "btcusdt", "ethusdt")


@given(st.integers(1, 5), st.integers(1, 300))
def test_the_cap_holds_for_all_shards_together(shards: int, cap: int) -> None:
    listed = [(symbol, "USDT") for symbol in SYMBOLS[:250]]
    chosen = [
        symbol
        for shard in range(shards)
        for symbol in select_symbols(listed, discovery(max_symbols=cap), shard, shards)
    ]

    assert sorted(chosen) == sorted(SYMBOLS[:250])[:cap]


def test_an_include_list_is_taken_even_where_the_venue_does_not_list_it() -> None:
    """What the venue does not know has to be refused aloud."""
    selection = SymbolSelection(mode="include", include=("GONE",), max_symbols=1, refresh_ns=1)

    assert select_symbols([], selection, 0, 1) == ("GONE",)
    assert select_symbols([("A", "USDT")], selection.model_copy(update={"include": ()}), 0, 1) == ()
