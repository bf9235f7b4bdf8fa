"""Life of sessions, with a connection that only counts its end."""

from __future__ import annotations

import pytest
from feedplane_clickhouse_lite.errors import ClickHouseError
from feedplane_clickhouse_lite.request import Session
from feedplane_clickhouse_lite.sessions import Sessions

_NS_PER_S = 1_000_000_000


class _Connection:
    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.closed = False

    def close(self) -> None:
        self.closed = True


def _session(name: str, *, timeout_s: int = 60, must_exist: bool = False, close_after: bool = False) -> Session:
    return Session(name, timeout_s, must_exist, close_after)


def test_a_session_is_the_users_own_and_kept_until_its_time_is_over() -> None:
    now_ns = 0
    sessions = Sessions(10, lambda: now_ns)
    with sessions.use("u", _session("s", timeout_s=5), _Connection) as first:
        pass
    with sessions.use("u", _session("s", timeout_s=5), _Connection) as again:
        assert again is first
    with sessions.use("other", _session("s"), _Connection) as others:
        assert others is not first
    now_ns = 5 * _NS_PER_S
    sessions.close_idle()

    assert first.connection.closed
    assert not others.connection.closed


def test_a_busy_session_is_locked_and_a_missing_one_not_found() -> None:
    sessions = Sessions(1, lambda: 0)
    with sessions.use("u", _session("s"), _Connection):
        for wanted, code in ((_session("s"), 373), (_session("x", must_exist=True), 372), (_session("y"), 202)):
            with pytest.raises(ClickHouseError) as error, sessions.use("u", wanted, _Connection):
                pytest.fail("the session was given")
            assert error.value.code == code


def test_close_session_ends_it() -> None:
    sessions = Sessions(1, lambda: 0)
    with sessions.use("u", _session("s", close_after=True), _Connection) as session:
        pass

    assert session.connection.closed
    assert len(sessions) == 0
