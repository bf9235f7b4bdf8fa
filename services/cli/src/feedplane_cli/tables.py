"""`feedplane ddl apply`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError
from feedplane_core.errors import FeedplaneError, UsageError
from feedplane_ddl.apply import Applied, apply_ddl
from feedplane_ops.settings import read_secret

from feedplane_cli.console import out

logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # it logs a traceback of what it raises


class TablesFailed(FeedplaneError):
    """The store does not answer, or refuses a statement."""


def bring_forward(
    host: str, port: int, database: str, cluster: str | None, *, user: str, password: str, secure: bool
) -> Applied:
    """Connect and apply all tables. Raises: TablesFailed; UsageError for a database of another layout or a changed file."""
    try:
        client: Any = clickhouse_connect.get_client(
            host=host, port=port, username=user, password=password, secure=secure
        )
        try:
            return apply_ddl(client, database, cluster)
        finally:
            client.close()
    except ClickHouseError as e:
        raise TablesFailed(f"tables cannot be applied at {host}:{port}: {str(e).strip()}") from e


def apply_tables(url: str, database: str, cluster: str | None, user: str, password_file: Path | None) -> None:
    """Apply and say what changed. Raises: TablesFailed; UsageError for an address that is none, a database of another layout, a changed file."""
    host, port, secure = address_of(url)
    password = read_secret(password_file).get_secret_value() if password_file else ""
    applied = bring_forward(host, port, database, cluster, user=user, password=password, secure=secure)
    for name in applied.files:
        out.print(f"applied    {name}", markup=False)
    for name in applied.unchanged:
        out.print(f"unchanged  {name}", markup=False)
    for change in applied.ttl_changes:
        out.print(f"ttl        {change}", markup=False)


def address_of(url: str) -> tuple[str, int, bool]:
    """(host, port, whether TLS). Raises: UsageError."""
    address = urlsplit(url if "//" in url else f"http://{url}")
    is_secure = address.scheme == "https"
    try:
        port = address.port or (8443 if is_secure else 8123)
    except ValueError:
        port = 0
    if address.scheme not in ("http", "https") or not address.hostname or not port:
        raise UsageError("--url", f"{url!r} is no HTTP address", "as in http://127.0.0.1:8123")
    return address.hostname, port, is_secure
