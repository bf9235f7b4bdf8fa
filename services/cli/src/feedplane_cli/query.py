"""`feedplane query`: one statement against the store of the running plane."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from feedplane_core.errors import FeedplaneError
from rich.measure import Measurement
from rich.table import Table

from feedplane_cli.console import out
from feedplane_cli.http import post


class QueryFailed(FeedplaneError):
    """The store refused the statement."""


class Format(StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    ARROW = "arrow"


_CLICKHOUSE_FORMAT = {
    Format.TABLE: "JSONCompact",
    Format.CSV: "CSVWithNames",
    Format.JSON: "JSONEachRow",
    Format.ARROW: "ArrowStream",
}


def run_query(url: str, database: str, sql: str, form: Format) -> bytes:
    """The answer in the store's own format. Decimals stay text in JSON, so nothing is rounded. Raises: QueryFailed."""
    settings = {
        "database": database,
        "default_format": _CLICKHOUSE_FORMAT[form],
        "output_format_json_quote_64bit_integers": "0",
        "output_format_json_quote_decimals": "1",
    }
    try:
        status, body = post(f"{url}/?{urlencode(settings)}", sql.encode())
    except OSError as e:
        raise QueryFailed(f"the store at {url} does not answer: {e}") from e
    if status != 200:
        raise QueryFailed(body.decode(errors="replace").strip())
    return body


def as_table(body: bytes) -> Table | None:
    """`JSONCompact` as a table; `None` for a statement without a result."""
    if not body.strip():
        return None
    document: dict[str, Any] = json.loads(body)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in document["meta"]:
        numeric = column["type"].startswith(("Int", "UInt", "Float", "Decimal"))
        table.add_column(column["name"], justify="right" if numeric else "left", no_wrap=True)
    for row in document["data"]:
        table.add_row(*("" if value is None else str(value) for value in row))
    return table


def print_whole(table: Table) -> None:
    """On a terminal cut to its width; for a file or a pipe as wide as it is, so that nothing is lost."""
    if not out.is_terminal:
        out.width = max(out.width, Measurement.get(out, out.options.update(max_width=1 << 20), table).maximum)
    out.print(table)
