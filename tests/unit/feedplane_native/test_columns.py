"""Columns: the compiled core makes the record batches that the reference makes, and refuses the rows that it refuses."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from feedplane_core.events import DepthDiff, Event, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import Aggressor, MarketType
from feedplane_journal.blocks import Taken
from feedplane_journal.columns import Columns
from feedplane_journal.schema import DECIMAL, SCHEMAS
from feedplane_testing.journals import EVERY_TYPE, EXCHANGE, depth_diff, head, trade
from feedplane_testing.numbers import ODD, PLAIN, thorough
from hypothesis import given
from hypothesis import strategies as st

NUMBER_FIELDS = {field.name for schema in SCHEMAS.values() for field in schema if field.type == DECIMAL}
NUMBERS = st.one_of(*[PLAIN] * 7, ODD, st.none(), st.integers())
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["BTCUSDT", "币安人生USDT", "\ud800", ""]))
INTS = st.one_of(st.integers(0, 1 << 62), st.integers(-(1 << 65), 1 << 65), st.none())
LEVELS = st.lists(st.one_of(st.tuples(NUMBERS, NUMBERS), st.lists(NUMBERS, min_size=2, max_size=2)), max_size=5)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of any type, with some of its fields replaced by others of their kind, or by what does not fit."""
    event = draw(st.sampled_from(EVERY_TYPE))
    changed: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(type(event).__struct_fields__), max_size=4)):
        held = getattr(event, name)
        if name in NUMBER_FIELDS:
            changed[name] = draw(NUMBERS)
        elif name in ("bids", "asks"):
            changed[name] = draw(LEVELS)
        elif isinstance(held, int) and not isinstance(held, bool):
            changed[name] = draw(INTS)
        elif type(held) is str:
            changed[name] = draw(TEXTS)
    return msgspec.structs.replace(event, **changed)


LAST = st.one_of(st.none(), NUMBERS)


def refusals(taken: Taken) -> Counter[str]:
    found: Counter[str] = Counter()
    for refused in taken.refused:
        assert refused.detail
        found[refused.record_type] += refused.row_count
    return found


@thorough(200)
@given(st.lists(st.tuples(events(), LAST, LAST, st.booleans()), max_size=30))
def test_batches_are_the_same_and_refused_rows_too(core: ModuleType, rows: list[tuple[Event, Any, Any, bool]]) -> None:
    native, reference = Columns(EXCHANGE, core), Columns(EXCHANGE, None)
    for event, price, qty, takes in [*rows, (EVERY_TYPE[0], None, None, True)]:
        native.append(event, price, qty)
        reference.append(event, price, qty)
        assert native.rows == reference.rows
        if not takes:
            continue
        ours, theirs = native.take(), reference.take()
        assert refusals(ours) == refusals(theirs)
        found, expected = dict(ours.batches), dict(theirs.batches)
        assert found.keys() == expected.keys()
        for record_type, batch in found.items():
            batch.validate(full=True)
            assert batch.equals(expected[record_type], check_metadata=True)


@thorough(100)
@given(st.tuples(TEXTS, LAST, LAST, LAST, INTS))
def test_instruments_are_the_same_rows(core: ModuleType, values: tuple[Any, ...]) -> None:
    name, tick, step, size, listed_ns = values
    instrument = Instrument(
        exchange=EXCHANGE, market_type=MarketType.DELIVERY, instrument=name, pair="A-B", base="A", quote="B",
        settle="B", tick=tick, step=step, contract_size=size, listed_ns=listed_ns,
    )  # fmt: skip
    taken = []
    for columns in (Columns(EXCHANGE, core), Columns(EXCHANGE, None)):
        columns.append_instrument(instrument, 5)
        taken.append(columns.take())

    assert refusals(taken[0]) == refusals(taken[1])
    pairs = zip(taken[0].batches, taken[1].batches, strict=True)
    assert all(ours.equals(theirs) for (_, ours), (_, theirs) in pairs)


