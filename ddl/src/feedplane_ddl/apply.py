"""Bringing a database to the newest tables: each file once, in order, recorded with its checksum."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from feedplane_core.errors import UsageError

from .migrations import Migration, migrations
from .template import TABLE_SETTINGS, Layout, render
from .ttl import ttl_statements

logger = logging.getLogger(__name__)

MIGRATIONS_TABLE: Final = "schema_migrations"


class QueryResult(Protocol):
    """What a query gives back."""

    @property
    def result_rows(self) -> Sequence[Sequence[Any]]: ...


class Client(Protocol):
    """The two calls of a clickhouse-connect client that are needed."""

    def command(self, cmd: str) -> Any: ...

    def query(self, query: str) -> QueryResult: ...


@dataclass
class Applied:
    """What an apply did."""

    files: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    ttl_changes: list[str] = field(default_factory=list)


def apply_ddl(
    client: Client,
    database: str,
    cluster: str | None = None,
    *,
    replicated: bool = True,
    on_cluster: bool = True,
    ttl_days: Mapping[str, int | None] | None = None,
    files: Sequence[Migration] | None = None,
) -> Applied:
    """Create or bring forward all tables in `database`; safe to repeat and to run twice at once.

    A file is recorded after its last statement, and every statement can be repeated, so an apply that was cut short
    is finished by the next.
    `ttl_days` maps tables to days to keep (None: for ever); tables that it does not name keep the TTL that they have.

    Raises:
        UsageError: a file that was applied has changed since, or the database was made for another layout; nothing
        has been touched then.
    """
    layout = Layout(database, cluster, replicated, on_cluster)
    wanted = migrations() if files is None else tuple(files)
    client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`{layout.on_cluster_clause}")
    client.command(_migrations_table(layout))
    recorded = _recorded(client, layout)
    _check(wanted, recorded, layout)
    result = Applied()
    for migration in wanted:
        if migration.name in recorded:
            result.unchanged.append(migration.name)
            continue
        for statement in render(migration.template, layout):
            client.command(statement)
        _record(client, layout, migration)
        logger.info("migration applied", extra={"file": migration.name, "database": database})
        result.files.append(migration.name)
    for statement in ttl_statements(_engines(client, layout), ttl_days or {}, layout):
        client.command(statement)
        result.ttl_changes.append(statement)
    return result


def is_current(
    client: Client, database: str, cluster: str | None = None, *, replicated: bool = True, on_cluster: bool = True
) -> bool:
    """Whether `apply_ddl` would have no file to apply. Reads alone; of a database that has never been one, the store's own
    error comes through. Files that are newer than ours are no reason for us to do anything.

    Raises: UsageError as `apply_ddl`.
    """
    layout = Layout(database, cluster, replicated, on_cluster)
    recorded = _recorded(client, layout)
    _check(migrations(), recorded, layout)
    return all(migration.name in recorded for migration in migrations())


def _migrations_table(layout: Layout) -> str:
    engine = "ReplacingMergeTree"
    if layout.cluster is not None and layout.replicated:
        # one Keeper path for all shards: every node knows what has been applied
        keeper = f"/clickhouse/feedplane/{layout.database}/{MIGRATIONS_TABLE}"
        engine = f"ReplicatedReplacingMergeTree('{keeper}', '{{shard}}_{{replica}}')"
    return (
        f"CREATE TABLE IF NOT EXISTS {layout.read(MIGRATIONS_TABLE)}{layout.on_cluster_clause}\n"
        "(file String, checksum String, layout String, applied_at DateTime DEFAULT now())\n"
        f"ENGINE = {engine} ORDER BY file\n"
        f"SETTINGS non_replicated_deduplication_window = {TABLE_SETTINGS['non_replicated_deduplication_window']}"
    )


def _recorded(client: Client, layout: Layout) -> dict[str, tuple[str, str]]:
    table = layout.read(MIGRATIONS_TABLE)
    query = f"SELECT file, checksum, layout FROM {table} FINAL ORDER BY file"  # noqa: S608 (names are checked by Layout)
    rows = client.query(query).result_rows
    return {str(file): (str(checksum), str(made_for)) for file, checksum, made_for in rows}


def _check(wanted: Sequence[Migration], recorded: Mapping[str, tuple[str, str]], layout: Layout) -> None:
    for migration in wanted:
        checksum, made_for = recorded.get(migration.name, (migration.checksum, layout.fingerprint))
        if checksum != migration.checksum:
            raise UsageError(
                migration.name,
                "this file was applied and has changed since",
                "put it back as it was and make the change in a new file",
            )
        if made_for != layout.fingerprint:
            raise UsageError(
                "cluster",
                f"the database was made for layout {made_for}, not {layout.fingerprint}",
                "use another database",
            )


def _record(client: Client, layout: Layout, migration: Migration) -> None:
    into = f"{layout.read(MIGRATIONS_TABLE)} (file, checksum, layout)"
    values = f"('{migration.name}', '{migration.checksum}', '{layout.fingerprint}')"
    client.command(f"INSERT INTO {into} SETTINGS async_insert = 0 VALUES {values}")  # noqa: S608 (checked names, hashes)


def _engines(client: Client, layout: Layout) -> dict[str, str]:
    """Full engine definitions by local table name."""
    query = f"SELECT name, engine_full FROM system.tables WHERE database = '{layout.database}'"  # noqa: S608 (as above)
    rows = client.query(query).result_rows
    return {str(name): str(engine) for name, engine in rows}
