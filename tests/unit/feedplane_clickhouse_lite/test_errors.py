"""Codes, statuses and texts as a server has them."""

from __future__ import annotations

import pytest
from feedplane_clickhouse_lite.errors import ClickHouseError, engine_error


@pytest.mark.parametrize(
    ("code", "status"), [(60, 404), (62, 400), (516, 403), (194, 401), (202, 503), (241, 500), (252, 500), (159, 408)]
)
def test_statuses_follow_codes(code: int, status: int) -> None:
    assert ClickHouseError(code, "x").http_status == status


def test_the_engines_message_is_read() -> None:
    error = engine_error("Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE)")

    assert error.code == 60
    assert (
        error.body("1.2") == "Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE) (version 1.2)\n"
    )


def test_a_nested_message_tells_the_inner_code_once() -> None:
    error = engine_error(
        "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format Nope. (UNKNOWN_FORMAT) (version 26.9.2.1). "
        "(UNKNOWN_FORMAT)"
    )

    assert error.code == 73
    assert error.text == "DB::Exception: Unknown format Nope. (UNKNOWN_FORMAT)"


def test_a_message_of_another_shape_is_a_logical_error() -> None:
    assert engine_error("no such thing").code == 49


def test_our_own_errors_name_their_code() -> None:
    assert ClickHouseError(373, "Session is locked").text == "DB::Exception: Session is locked (SESSION_IS_LOCKED)"
