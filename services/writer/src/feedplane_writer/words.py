"""What every sink says of its store and of what waits for it, in one shape: the operator and people read it in `/status`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Trouble(NamedTuple):
    """A store that does not take what it is given, as far as was tried."""

    for_ns: int
    code: str  # of the store, or a kind of network error; `schema` where the tables are not as they should be
    detail: str


def store_word(trouble: Trouble | None, last_commit_ns: int) -> dict[str, Any]:
    """`last_commit_ns` is when the store took something last, 0 where it has not yet."""
    if trouble is None:
        return {"ok": True, "code": "", "detail": "", "failing_for_ns": 0, "last_commit_ns": last_commit_ns}
    return {
        "ok": False,
        "code": trouble.code,
        "detail": trouble.detail,
        "failing_for_ns": trouble.for_ns,
        "last_commit_ns": last_commit_ns,
    }


def backlog_word(journals: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Over all journals: records and bytes that are not settled, and the age of the newest settled one while others wait."""
    told = list(journals)
    return {
        "rows": sum(journal["pending"] for journal in told),
        "bytes": sum(journal["backlog_bytes"] for journal in told),
        "lag_ns": max((journal["lag_ns"] for journal in told), default=0),
    }