def test_many_rows_are_the_same_over_every_growth(core: ModuleType) -> None:
    native, reference = Columns(EXCHANGE, core), Columns(EXCHANGE, None)
    for number in range(5_000):
        for event in (depth_diff(number, levels=number % 40), trade(number), EVERY_TYPE[number % len(EVERY_TYPE)]):
            native.append(event)
            reference.append(event)
    expected = dict(reference.take().batches)

    assert all(batch.equals(expected.pop(record_type)) for record_type, batch in native.take().batches)
    assert expected == {}


def test_columns_refuse_to_be_used_by_a_value_of_a_row_that_is_written(core: ModuleType) -> None:
    errors: list[str] = []

    def slow(_value: object) -> bytes:
        for call in (rows.detach, lambda: rows.append(trade(1)), lambda: rows.append_row(0, ("1",))):
            with pytest.raises(RuntimeError) as error:
                call()
            errors.append(str(error.value))
        return bytes(16)

    rows = core.ColumnSet(slow)
    table = rows.add_table("trade", ("price",), "D ")
    rows.add_route(Trade, table, (("field", "price", None),))
    rows.append(Trade(**head(1), trade_id="1", price="1e5", qty="1", aggressor=Aggressor.BUY))

    assert errors == ["a row is being written"] * 3
    assert rows.rows == 1


def test_wrong_plans_are_refused_with_a_reason(core: ModuleType) -> None:
    rows = core.ColumnSet(bytes)
    table = rows.add_table("trade", ("price", "qty"), "D D ")
    with pytest.raises(ValueError, match="two characters"):
        rows.add_table("trade", ("price",), "D")
    with pytest.raises(ValueError, match="2 columns"):
        rows.add_route(Trade, table, (("field", "price", None),))
    with pytest.raises(ValueError, match="no source is named nonsense"):
        rows.add_route(Trade, table, (("nonsense", "price", None), ("field", "qty", None)))
    with pytest.raises(IndexError):
        rows.add_route(Trade, 7, ())
    with pytest.raises(KeyError):
        rows.append(trade(1))


def test_a_field_that_lies_in_no_slot_is_found_as_well(core: ModuleType) -> None:
    class Other:
        price = "1.5"

        @property
        def qty(self) -> str:
            return "2"

    rows = core.ColumnSet(bytes)
    rows.add_route(
        Other, rows.add_table("x", ("price", "qty"), "D D "), (("field", "price", None), ("field", "qty", None))
    )
    rows.append(Other())
    [(_, count, columns, _, _)] = rows.detach()

    assert count == 1
    assert [int.from_bytes(bytes(data), "little") for _, _, data in columns] == [15 * 10**17, 2 * 10**18]


def test_no_reference_is_kept_or_lost(core: ModuleType) -> None:
    poison = DepthDiff(**head(3), bids=[("1", "2"), ("1", "x")], asks=[], last_seq=None)
    held: list[Any] = [*EVERY_TYPE, poison, *poison.bids, "BTCUSDT", EXCHANGE]

    def use() -> None:
        columns = Columns(EXCHANGE, core)
        for event in [*EVERY_TYPE, poison]:
            columns.append(event, "1", "2")
        columns.take()
        columns.append(poison)

    use()
    gc.collect()  # what tests before this one have left behind holds some of the same strings
    before = [sys.getrefcount(thing) for thing in held]
    for _ in range(300):
        use()

    assert [sys.getrefcount(thing) for thing in held] == before


@pytest.mark.skipif("FEEDPLANE_SANITIZED" in os.environ, reason="a sanitizer keeps what is given back")
def test_buffers_are_given_back(core: ModuleType) -> None:
    """5,000 rows are 4 MB of buffers; 60 times that must not add up."""

    def use() -> None:
        columns = Columns(EXCHANGE, core)
        for number in range(5_000):
            columns.append(depth_diff(number, levels=20))
        taken = columns.take()
        assert taken.batches[0][1].num_rows == 5_000
        columns.append(depth_diff(1))

    for _ in range(5):
        use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(15):
        use()
    pa.default_memory_pool().release_unused()

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
