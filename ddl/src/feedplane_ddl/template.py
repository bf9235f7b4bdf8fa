"""From one SQL template to the statements of one layout. Pure.

The same files serve one node and a cluster. Markers:

| marker | one node | cluster |
|---|---|---|
| `{{local:t}}` | `db`.`t` | `db`.`t_local` |
| `{{read:t}}` | `db`.`t` | `db`.`t` (the Distributed table, or a view) |
| `{{on_cluster}}` | nothing | ` ON CLUSTER 'c'` |
| `{{engine:E(args)}}` | `E(args)` | `ReplicatedE('<keeper path>', '{replica}', args)` |
| `{{settings}}` | settings that every table must have | the same |
| `{{levels:n}}` | columns `b1_px b1_sz .. bn_sz a1_px .. an_sz` | the same |
| `{{distributed:t}}` | no statement | `CREATE TABLE t AS t_local ENGINE = Distributed(...)` |
| `{{dedup_view:t}}` | view `t_dedup` that reads `t` with duplicates resolved | the same |

A single pair of braces is ClickHouse's own (macros, query parameters) and passes through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}").fullmatch
_MARKER: Final = re.compile(r"\{\{([a-z_]+)(?::([^{}]*))?\}\}")
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)

TABLE_SETTINGS: Final = {
    # Its default of 0 remembers no token at all. One entry per insert and partition; kept in memory, so no more than
    # the inserts
    # that can come between the first try of a slice and its last.
    "non_replicated_deduplication_window": 10_000,
    "replicated_deduplication_window": 10_000,
    "replicated_deduplication_window_seconds": 604_800,
    # The journal forgets what the store has acknowledged, so an acknowledged part must survive a power cut: about 1
    # ms an insert.
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "ttl_only_drop_parts": 1,
}


class TemplateError(ValueError):
    """A marker that does not exist or lacks its argument, or a name that is no identifier."""


@dataclass(frozen=True)
class Layout:
    """Where the tables go.

    `replicated` False makes a cluster of single-replica shards. `on_cluster` False renders a cluster's statements
    for a node at a time,
    for servers without a distributed DDL queue.
    """

    database: str
    cluster: str | None = None
    replicated: bool = True
    on_cluster: bool = True

    def __post_init__(self) -> None:
        for name in (self.database, self.cluster):
            if name is not None and not _IDENTIFIER(name):
                raise TemplateError(f"{name!r} is not a name of letters, digits and underscores")

    @property
    def fingerprint(self) -> str:
        """`single`, or what makes this cluster's statements: recorded with each migration."""
        return (
            "single"
            if self.cluster is None
            else f"cluster:{self.cluster}:{'replicated' if self.replicated else 'plain'}"
        )

    @property
    def on_cluster_clause(self) -> str:
        return f" ON CLUSTER '{self.cluster}'" if self.cluster is not None and self.on_cluster else ""

    def local(self, table: str) -> str:
        """The table that rows are inserted into, quoted."""
        return self._quoted(table if self.cluster is None else f"{table}_local")

    def read(self, table: str) -> str:
        """The table that queries name, quoted."""
        return self._quoted(table)

    def engine(self, spec: str) -> str:
        """`ReplacingMergeTree(v)` as this layout has it."""
        name, _, rest = spec.partition("(")
        arguments = rest.removesuffix(")").strip()
        if self.cluster is None or not self.replicated:
            return f"{name}({arguments})"
        # Names and not {uuid}: replicas must meet on one path also where each node is given its statements by itself.
        keeper = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
        return f"Replicated{name}({keeper}{', ' + arguments if arguments else ''})"

    def _quoted(self, table: str) -> str:
        if not _IDENTIFIER(table):
            raise TemplateError(f"{table!r} is not a table name")
        return f"`{self.database}`.`{table}`"


def render(template: str, layout: Layout) -> list[str]:
    """The statements of a file, in order, without comments and final semicolons.

    Raises: TemplateError for an unknown marker.
    """
    text = _MARKER.sub(
        lambda match: _expanded(match.group(1), match.group(2) or "", layout), _COMMENT.sub("", template)
    )
    if "{{" in text or "}}" in text:
        raise TemplateError("unfinished marker: " + text[max(0, text.find("{{")) :][:60])
    return [statement for piece in text.split(";") if (statement := piece.strip())]


def _expanded(name: str, argument: str, layout: Layout) -> str:
    match name:
        case "local" | "read" | "engine" if argument:
            return str(getattr(layout, name)(argument))
        case "on_cluster":
            return layout.on_cluster_clause
        case "settings":
            return "SETTINGS " + ", ".join(f"{key} = {value}" for key, value in TABLE_SETTINGS.items())
        case "levels" if argument.isdigit():
            return level_columns(int(argument))
        case "distributed" if argument:
            return _distributed(argument, layout)
        case "dedup_view" if argument:
            return _dedup_view(argument, layout)
    raise TemplateError(f"unknown marker {{{{{name}{':' + argument if argument else ''}}}}}")


def level_names(depth: int) -> list[str]:
    """`b1_px b1_sz .. bN_px bN_sz a1_px .. aN_sz`."""
    return [f"{side}{n}_{what}" for side in "ba" for n in range(1, depth + 1) for what in ("px", "sz")]


def level_columns(depth: int) -> str:
    """The columns of the best `depth` levels, as DDL."""
    return ",\n    ".join(f"{name} Decimal(38, 18) CODEC(ZSTD(1))" for name in level_names(depth))


def _distributed(table: str, layout: Layout) -> str:
    """No sharding key on purpose: rows are placed by the writer, and an insert by mistake must fail instead of
    landing on another shard."""
    if layout.cluster is None:
        return ""
    local = f"{table}_local"
    return (
        f"CREATE TABLE IF NOT EXISTS {layout.read(table)}{layout.on_cluster_clause} AS {layout.local(table)}\n"
        f"ENGINE = Distributed('{layout.cluster}', '{layout.database}', '{local}')"
    )


def _dedup_view(table: str, layout: Layout) -> str:
    """Sort keys hold the partition's column, so equal identities share a partition and FINAL need not look across
    partitions."""
    return (
        f"CREATE OR REPLACE VIEW {layout.read(table + '_dedup')}{layout.on_cluster_clause} AS\n"
        f"SELECT * FROM {layout.read(table)} FINAL SETTINGS do_not_merge_across_partitions_select_final = 1"
    )
