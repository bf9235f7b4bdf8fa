"""Events become columns exactly; what does not fit is refused alone."""

from __future__ import annotations

import random
from decimal import Decimal

import pyarrow as pa
import pytest
from feedplane_core.events import EVENT_TYPES, Event, Status, Trade
from feedplane_core.identity import identity_of
from feedplane_core.instruments import Instrument
from feedplane_core.journal import RECORD_TYPES
from feedplane_core.jsonlines import event_dict
from feedplane_core.names import Aggressor, MarketType
from feedplane_journal.columns import Columns
from feedplane_journal.rows import row_dicts
from feedplane_journal.schema import SCHEMAS
from feedplane_testing.journals import EVERY_TYPE, EXCHANGE, T0_NS, book_snapshot, depth_diff, head, top_of_book, trade
from hypothesis import given
from hypothesis import strategies as st


def take(events: list[Event]) -> dict[str, pa.RecordBatch]:
    columns = Columns(EXCHANGE)
    for event in events:
        columns.append(event)
    taken = columns.take()
    assert taken.refused == []
    return dict(taken.batches)


def test_every_event_type_has_columns_and_every_record_type_a_schema() -> None:
    assert {type(event) for event in EVERY_TYPE} == set(EVENT_TYPES)
    assert tuple(SCHEMAS) == RECORD_TYPES


@pytest.mark.parametrize("event", EVERY_TYPE, ids=lambda e: type(e).__name__)
def test_what_goes_in_comes_out(event: Event) -> None:
    [(record_type, batch)] = take([event]).items()
    batch.validate(full=True)
    [row] = row_dicts(record_type, batch)

    expected = event_dict(event)
    if isinstance(event, Status):
        expected["feed"] = ""
    assert {key: _levels_as_lists(row[key]) for key in expected} == {
        key: _levels_as_lists(value) for key, value in expected.items()
    }


def _levels_as_lists(value: object) -> object:
    return [list(level) for level in value] if isinstance(value, list | tuple) else value


def test_batches_have_the_declared_schema_and_times_to_the_nanosecond() -> None:
    for record_type, batch in take(EVERY_TYPE).items():
        assert batch.schema.equals(SCHEMAS[record_type])
        assert batch.column("exchange").to_pylist() == [EXCHANGE] * batch.num_rows
    assert take([trade(3)])["trade"].column("ts_event").cast(pa.int64()).to_pylist() == [T0_NS + 3_000]


def test_snapshots_and_diffs_keep_their_order_in_one_stream() -> None:
    batch = take([depth_diff(1), book_snapshot(2), depth_diff(3)])["depth"]

    assert batch.column("is_snapshot").to_pylist() == [False, True, False]


def test_identity_is_stored_only_where_no_id_or_sequence_says_it() -> None:
    nameless = Trade(**head(1), trade_id="", price="1", qty="2", aggressor=Aggressor.SELL, ordinal=3)
    numberless = depth_diff(1).__class__(**head(1), bids=[["1", "2"]], asks=[])

    assert take([trade(1), nameless])["trade"].column("identity").to_pylist() == ["", identity_of(nameless)]
    depth = take([depth_diff(1), numberless])["depth"]
    assert depth.column("identity").to_pylist() == ["", identity_of(numberless)]


def test_the_last_trade_rides_with_quotes() -> None:
    columns = Columns(EXCHANGE)
    columns.append(top_of_book(1), "60000.5", "0.1")
    columns.append(top_of_book(2))
    [(_, batch)] = columns.take().batches

    assert batch.column("last_price").to_pylist() == [Decimal("60000.5"), None]
    assert batch.column("source").to_pylist() == ["native", "native"]


def test_an_instrument_is_a_row_of_its_time() -> None:
    instrument = Instrument(
        exchange=EXCHANGE, market_type=MarketType.PERP_LINEAR, instrument="BTCUSDT", pair="BTC-USDT-PERP", base="BTC",
        quote="USDT", settle="USDT", tick="0.1", step="0.001", listed_ns=T0_NS,
    )  # fmt: skip
    columns = Columns(EXCHANGE)
    columns.append_instrument(instrument, T0_NS + 5)
    [(record_type, batch)] = columns.take().batches
    [row] = row_dicts(record_type, batch)

    assert row["type"] == "instrument"
    assert (row["tick"], row["contract_size"], row["listed_ns"], row["expiry_ns"]) == ("0.1", None, T0_NS, None)
    assert (row["ts_recv_ns"], row["status"], row["contract_unit"]) == (T0_NS + 5, "trading", "base")


BAD_NUMBERS = ["", "abc", "NaN", "1.1234567890123456789", "123456789012345678901", "1_0", " 1", "\ud800"]


