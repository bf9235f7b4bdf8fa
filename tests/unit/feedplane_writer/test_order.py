"""Rows stand as their table's primary key has them, so that the server has nothing to sort."""

from __future__ import annotations

import re

import msgspec
import pyarrow as pa
import pytest
from feedplane_core.names import MarketType
from feedplane_ddl.migrations import migrations
from feedplane_ddl.template import Layout, render
from feedplane_testing.journals import EXCHANGE, T0_NS
from feedplane_writer.clickhouse_sink.order import in_key_order
from feedplane_writer.clickhouse_sink.tables import PARTITIONS, Built

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS `marketdata`\.`(\w+)`")
_UNITS = {"toYYYYMMDD": "day", "toYYYYMM": "month"}


def built(*rows: tuple[str, str, int]) -> Built:
    """Trades of (instrument, market type, time); `record` is the place they came in."""
    instruments, markets, times = zip(*rows, strict=True)
    columns = {
        "exchange": pa.repeat(EXCHANGE, len(rows)),
        "market_type": pa.array(markets),
        "instrument": pa.array(instruments),
        "ts_event": pa.array([T0_NS + time for time in times], pa.timestamp("ns")),
    }
    return Built("trades", columns, pa.arange(0, len(rows)))


def test_rows_go_by_instrument_market_and_time_and_those_of_one_time_as_they_came() -> None:
    given = built(
        ("ETHUSDT", "spot", 5), ("BTCUSDT", "spot", 9), ("BTCUSDT", "perp_linear", 8), ("BTCUSDT", "spot", 3), ("ETHUSDT", "spot", 5),
        ("btcusdt", "spot", 0), ("BTC_ÄÖ", "spot", 0), ("BTCUSDT", "spot", 3),
    )  # fmt: skip

    ordered = in_key_order(given)

    assert ordered.record.to_pylist() == [2, 3, 7, 1, 6, 0, 4, 5]
    for name, column in ordered.columns.items():
        assert column.to_pylist() == given.columns[name].take(ordered.record).to_pylist(), name


def test_rows_in_order_stay_where_they_are() -> None:
    given = built(("BTCUSDT", "spot", 1), ("BTCUSDT", "spot", 2), ("ETHUSDT", "spot", 1))

    assert in_key_order(given).columns["ts_event"] is given.columns["ts_event"]


def test_a_table_without_rows_has_an_order() -> None:
    given = built(("BTCUSDT", "spot", 1))
    columns = {name: column.slice(0, 0) for name, column in given.columns.items()}

    assert len(in_key_order(given._replace(columns=columns, record=given.record.slice(0, 0))).record) == 0


@pytest.mark.parametrize("market", MarketType)
def test_names_are_dictionaries_of_what_they_were(market: MarketType) -> None:
    ordered = in_key_order(built(("B", market.value, 2), ("A", market.value, 1)))

    assert all(pa.types.is_dictionary(ordered.columns[name].type) for name in ("exchange", "market_type", "instrument"))
    assert ordered.columns["instrument"].to_pylist() == ["A", "B"]


class Keyed(msgspec.Struct):
    """What a table's statement says of its rows' places."""

    partition: tuple[str, str]
    primary_key: list[str]


def tables() -> dict[str, Keyed]:
    found = {}
    for migration in migrations():
        for statement in render(migration.template, Layout("marketdata")):
            if (table := _TABLE.match(statement)) and table[1] in PARTITIONS:
                by = re.search(r"PARTITION BY (\w+)\((\w+)", statement)
                key = re.search(r"PRIMARY KEY \((.*)\)", statement)
                assert key is not None
                found[table[1]] = Keyed((by[2], _UNITS[by[1]]) if by else ("ts_event", "none"), key[1].split(", "))
    return found


def test_partitions_and_order_are_those_of_the_tables() -> None:
    found = tables()

    assert {name: keyed.partition for name, keyed in found.items()} == PARTITIONS
    names = ["exchange", "instrument", "market_type"]
    others = {
        name: keyed.primary_key for name, keyed in found.items() if keyed.primary_key != [*names, keyed.partition[0]]
    }
    assert others == {"klines_agg": [*names, "interval", "open_time"], "gaps": [*names, "feed"]}
