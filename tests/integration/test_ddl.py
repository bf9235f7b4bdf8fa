"""The tables as a real engine has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from feedplane_core.errors import UsageError
from feedplane_ddl.apply import apply_ddl
from feedplane_ddl.dictionary import TABLE_SECTIONS
from feedplane_ddl.migrations import Migration, migrations
from feedplane_ddl.template import Layout, render
from feedplane_testing.clickhouse import ClickHouseLite

HEAD = "exchange, market_type, instrument, ts_event, ts_recv"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseLite]:
    with ClickHouseLite(tmp_path_factory.mktemp("ddl") / "ch", max_threads=2) as running:
        yield running


@pytest.fixture(scope="module")
def client(engine: ClickHouseLite) -> Any:
    made = engine.client()
    apply_ddl(made, "marketdata")
    return made


def rows(client: Any, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(sql).result_rows]


@pytest.mark.parametrize("table", TABLE_SECTIONS)
def test_every_column_is_described_with_its_type(client: Any, table: str) -> None:
    described = [(field.name, field.type) for field in TABLE_SECTIONS[table].fields]

    assert described == [(name, kind) for name, kind, *_ in rows(client, f"DESCRIBE TABLE marketdata.{table}")]


def test_every_table_is_described(client: Any) -> None:
    made = rows(client, "SELECT name FROM system.tables WHERE database = 'marketdata' AND engine LIKE '%MergeTree'")

    assert {name for (name,) in made} == set(TABLE_SECTIONS) | {"schema_migrations"}


def test_applying_again_changes_nothing(client: Any) -> None:
    before = rows(
        client, "SELECT name, create_table_query FROM system.tables WHERE database = 'marketdata' ORDER BY name"
    )

    assert apply_ddl(client, "marketdata").files == []
    assert (
        rows(client, "SELECT name, create_table_query FROM system.tables WHERE database = 'marketdata' ORDER BY name")
        == before
    )


def test_an_apply_that_was_cut_short_is_finished_by_the_next(client: Any) -> None:
    half = render(migrations()[1].template, Layout("half"))[:3]
    client.command("CREATE DATABASE half")
    for statement in half:
        client.command(statement)

    assert apply_ddl(client, "half").files == [m.name for m in migrations()]


def test_a_file_that_changed_after_it_was_applied_is_refused(client: Any) -> None:
    original = Migration(
        "0001_a", "CREATE TABLE IF NOT EXISTS {{local:a}} (x Int8) ENGINE = {{engine:MergeTree}} ORDER BY x"
    )
    apply_ddl(client, "changed", files=[original])

    with pytest.raises(UsageError, match="has changed since"):
        apply_ddl(client, "changed", files=[Migration("0001_a", original.template.replace("Int8", "Int16"))])


def test_a_database_of_one_node_is_not_taken_for_a_clusters(client: Any) -> None:
    with pytest.raises(UsageError, match="layout single"):
        apply_ddl(client, "marketdata", "main", on_cluster=False, replicated=False)


def test_ttl_is_set_changed_and_removed(client: Any) -> None:
    apply_ddl(client, "kept")
    assert len(apply_ddl(client, "kept", ttl_days={"ob_diffs": 30, "klines_agg": 400}).ttl_changes) == 2
    assert apply_ddl(client, "kept", ttl_days={"ob_diffs": 30}).ttl_changes == []
    assert len(apply_ddl(client, "kept", ttl_days={"ob_diffs": None}).ttl_changes) == 1
    (engine,) = rows(client, "SELECT engine_full FROM system.tables WHERE database = 'kept' AND name = 'ob_diffs'")
    assert "TTL" not in engine[0]


def test_cluster_tables_can_be_created(tmp_path: Path) -> None:
    """The statements of a cluster with plain engines; Replicated ones need a Keeper."""
    with ClickHouseLite(tmp_path / "ch", clusters={"main": [["127.0.0.1:9001"], ["127.0.0.1:9002"]]}) as engine:
        client = engine.client()
        apply_ddl(client, "marketdata", "main", replicated=False, on_cluster=False)
        engines = dict(rows(client, "SELECT name, engine FROM system.tables WHERE database = 'marketdata'"))

    assert engines["trades_local"] == "ReplacingMergeTree"
    assert engines["trades"] == "Distributed"
    assert engines["trades_1m_mv_local"] == "MaterializedView"
    assert engines["trades_dedup"] == "View"


def insert_trades(client: Any, trades: list[tuple[str, str, str, str]], token: str, exchange: str = "x") -> None:
    """Trades as (time, price, qty, id)."""
    values = ", ".join(
        f"('{exchange}', 'spot', 'BTCUSDT', '{ts}', '{ts}', {price}, {qty}, 'BUY', '{trade_id}', '{trade_id}')"
        for ts, price, qty, trade_id in trades
    )
    client.command(
        f"INSERT INTO marketdata.trades ({HEAD}, price, qty, side, trade_id, identity)"
        f" SETTINGS async_insert = 0, insert_deduplication_token = '{token}' VALUES {values}"
    )


def candles(client: Any, view: str, exchange: str, interval_s: int) -> list[tuple[Any, ...]]:
    return rows(
        client,
        f"SELECT open_time, open, high, low, close, volume, quote_volume, trades FROM marketdata.{view}("
        f"exchange = '{exchange}', instrument = 'BTCUSDT', interval_s = {interval_s},"
        " since = '2026-11-20 00:00:00', until = '2026-11-21 00:00:00')",
    )


def test_candles_of_any_length_come_from_the_minutes(client: Any) -> None:
    trades = [
        ("2026-11-20 10:00:00.000000001", "100.5", "1", "7"),
        ("2026-11-20 10:00:59.999999999", "99", "2", "8"),
        ("2026-11-20 10:04:00", "103", "0.5", "9"),
        ("2026-11-20 11:00:00", "101", "0.000000000000000001", "10"),
    ]
    insert_trades(client, trades, "candles", "any")

    hour = candles(client, "ohlcv", "any", 3600)
    assert [(str(o), str(h), str(low), str(c)) for _, o, h, low, c, *_ in hour] == [
        ("100.500000000000000000", "103.000000000000000000", "99.000000000000000000", "103.000000000000000000"),
        ("101.000000000000000000",) * 4,
    ]
    assert hour[0][5:] == (Decimal("3.5"), Decimal("350.0"), 3)
    assert hour[1][6] == Decimal("0.000000000000000101")
    assert len(candles(client, "ohlcv", "any", 60)) == 3
    for interval_s in (60, 300, 3600, 86_400):
        exact = candles(client, "ohlcv_exact", "any", interval_s)
        assert [(*_utc(row[:1]), *row[1:]) for row in exact] == [
            (*_utc(row[:1]), *row[1:]) for row in candles(client, "ohlcv", "any", interval_s)
        ]


def _utc(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) and v.tzinfo is None else v for v in values)


@pytest.mark.parametrize(
    "ids",
    [("9", "10"), ("255", "256"), ("4294967295", "4294967296"), ("a", "b"), ("ab", "abc"), ("a" * 40, "a" * 40 + "b")],
)
def test_trades_of_one_instant_are_ordered_by_id_as_a_number_where_it_is_one(client: Any, ids: tuple[str, str]) -> None:
    """As text, "10" would come before "9". The same by the minutes and by the trades."""
    at, name = "2026-11-20 12:00:00", f"ties-{ids[1]}"
    insert_trades(client, [(at, "1", "1", ids[1]), (at, "2", "1", ids[0])], name, name)

    for view in ("ohlcv", "ohlcv_exact"):
        ((_, opened, _, _, closed, *_),) = candles(client, view, name, 60)
        assert (opened, closed) == (2, 1), view


def test_trades_are_ordered_by_time_before_anything_else(client: Any) -> None:
    """Instants whose lowest bytes are in another order than they are."""
    start = "2026-11-20 12:00:00.0000000"
    insert_trades(
        client,
        [(f"{start}99", "1", "1", "1"), (f"{start}01", "2", "1", "2"), (f"{start}00", "3", "1", "3")],
        "t",
        "times",
    )
    insert_trades(client, [("2026-11-20 12:00:00.000000512", "4", "1", "0")], "t2", "times")

    ((_, opened, _, _, closed, *_),) = candles(client, "ohlcv", "times", 60)
    assert (opened, closed) == (3, 4)


def test_a_batch_that_is_sent_again_counts_once_in_table_and_roll_up(client: Any) -> None:
    trade = [("2026-11-20 13:00:00", "5", "1", "1")]
    for _ in range(3):
        insert_trades(client, trade, "again", "again")

    assert rows(client, "SELECT count() FROM marketdata.trades WHERE exchange = 'again'") == [(1,)]
    assert candles(client, "ohlcv", "again", 60)[0][-1] == 1


def test_a_trade_in_two_batches_is_seen_once_where_identity_is_resolved(client: Any) -> None:
    for token in ("a", "b"):
        insert_trades(client, [("2026-11-20 14:00:00", "5", "1", "1")], token, "twice")

    assert rows(client, "SELECT count() FROM marketdata.trades_dedup WHERE exchange = 'twice'") == [(1,)]
    assert candles(client, "ohlcv_exact", "twice", 60)[0][-1] == 1


def test_one_symbol_of_two_markets_stays_two(client: Any) -> None:
    for market in ("spot", "perp_linear"):
        client.command(
            f"INSERT INTO marketdata.trades ({HEAD}, price, qty, trade_id, identity) SETTINGS async_insert = 0 VALUES"
            f" ('both', '{market}', 'BTCUSDT', '2026-11-20 10:00:00', '2026-11-20 10:00:00', 1, 1, '1', '1')"
        )

    assert rows(client, "SELECT count() FROM marketdata.trades_dedup WHERE exchange = 'both'") == [(2,)]
    assert len(candles(client, "ohlcv", "both", 60)) == 2


def test_a_later_row_of_a_gap_supersedes_whenever_it_was_written(client: Any) -> None:
    """`closed` of a clock that was set back still supersedes `open`."""
    for state, version, month in (("closed", (1 << 61) + 5, "11"), ("open", 900, "12")):
        client.command(
            f"INSERT INTO marketdata.gaps ({HEAD}, gap_id, feed, from_ts, state, version) SETTINGS async_insert = 0 VALUES"
            f" ('x', 'spot', 'A', '2026-{month}-01 00:00:00', '2026-{month}-01 00:00:00', 'g', 'trades',"
            f" '2026-10-30 00:00:00', '{state}', {version})"
        )

    assert rows(client, "SELECT state FROM marketdata.gaps_dedup WHERE gap_id = 'g'") == [("closed",)]


def test_mark_and_index_of_one_time_are_two_rows(client: Any) -> None:
    for column in ("mark_px", "index_px"):
        client.command(
            f"INSERT INTO marketdata.mark_price ({HEAD}, {column})"
            f" SETTINGS async_insert = 0, insert_deduplication_token = '{column}' VALUES"
            " ('x', 'perp_linear', 'A', '2026-11-20 00:00:00', '2026-11-20 00:00:00', 1)"
        )

    assert rows(client, "SELECT count(mark_px), count(index_px) FROM marketdata.mark_price_dedup") == [(1, 1)]


def test_the_newest_word_on_an_instrument_answers_now(client: Any) -> None:
    for day, tick in ((1, "0.1"), (2, "0.01")):
        client.command(
            f"INSERT INTO marketdata.instruments ({HEAD}, pair, tick) SETTINGS async_insert = 0 VALUES"
            f" ('x', 'spot', 'A', '2026-11-0{day} 00:00:00', '2026-11-0{day} 00:00:00', 'A-B', {tick})"
        )

    assert rows(client, "SELECT tick FROM marketdata.instruments_latest WHERE exchange = 'x'") == [(Decimal("0.01"),)]
    assert rows(client, "SELECT count() FROM marketdata.instruments_dedup WHERE exchange = 'x'") == [(2,)]