@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_a_number_that_does_not_cast_costs_its_row_alone(bad: str) -> None:
    events: list[Event] = [depth_diff(i) for i in range(50)]
    poison = depth_diff(17)
    events[17] = poison.__class__(**head(17), bids=[["1", "2"], ["3", bad]], asks=poison.asks, last_seq=1)
    columns = Columns(EXCHANGE)
    for event in events:
        columns.append(event)
    taken = columns.take()

    assert [(r.record_type, r.row_count) for r in taken.refused] == [("depth", 1)]
    assert taken.refused[0].detail
    [(_, batch)] = taken.batches
    assert batch.column("last_seq").to_pylist() == [i * 10 + 9 for i in range(50) if i != 17]
    assert batch.equals(take([e for i, e in enumerate(events) if i != 17])["depth"])


def test_levels_that_are_no_pairs_cannot_shift_the_levels_of_others() -> None:
    crooked = depth_diff(1).__class__(**head(1), bids=[["1", "2", "3"], ["4", "5", "6"]], asks=[], last_seq=1)
    columns = Columns(EXCHANGE)
    for event in (depth_diff(0), crooked, depth_diff(2)):
        columns.append(event)
    taken = columns.take()

    assert [(r.row_count, r.detail) for r in taken.refused] == [(1, "a level is not a (price, qty) pair")]
    [(_, batch)] = taken.batches
    assert batch.equals(take([depth_diff(0), depth_diff(2)])["depth"])


def test_a_sequence_beyond_64_bits_or_a_missing_price_is_refused_too() -> None:
    columns = Columns(EXCHANGE)
    columns.append(depth_diff(1 << 62))
    columns.append(trade(1))
    columns.append(Trade(**head(2), trade_id="2", price=None, qty="1", aggressor=Aggressor.BUY))  # type: ignore[arg-type]
    taken = columns.take()

    assert sorted((r.record_type, r.row_count) for r in taken.refused) == [("depth", 1), ("trade", 1)]
    assert [(t, b.num_rows) for t, b in taken.batches] == [("trade", 1)]


def test_a_whole_batch_of_poison_ends() -> None:
    columns = Columns(EXCHANGE)
    for i in range(500):
        columns.append(Trade(**head(i), trade_id=str(i), price="x", qty="1", aggressor=Aggressor.BUY))
    taken = columns.take()

    assert taken.batches == []
    assert sum(r.row_count for r in taken.refused) == 500


def test_counts_follow_the_rows_and_taking_empties() -> None:
    columns = Columns(EXCHANGE)
    assert (columns.rows, columns.approx_bytes, columns.take().batches) == (0, 0, [])
    for i in range(10):
        columns.append(depth_diff(i, levels=8))
        columns.append(trade(i))
    size = sum(batch.nbytes for batch in take([depth_diff(i, 8) for i in range(10)]).values())

    assert columns.rows == 20
    assert 0.5 * size < columns.approx_bytes < 2 * size
    assert columns.take().batches
    assert (columns.rows, columns.approx_bytes) == (0, 0)


def test_detached_rows_are_safe_from_what_is_appended_after() -> None:
    columns = Columns(EXCHANGE)
    columns.append(depth_diff(1))
    pending = columns.detach()
    columns.append(depth_diff(2, levels=7))

    [(_, first)] = pending.build().batches
    [(_, second)] = columns.take().batches
    assert first.equals(take([depth_diff(1)])["depth"])
    assert second.equals(take([depth_diff(2, levels=7)])["depth"])


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19)


@given(st.lists(st.tuples(numbers, numbers), max_size=6), st.integers(0, 3))
def test_numbers_are_exact_to_the_last_of_38_digits(levels: list[tuple[Decimal, Decimal]], others: int) -> None:
    texts = [[format(price, "f"), format(qty, "f")] for price, qty in levels]
    event = depth_diff(0).__class__(**head(0), bids=texts, asks=[], last_seq=1)
    batch = take([depth_diff(i) for i in range(others)] + [event])["depth"]

    assert [tuple(level) for level in batch.column("bids").to_pylist()[-1]] == levels


def test_random_mixes_keep_every_row_in_its_type_and_order() -> None:
    rng = random.Random(7)
    events = [rng.choice(EVERY_TYPE) for _ in range(300)]
    batches = take(events)

    expected: dict[str, list[str]] = {}
    for event in events:
        expected.setdefault(event_dict(event)["type"], []).append(str(event.ts_recv_ns))
    found: dict[str, list[str]] = {}
    for record_type, batch in batches.items():
        for row in row_dicts(record_type, batch):
            found.setdefault(row["type"], []).append(str(row["ts_recv_ns"]))
    assert found == expected
