"""`feedplane ddl apply`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
from feedplane_core.errors import UsageError
from feedplane_ddl.apply import apply_ddl
from feedplane_ops.settings import read_secret

from feedplane_cli.console import out


def apply_tables(url: str, database: str, cluster: str | None, user: str, password_file: Path | None) -> None:
    """Apply and say what changed. Raises: UsageError for an address that is none, a database of another layout, a changed file."""
    address = urlsplit(url if "//" in url else f"http://{url}")
    if not address.hostname:
        raise UsageError("--url", f"{url!r} is no HTTP address", "as in http://127.0.0.1:8123")
    client = clickhouse_connect.get_client(
        host=address.hostname,
        port=address.port or 0,
        secure=address.scheme == "https",
        username=user,
        password=read_secret(password_file).get_secret_value() if password_file else "",
    )
    applied = apply_ddl(client, database, cluster)
    for name in applied.files:
        out.print(f"applied    {name}", markup=False)
    for name in applied.unchanged:
        out.print(f"unchanged  {name}", markup=False)
    for change in applied.ttl_changes:
        out.print(f"ttl        {change}", markup=False)
