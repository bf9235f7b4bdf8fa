"""What every sink says of its store and of what waits for it, in one shape: the operator and people read it in `/status`. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple


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


MAX_WORD_BYTES: Final = 4_096
"""Of a container's termination message; the kubelet cuts what is longer."""


def last_word(sink: str, left: list[dict[str, Any]], trouble: Trouble | None, *, is_declared: bool) -> dict[str, Any]:
    """What an ending writer leaves: the records that it did not store, by exchange and feed. `is_declared`: the store has rows that say so."""
    return {
        "component": "writer",
        "sink": sink,
        "drained": not left,
        "declared": is_declared,
        "store": store_word(trouble, 0) if trouble is not None else None,
        "remaining": left,
    }


def fitted(word: Mapping[str, Any]) -> str:
    """One line of JSON that is not too long: entries at the end of `remaining` give way, and `more` counts them."""
    entries = list(word["remaining"])
    for kept in range(len(entries), -1, -1):
        told = {**word, "remaining": entries[:kept]} | ({"more": len(entries) - kept} if kept < len(entries) else {})
        line = json.dumps(told, separators=(",", ":"))
        if len(line.encode()) < MAX_WORD_BYTES:
            return line + "\n"
    return json.dumps({"component": word["component"], "sink": word["sink"], "drained": word["drained"]}) + "\n"


def backlog_word(journals: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Over all journals: records and bytes that are not settled, and the age of the newest settled one while others wait."""
    told = list(journals)
    return {
        "rows": sum(journal["pending"] for journal in told),
        "bytes": sum(journal["backlog_bytes"] for journal in told),
        "lag_ns": max((journal["lag_ns"] for journal in told), default=0),
    }
