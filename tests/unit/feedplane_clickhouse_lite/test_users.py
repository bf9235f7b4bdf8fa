"""Who gets in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from feedplane_clickhouse_lite.errors import ClickHouseError
from feedplane_clickhouse_lite.guard import Permissions
from feedplane_clickhouse_lite.users import Users, load_users, role_of
from feedplane_core.errors import UsageError


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _users(tmp_path: Path, text: str) -> Users:
    path = tmp_path / "users.yaml"
    path.write_text(text)
    return load_users(path, None)


def test_without_files_default_needs_no_password() -> None:
    users = load_users(None, None)

    assert users.authenticate(None, None).name == "default"
    assert not users.need_password


def test_a_password_file_locks_default(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    users = load_users(None, secret)

    assert users.authenticate("default", "open sesame").name == "default"
    assert users.need_password
    for name, password, code in ((None, None, 194), ("default", "", 516), ("default", "x", 516), ("nobody", "x", 516)):
        with pytest.raises(ClickHouseError) as error:
            users.authenticate(name, password)
        assert error.value.code == code


def test_readonly_users_get_no_files_whatever_the_server_allows(tmp_path: Path) -> None:
    users = _users(tmp_path, f"[{{name: reader, readonly: 1, password_sha256: {_hash('r')}}}, {{name: default}}]")

    everything = Permissions(files=True, network=True)
    assert users.authenticate("reader", "r").permissions(everything) == Permissions()
    assert users.authenticate(None, None).permissions(everything) == everything


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{", "[{name: 'a b'}]", "[{name: a, password: x}]", "[{name: a, readonly: 7}]", "[{name: a}, {name: a}]",
        "[{name: a, grants: ['ALL ON *.* TO x']}]", "[{name: a, password_sha256: short}]",
    ],
)  # fmt: skip
def test_a_wrong_users_file_is_wrong_use(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        _users(tmp_path, text)


def test_a_wrong_entry_is_named_without_its_value(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        _users(tmp_path, "[{name: a, password_sha256: hunter2}]")

    assert "password_sha256" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_roles_of_similar_names_differ(tmp_path: Path) -> None:
    users = _users(tmp_path, "[{name: a-b}, {name: a.b}, {name: a_b}]")

    assert len({role_of(user) for user in users.by_name.values()}) == 3
