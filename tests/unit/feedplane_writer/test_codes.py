"""Retry is decided by the code alone."""

from __future__ import annotations

import pyarrow as pa
import pytest
from feedplane_writer.clickhouse_sink.codes import Verdict, verdict
from feedplane_writer.clickhouse_sink.table_check import table_faults


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (252, Verdict.RETRY),  # too many parts
        (241, Verdict.RETRY),  # memory
        (243, Verdict.RETRY),  # disk
        (159, Verdict.RETRY),  # timeout
        (33, Verdict.RETRY),  # the body was cut on its way
        (60, Verdict.SCHEMA),  # no such table
        (16, Verdict.SCHEMA),  # no such column
        (516, Verdict.AUTH),
        (469, Verdict.REJECT),  # constraint
        (691, Verdict.REJECT),  # enum
        (53, Verdict.REJECT),  # type
        (36, Verdict.UNKNOWN),  # bad arguments: ours as likely as the row's
        (424_242, Verdict.UNKNOWN),
    ],
)
def test_each_code_has_its_meaning(code: int, meaning: Verdict) -> None:
    assert verdict(code) is meaning


SENT = pa.schema(
    [
        ("name", pa.dictionary(pa.int32(), pa.string())),
        ("at", pa.timestamp("ns")),
        ("price", pa.decimal128(38, 18)),
        ("n", pa.int64()),
        ("is_it", pa.bool_()),
    ]
)
GOOD = {
    "name": "LowCardinality(String)",
    "at": "DateTime64(9)",
    "price": "Nullable(Decimal(38, 18))",
    "n": "Nullable(Int64)",
    "is_it": "Bool",
    "added_later": "String",
}


def test_a_table_that_takes_the_rows_has_no_fault() -> None:
    assert table_faults(SENT, GOOD) == []
    assert table_faults(SENT, GOOD | {"name": "Enum8('A' = 1)"}) == []


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("name", "UInt64"),
        ("at", "String"),
        ("price", "Decimal(38, 8)"),
        ("price", "Float64"),
        ("n", "String"),
        ("is_it", "String"),
    ],
)
def test_a_column_of_another_type_is_named(column: str, kind: str) -> None:
    (fault,) = table_faults(SENT, GOOD | {column: kind})

    assert fault.startswith(f"column {column} is {kind}")


def test_what_is_missing_is_named() -> None:
    assert table_faults(SENT, {}) == ["the table is missing"]
    assert table_faults(SENT, {k: v for k, v in GOOD.items() if k != "at"}) == ["column at is missing"]
