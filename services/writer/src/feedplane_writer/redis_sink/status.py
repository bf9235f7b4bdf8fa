"""The JSON of `/status`: the account per (exchange, feed), and how far each journal is."""

from __future__ import annotations

from collections.abc import Iterable
from time import time_ns
from typing import Any

from ..words import Trouble, backlog_word, store_word
from .tail import JournalTail


def status_of(
    tails: Iterable[JournalTail], keys: int, trouble: tuple[int, str] | None, committed_ns: int
) -> dict[str, Any]:
    """`accounts` add up the journals of an exchange; `trouble` is (ns since it began, reason)."""
    accounts: dict[tuple[str, str], dict[str, Any]] = {}
    journals = []
    for tail in tails:
        tail.settle()
        _add_accounts(accounts, tail)
        journals.append(_journal(tail))
    return {
        "sink": "redis",
        "accounts": [accounts[name] for name in sorted(accounts)],
        "journals": journals,
        "keys": keys,
        "store": store_word(None if trouble is None else trouble_of(*trouble), committed_ns),
        "backlog": backlog_word(journals),
    }


def trouble_of(for_ns: int, reason: str) -> Trouble:
    """Answers of a server are named by their codes (`OOM`, `MOVED, READONLY`); anything else is a connection that fails."""
    return Trouble(for_ns, reason if reason.isupper() else "unreachable", reason)


def lag_ns(tail: JournalTail, now_ns: int) -> int:
    """Age of the newest record that Redis has, 0 when nothing is pending: a quiet feed is not a late one."""
    newest_ns = tail.account.newest_recv_ns
    if newest_ns == 0 or not (tail.books.open_rows or tail.backlog()[1]):
        return 0
    return max(0, now_ns - newest_ns)


def _add_accounts(accounts: dict[tuple[str, str], dict[str, Any]], tail: JournalTail) -> None:
    stored = tail.account.stored()
    for feed, counts in tail.account.rows().items():
        held = accounts.setdefault((tail.exchange, feed), {"exchange": tail.exchange, "feed": feed})
        more = counts | {"stored": stored.get(feed, 0), "superseded": tail.books.superseded.get(feed, 0)}
        for name, number in more.items():
            held[name] = held.get(name, 0) + number


def _journal(tail: JournalTail) -> dict[str, Any]:
    rows, size = tail.backlog()
    pending = sum(tail.account.pending().values())
    return {
        "path": tail.path.name,
        "exchange": tail.exchange,
        "mode": tail.source.mode,
        "is_silent": tail.is_silent,
        "pending": pending,
        "is_idle": pending == 0 and size == 0,
        "backlog_rows": rows,
        "backlog_bytes": size,
        "newest_written_ns": tail.account.newest_recv_ns,
        "lag_ns": lag_ns(tail, time_ns()),
    }
