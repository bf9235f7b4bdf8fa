"""How long rows are kept, per table. Declared at apply and changed by ALTER, so it is no migration. Pure.

The default keeps everything: history that disappears without having been asked to is the fault this project exists
to prevent.
`RECOMMENDED_DAYS` is what `--ttl recommended` sets: the bulky tables go, the ones that cannot be derived again stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from feedplane_core.errors import UsageError

from .template import Layout

TTL_COLUMNS: Final[Mapping[str, str]] = {
    "trades": "ts_event",
    "l1_200ms": "bucket",
    "ob_top5": "ts_event",
    "ob_top20": "ts_event",
    "ob_diffs": "ts_event",
    "ob_snapshots": "ts_event",
    "liquidations": "ts_event",
    "klines_agg": "open_time",
    "mark_price": "ts_event",
    "funding": "ts_event",
    "open_interest": "ts_event",
    "advanced_metrics": "ts_event",
    "gaps": "from_ts",
    "instruments": "ts_event",
    "status": "ts_event",
    "trades_1m": "minute",
}
"""The column that ages each table's rows."""

RECOMMENDED_DAYS: Final[Mapping[str, int]] = {
    "ob_diffs": 30,
    "ob_snapshots": 30,
    "ob_top20": 30,
    "ob_top5": 90,
    "advanced_metrics": 90,
    "l1_200ms": 365,
    "mark_price": 365,
    "status": 365,
}

_MAX_DAYS: Final = 36_500
_TTL: Final = re.compile(r"\bTTL toDateTime\(`?(\w+)`?\) \+ toIntervalDay\((\d+)\)")


def parse_ttl(text: str) -> dict[str, int | None]:
    """`ob_diffs=30,status=365`, `ob_diffs=keep` (for ever) or `recommended`; empty for no change.

    Raises:
        UsageError: an unknown table, or days that are not 1 to 36500.
    """
    if text.strip() == "recommended":
        return dict(RECOMMENDED_DAYS)
    days: dict[str, int | None] = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        table, _, value = item.partition("=")
        days[table] = None if value == "keep" else int(value) if value.isascii() and value.isdigit() else 0
    check_ttl(days)
    return days


def check_ttl(days: Mapping[str, int | None]) -> None:
    """Raises: UsageError as `parse_ttl`."""
    for table, value in days.items():
        if table not in TTL_COLUMNS:
            raise UsageError("ttl", f"{table!r} is no table", "one of " + ", ".join(TTL_COLUMNS))
        if value is not None and not 1 <= value <= _MAX_DAYS:
            raise UsageError("ttl", f"{table}: not a number of days from 1 to {_MAX_DAYS}, or keep")


def ttl_of(engine_full: str) -> int | None:
    """Days that an engine definition keeps rows; None: for ever."""
    match = _TTL.search(engine_full)
    return None if match is None else int(match[2])


def ttl_statements(engines: Mapping[str, str], days: Mapping[str, int | None], layout: Layout) -> list[str]:
    """The ALTERs that bring the tables to `days`; none where they are there already.

    Old rows go with the next merges (`materialize_ttl_after_modify = 0`): rewriting a year of parts at once would
    starve inserts.
    """
    check_ttl(days)
    statements = []
    for table, wanted in days.items():
        local = table if layout.cluster is None else f"{table}_local"
        if ttl_of(engines.get(local, "")) == wanted:
            continue
        change = (
            "REMOVE TTL" if wanted is None else f"MODIFY TTL toDateTime({TTL_COLUMNS[table]}) + toIntervalDay({wanted})"
        )
        where = f"{layout.local(table)}{layout.on_cluster_clause}"
        statements.append(f"ALTER TABLE {where} {change} SETTINGS materialize_ttl_after_modify = 0")
    return statements
