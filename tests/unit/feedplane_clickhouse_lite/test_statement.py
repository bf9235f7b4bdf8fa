"""Where a statement's clauses stand."""

from __future__ import annotations

import pytest
from feedplane_clickhouse_lite.statement import Kind, parse
from hypothesis import example, given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("sql", "head", "name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t ", "CSV", b"1,2\n"),
        (b"insert into t (a, b) format RowBinary \r\n\x01\x02", b"insert into t (a, b) ", "RowBinary", b"\x01\x02"),
        (b"INSERT INTO t FORMAT Native\n\n\x00", b"INSERT INTO t ", "Native", b"\n\x00"),
        (b"INSERT INTO t VALUES (1), (2)", b"INSERT INTO t ", "Values", b" (1), (2)"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values ", "Values", b" (1)"),
        (b"INSERT INTO db.format FORMAT TSV\n1", b"INSERT INTO db.format ", "TSV", b"1"),
        (b"INSERT INTO `a VALUES b` FORMAT TSV\n1", b"INSERT INTO `a VALUES b` ", "TSV", b"1"),
        (
            b"/* FORMAT x */ INSERT INTO t -- VALUES\n FORMAT TSV\n1",
            b"/* FORMAT x */ INSERT INTO t -- VALUES\n ",
            "TSV",
            b"1",
        ),
        (b"INSERT INTO FUNCTION null('a Int8') FORMAT TSV\n1", b"INSERT INTO FUNCTION null('a Int8') ", "TSV", b"1"),
    ],
)
def test_an_insert_is_cut_into_head_format_and_data(sql: bytes, head: bytes, name: str, data: bytes) -> None:
    statement = parse(sql)

    assert statement.kind is Kind.INSERT_DATA
    assert (statement.head, statement.format, sql[statement.data_at :]) == (head, name, data)


@pytest.mark.parametrize(
    ("sql", "settings"),
    [
        (b"INSERT INTO t (a) SETTINGS a=1 FORMAT TSV\n1", b"SETTINGS a=1 "),
        (
            b"INSERT INTO t (a) FORMAT TSV SETTINGS a=-1, b='x, y', c={'k': [1, 2]}\n1",
            b"SETTINGS a=-1, b='x, y', c={'k': [1, 2]}",
        ),
        (b"INSERT INTO t (a) SETTINGS a=1", b"SETTINGS a=1"),
        (b"INSERT INTO t (a) SETTINGS a=1 VALUES 1", b"SETTINGS a=1 "),
    ],
)
def test_settings_of_an_insert_stand_apart(sql: bytes, settings: bytes) -> None:
    statement = parse(sql)

    assert (statement.head, statement.settings) == (b"INSERT INTO t (a) ", settings)
    assert sql[statement.data_at :].strip() in (b"1", b"")


def test_an_insert_without_format_leaves_it_to_the_request() -> None:
    statement = parse(b"INSERT INTO t (a)")

    assert (statement.kind, statement.format, statement.data_at) == (Kind.INSERT_DATA, None, 17)


@pytest.mark.parametrize(
    "sql", [b"INSERT INTO t SELECT 1", b"INSERT INTO t (a) WITH 1 AS x SELECT x", b"INSERT INTO t (SELECT 1)"]
)
def test_insert_select_carries_no_data(sql: bytes) -> None:
    assert parse(sql).kind is Kind.OTHER


def test_input_takes_its_rows_from_the_request() -> None:
    sql = b"INSERT INTO t SELECT a + 1 FROM input('a UInt8') FORMAT CSV\n1\n"

    statement = parse(sql)

    assert statement.kind is Kind.INSERT_DATA
    assert statement.input_at is not None
    assert sql[slice(*statement.input_at)] == b"input('a UInt8')"
    assert (statement.input_structure, statement.format, sql[statement.data_at :]) == (b"'a UInt8'", "CSV", b"1\n")


@pytest.mark.parametrize(
    ("sql", "kind", "name"),
    [
        (b"SELECT 1", Kind.SELECT, None),
        (b"SELECT 1 FORMAT JSON", Kind.SELECT, "JSON"),
        (b"select 1 format JSON ;", Kind.SELECT, "JSON"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads=1", Kind.SELECT, "JSON"),
        (b"SELECT 1 SETTINGS max_threads=1 FORMAT JSON", Kind.SELECT, "JSON"),
        (b"SELECT format FROM t", Kind.SELECT, None),
        (b"SELECT 'x FORMAT JSON'", Kind.SELECT, None),
        (b"SELECT 1 -- FORMAT JSON", Kind.SELECT, None),
        (b"(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV", Kind.SELECT, "CSV"),
        (b"WITH 1 AS x SELECT x", Kind.SELECT, None),
        (b"SHOW TABLES FORMAT TSV", Kind.OTHER, "TSV"),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", Kind.OTHER, None),
        (b"", Kind.OTHER, None),
    ],
)
def test_kind_and_format_are_read_from_tokens(sql: bytes, kind: Kind, name: str | None) -> None:
    statement = parse(sql)

    assert (statement.kind, statement.format, statement.head) == (kind, name, sql)


def test_totals_are_seen() -> None:
    assert parse(b"SELECT a, count() FROM t GROUP BY a WITH TOTALS").has_totals
    assert not parse(b"SELECT 'WITH TOTALS'").has_totals


@given(st.binary(max_size=200))
def test_any_bytes_are_a_statement_of_some_kind(sql: bytes) -> None:
    statement = parse(sql)

    assert statement.data_at is None or 0 <= statement.data_at <= len(sql)


@given(st.binary(max_size=64))
@example(b"SETTINGS")
@example(b"SETTINGS and more, = no clause")
def test_data_of_any_bytes_comes_out_as_it_went_in(data: bytes) -> None:
    sql = b"INSERT INTO t FORMAT Native\n" + data

    assert sql[parse(sql).data_at :] == data
