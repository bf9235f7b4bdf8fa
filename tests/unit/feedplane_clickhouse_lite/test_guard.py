"""What may not be said; the statements are as the engine's formatter prints them."""

from __future__ import annotations

import pytest
from feedplane_clickhouse_lite.errors import ClickHouseError
from feedplane_clickhouse_lite.guard import Permissions, check, needs_look, values_need_literals

_REFUSED = [
    b"SELECT file('/etc/passwd')",
    b"SELECT `file`('/etc/passwd')",
    b"SELECT * APPLY file",
    b"SELECT * FROM file('x')",
    b"INSERT INTO FUNCTION file('x') FORMAT CSV",
    b"CREATE FUNCTION f AS x -> file(x)",
    b"CREATE TABLE q (`a` Int) ENGINE = File(TSV)",
    b"CREATE DATABASE d ENGINE = SQLite('x')",
    b"CREATE MATERIALIZED VIEW v ENGINE = File(TSV) AS SELECT 1",
    b"CREATE DICTIONARY d (`a` Int64) PRIMARY KEY a SOURCE(FILE(PATH 'x' FORMAT 'TSV')) LAYOUT(FLAT())",
    b"CREATE DICTIONARY d (`a` Int64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'SELECT file(1)')) LAYOUT(FLAT())",
    b"CREATE TABLE q ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/x')",
    b"ATTACH TABLE a FROM 'x' (`a` Int) ENGINE = MergeTree ORDER BY a",
    b"BACKUP DATABASE default TO File('x')",
]
_ALWAYS_REFUSED = [
    b"SELECT * FROM python(x)",
    b"SELECT * FROM executable('x', 'TSV', 'a Int')",
    b"CREATE DICTIONARY d (`a` Int64) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'touch x')) LAYOUT(FLAT())",
    b"CREATE TABLE q (`a` Int) ENGINE = Executable('x', TSV)",
    b"SET ROLE lite_admin",
    b"SET DEFAULT ROLE x TO y",
    b"EXECUTE AS bob SELECT 1",
    b"INSERT INTO t FROM INFILE 'x' FORMAT TSV",
    b"SELECT 1 INTO OUTFILE 'x'",
]
_ALLOWED = [
    b"SELECT file FROM t WHERE file IN ('a')",
    b"SELECT a.file, engine, source FROM t",
    b"SELECT engine FROM system.tables WHERE engine = 'File'",
    b"SELECT 'file(1)'",
    b"CREATE TABLE t (`source` String, `engine` String) ENGINE = ReplacingMergeTree(v) ORDER BY a",
    b"CREATE TABLE t (`a` Int) ENGINE = Distributed(lite, default, t_local, cityHash64(a))",
    b"CREATE DICTIONARY d (`a` Int64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't' DB 'default')) LAYOUT(FLAT())",
]


@pytest.mark.parametrize("sql", _REFUSED + _ALWAYS_REFUSED)
def test_reaching_out_of_the_tables_is_refused(sql: bytes) -> None:
    assert needs_look(sql)
    with pytest.raises(ClickHouseError) as error:
        check(sql, Permissions())

    assert error.value.code in (497, 358)


@pytest.mark.parametrize("sql", _ALWAYS_REFUSED)
def test_some_things_are_refused_to_everybody(sql: bytes) -> None:
    with pytest.raises(ClickHouseError):
        check(sql, Permissions(files=True, network=True))


@pytest.mark.parametrize("sql", _ALLOWED)
def test_columns_strings_and_own_engines_pass(sql: bytes) -> None:
    check(sql, Permissions())


def test_rows_behind_a_statement_are_refused_since_they_are_not_printed() -> None:
    with pytest.raises(ClickHouseError):
        check(b"INSERT INTO t FORMAT Values", Permissions())
    check(b"INSERT INTO t FORMAT Values", Permissions(), data_apart=True)
    check(b"INSERT INTO t SELECT 1", Permissions())


def test_files_can_be_allowed() -> None:
    for sql in (b"SELECT file('x')", b"CREATE TABLE q (`a` Int) ENGINE = File(TSV)"):
        check(sql, Permissions(files=True))


def test_ordinary_queries_need_no_second_look() -> None:
    for sql in (b"SELECT price FROM trades_local WHERE instrument = {i:String}", b"INSERT INTO trades_local "):
        assert not needs_look(sql)


def test_an_escape_is_suspicious_for_what_it_may_hide() -> None:
    assert needs_look(b"SELECT `fi\\x6ce`('x')")
    assert values_need_literals(b"(`fi\\x6ce`('x'))")
    assert not values_need_literals(b"(1, 'x', now())")
