"""What an HTTP request means."""

from __future__ import annotations

from base64 import b64encode

import pytest
from feedplane_clickhouse_lite.errors import ClickHouseError
from feedplane_clickhouse_lite.request import external_table, read_request, split_types


def test_parameters_settings_and_protocol_are_told_apart() -> None:
    pairs = [
        ("query", "SELECT 1"), ("database", "d"), ("param_x", "5"), ("max_threads", "2"), ("wait_end_of_query", "1"),
        ("send_progress_in_http_headers", "1"), ("insert_deduplication_token", "t"), ("query_id", "q"),
        ("max_threads", "3"),
    ]  # fmt: skip

    request = read_request("POST", pairs, {})

    assert request.query == b"SELECT 1"
    assert request.parameters == {"x": "5"}
    assert request.settings == {"max_threads": "3", "insert_deduplication_token": "t"}
    assert (request.database, request.query_id, request.wait_end, request.is_get) == ("d", "q", True, False)


def test_a_query_id_is_made_where_none_is_given() -> None:
    one, two = (read_request("GET", [], {}).query_id for _ in range(2))

    assert one != two


@pytest.mark.parametrize(
    ("pairs", "headers"),
    [
        ([("user", "u"), ("password", "p")], {}),
        ([], {"x-clickhouse-user": "u", "x-clickhouse-key": "p"}),
        ([], {"authorization": "Basic " + b64encode(b"u:p").decode()}),
    ],
)
def test_credentials_come_in_three_ways(pairs: list[tuple[str, str]], headers: dict[str, str]) -> None:
    request = read_request("GET", pairs, headers)

    assert (request.user, request.password) == ("u", "p")


@pytest.mark.parametrize(
    ("pairs", "headers", "code"),
    [
        ([("user", "u")], {"x-clickhouse-user": "u"}, 516),
        ([], {"authorization": "Bearer x"}, 516),
        ([], {"authorization": "Basic ///"}, 516),
        ([("role", "admin")], {}, 512),
        ([("bad name", "1")], {}, 115),
        ([("query_id", "a\nb")], {}, 408),
        ([("session_id", "s"), ("session_timeout", "0")], {}, 374),
        ([("session_id", "s"), ("session_timeout", "9999")], {}, 374),
        ([("http_zlib_compression_level", "x")], {}, 408),
    ],
)
def test_what_is_wrong_is_refused_with_its_code(
    pairs: list[tuple[str, str]], headers: dict[str, str], code: int
) -> None:
    with pytest.raises(ClickHouseError) as error:
        read_request("GET", pairs, headers)

    assert error.value.code == code


def test_external_tables_are_described_by_the_url() -> None:
    table = external_table("e", b"1\n", {"e_types": "UInt8,Decimal(38, 18)", "e_format": "CSV"})

    assert (table.structure, table.format) == ("_1 UInt8, _2 Decimal(38, 18)", "CSV")


def test_external_tables_need_a_name_and_columns() -> None:
    for name, query in (("a`b", {"a`b_types": "UInt8"}), ("e", {})):
        with pytest.raises(ClickHouseError):
            external_table(name, b"", query)


def test_a_setting_that_looks_like_a_table_is_a_setting() -> None:
    request = read_request("POST", [("date_time_input_format", "best_effort"), ("e_types", "UInt8")], {})

    assert request.settings == {"date_time_input_format": "best_effort"}


def test_types_are_split_outside_of_parentheses() -> None:
    assert split_types("A, Tuple(B, Array(C)), D") == ["A", "Tuple(B, Array(C))", "D"]
