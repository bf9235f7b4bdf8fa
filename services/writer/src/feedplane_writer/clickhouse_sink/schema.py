"""The tables, brought forward by the writer itself before its first insert.

In this process and over its own HTTP client: the SQL files and the code that applies them are small, a client library or a second interpreter would not be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from feedplane_ddl.apply import apply_ddl, is_current

from .codes import Verdict, verdict
from .http import ServerError, ShardClient
from .sender import Sender


class _Rows(NamedTuple):
    result_rows: Sequence[Sequence[Any]]


class DdlClient:
    """The two calls that `feedplane_ddl` needs."""

    def __init__(self, client: ShardClient) -> None:
        self._client = client

    def command(self, cmd: str) -> None:
        """Raises: ServerError, Unreachable."""
        self._client.execute(cmd)

    def query(self, query: str) -> _Rows:
        """Raises: ServerError, Unreachable."""
        return _Rows([list(row.values()) for row in self._client.query(query, {})])


def schema_step(database: str, cluster: str | None, shard: int) -> Callable[[Sender], None]:
    """What a shard's worker does before its first insert.

    Where a cluster is named, statements go to every node from one of them: the first shard's writer gives them, the others wait for their tables as ever.
    """

    def bring_forward(client: ShardClient) -> None:
        ddl = DdlClient(client)
        if not _is_current(ddl, database, cluster):
            apply_ddl(ddl, database, cluster)

    def prepare(sender: Sender) -> None:
        if cluster is None or shard == 0:
            sender.prepare(bring_forward)

    return prepare


def _is_current(client: DdlClient, database: str, cluster: str | None) -> bool:
    """Asked first, and with reads alone: a user who may insert and no more must not be stopped by tables that are there."""
    try:
        return is_current(client, database, cluster)
    except ServerError as e:
        if verdict(e.code) is Verdict.SCHEMA:  # no database, or nothing was ever applied
            return False
        raise
