"""The account of a plane: collectors' and writers' books put side by side, per exchange and feed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COUNTS = ("received", "normalised", "rejected", "ignored", "journalled", "shed", "gaps", "duplicates")
"""What collectors count; summed over the shards of an exchange."""


def merge_accounts(
    collectors: Iterable[Mapping[str, Any]], writers: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows in order of exchange and feed.

    `collectors` are collectors' status documents; `writers` maps a sink to its writer's. `written` is what a sink has settled: stored, or superseded there by a
    newer value of the same key, or of a feed that the sink does not hold; `stored` counts rows and keys that were really sent;
    `lost` is what the journal had to drop unread: the collector has moved it from journalled to shed, but for what no venue sent.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for status in collectors:
        for feed, account in status["feeds"].items():
            row = rows.setdefault((status["exchange"], feed), _empty(status["exchange"], feed, writers))
            for key in COUNTS:
                row[key] += account[key]
    for sink, status in writers.items():
        for account in status.get("accounts", ()):  # a writer that has just started has none yet
            row = rows.setdefault(
                (account["exchange"], account["feed"]), _empty(account["exchange"], account["feed"], writers)
            )
            for key in ("written", "stored", "quarantined", "lost"):
                row[key][sink] += account.get(key, 0)
    for row in rows.values():
        for sink in writers:
            settled = row["written"][sink] + row["quarantined"][sink]
            row["pending"][sink] = row["journalled"] - settled - max(0, row["lost"][sink] - row["shed"])
    return [rows[key] for key in sorted(rows)]


def _empty(exchange: str, feed: str, sinks: Iterable[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"exchange": exchange, "feed": feed, **dict.fromkeys(COUNTS, 0)}
    row.update({key: dict.fromkeys(sinks, 0) for key in ("written", "pending", "stored", "quarantined", "lost")})
    return row


def imbalances(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What does not add up, in words; empty when the books balance."""
    found = []
    for row in rows:
        name = f"{row['exchange']} {row['feed']}"
        if row["received"] != row["normalised"] + row["rejected"] + row["ignored"]:
            found.append(f"{name}: received is not normalised + rejected + ignored")
        if row["normalised"] != row["journalled"] + row["shed"]:
            found.append(f"{name}: normalised is not journalled + shed")
        found += [f"{name}: {sink} has written more than was journalled" for sink, n in row["pending"].items() if n < 0]
    return found
