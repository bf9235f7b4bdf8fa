"""Sessions: a connection kept between requests, with its temporary tables and the settings that SET gave it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Final
from uuid import uuid4

from feedplane_clickhouse_lite.engine import Connection
from feedplane_clickhouse_lite.errors import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
)
from feedplane_clickhouse_lite.request import Session

_NS_PER_S: Final = 1_000_000_000
_RETRY_AFTER_S: Final = 1
_GRACE_S: Final = 0.25
"""How long to wait for a session in use. A client may read the end of a stream, or drop it, and send its next query
before the thread that wrote the stream has let go of the session."""


@dataclass
class Open:
    """A session that lives. Times are monotonic ns."""

    connection: Connection
    marker: str = field(default_factory=lambda: f"session-{uuid4()}")
    busy: bool = False
    expires_ns: int = 0


class Sessions:
    """At most `limit` open sessions, each used by one request at a time, closed when idle for too long."""

    def __init__(self, limit: int, clock: Callable[[], int] = monotonic_ns) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Condition()
        self._open: dict[tuple[str, str], Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def use(self, user: str, wanted: Session, make: Callable[[str], Connection]) -> Iterator[Open]:
        """The session `wanted` of `user`, made by `make(marker)` where it is new.

        Raises:
            ClickHouseError: 373 while another request uses it, 372 if it had to exist and does not, 202 at the limit.
        """
        key = (user, wanted.id)
        self.close_idle()
        with self._lock:
            session = self._take(key, wanted)
        if session is None:
            session = self._make(key, make)
        try:
            yield session
        finally:
            self._give_back(key, session, wanted)

    def close_idle(self) -> None:
        """Close the sessions whose time is over."""
        now_ns = self._clock()
        with self._lock:
            over = [key for key, session in self._open.items() if not session.busy and session.expires_ns <= now_ns]
            closing = [self._open.pop(key) for key in over]
        for session in closing:
            session.connection.close()

    def close_all(self) -> None:
        """Close every session that no request uses."""
        with self._lock:
            closing = [session for session in self._open.values() if not session.busy]
            self._open.clear()
        for session in closing:
            session.connection.close()

    def _take(self, key: tuple[str, str], wanted: Session) -> Open | None:
        session = self._open.get(key)
        if session is None:
            if wanted.must_exist:
                raise ClickHouseError(SESSION_NOT_FOUND, "Session not found")
            if len(self._open) >= self._limit:
                raise ClickHouseError(
                    TOO_MANY_SIMULTANEOUS_QUERIES,
                    f"Too many sessions. Maximum: {self._limit}",
                    retry_after_s=_RETRY_AFTER_S,
                )
            return None
        if session.busy and not self._lock.wait_for(lambda: not session.busy, _GRACE_S):
            raise ClickHouseError(SESSION_IS_LOCKED, "Session is locked by a concurrent client")
        if self._open.get(key) is not session:  # closed by the request we waited for
            return self._take(key, wanted)
        session.busy = True
        return session

    def _make(self, key: tuple[str, str], make: Callable[[str], Connection]) -> Open:
        marker = f"session-{uuid4()}"
        session = Open(make(marker), marker, busy=True)
        with self._lock:
            if key in self._open:  # two first requests at once: the other one was faster
                session.connection.close()
                raise ClickHouseError(SESSION_IS_LOCKED, "Session is locked by a concurrent client")
            self._open[key] = session
        return session

    def _give_back(self, key: tuple[str, str], session: Open, wanted: Session) -> None:
        with self._lock:
            session.busy = False
            session.expires_ns = self._clock() + wanted.timeout_s * _NS_PER_S
            kept = not wanted.close_after and self._open.get(key) is session
            if not kept:
                self._open.pop(key, None)
            self._lock.notify_all()
        if not kept:
            session.connection.close()
