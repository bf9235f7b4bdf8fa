"""Who may connect, with which password, and what each of them may do."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from feedplane_core.errors import UsageError
from feedplane_ops.settings import read_secret
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from feedplane_clickhouse_lite.errors import AUTHENTICATION_FAILED, REQUIRED_PASSWORD, ClickHouseError
from feedplane_clickhouse_lite.guard import Permissions

DEFAULT_USER: Final = "default"
_MAX_FILE_BYTES: Final = 1 << 20
_GRANT: Final = r"^[A-Z][A-Z ,]* ON [A-Za-z0-9_*]+\.[A-Za-z0-9_*]+$"

Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]


class User(BaseModel):
    """One entry of the users file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
    password_sha256: Sha256Hex | None = None
    """Hash of the password, as `printf %s secret | sha256sum` prints it. None admits an empty password only."""
    readonly: Literal[0, 1, 2] = 0
    """ClickHouse's setting of that name: 1 reads with the settings as they are, 2 reads and may change settings."""
    grants: tuple[Annotated[str, Field(pattern=_GRANT)], ...] = ()
    """What the engine lets the user do, such as `SELECT ON marketdata.*`; empty is everything the server allows."""

    def accepts(self, password: str) -> bool:
        """Compare in constant time."""
        given = hashlib.sha256(password.encode()).hexdigest()
        expected = self.password_sha256 or hashlib.sha256(b"").hexdigest()
        return hmac.compare_digest(given, expected.lower())

    def permissions(self, server: Permissions) -> Permissions:
        """What the server allows, and nothing outside of the tables for a user with `readonly: 1`."""
        return Permissions() if self.readonly == 1 else server


_ENTRIES: Final = TypeAdapter(tuple[User, ...])


class Users:
    """The users of one server. Immutable: a change of the file needs a restart."""

    def __init__(self, users: tuple[User, ...]) -> None:
        self.by_name: Mapping[str, User] = {user.name: user for user in users}
        if len(self.by_name) != len(users):
            raise UsageError("users_file", "two users have the same name")

    @property
    def need_password(self) -> bool:
        """Whether nobody gets in without a password."""
        return all(user.password_sha256 is not None for user in self.by_name.values())

    def authenticate(self, name: str | None, password: str | None) -> User:
        """The user behind these credentials; no name means `default`.

        Raises:
            ClickHouseError: 194 when none were given and some are needed, 516 when they are wrong. The message is
                the same for an unknown name and for a wrong password.
        """
        given = name is not None or password is not None
        user = self.by_name.get(name or DEFAULT_USER)
        accepted = (user or _NOBODY).accepts(password or "")  # an unknown name takes the same time
        if user is not None and accepted:
            return user
        if not given:
            raise ClickHouseError(REQUIRED_PASSWORD, f"{DEFAULT_USER}: Authentication failed: password is required")
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            f"{(name or DEFAULT_USER)[:64]}: Authentication failed: password is incorrect, "
            "or there is no user with such name.",
        )


_NOBODY: Final = User(name="nobody", password_sha256="0" * 64)


def load_users(users_file: Path | None, password_file: Path | None) -> Users:
    """The entries of `users_file` (YAML or JSON list), or one user `default` with the password of `password_file`.

    Raises:
        UsageError: a file cannot be read or an entry is wrong; values of the file are never in the message.
    """
    users = _read_users(users_file) if users_file is not None else ()
    if password_file is not None:
        if any(user.name == DEFAULT_USER for user in users):
            raise UsageError("password_file", "the users file has a password for the user `default` already")
        secret = read_secret(password_file).get_secret_value()
        users = (*users, User(name=DEFAULT_USER, password_sha256=hashlib.sha256(secret.encode()).hexdigest()))
    return Users(users or (User(name=DEFAULT_USER),))


def _read_users(path: Path) -> tuple[User, ...]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise UsageError("users_file", f"larger than {_MAX_FILE_BYTES} bytes")
        users = _ENTRIES.validate_python(yaml.safe_load(raw))
    except OSError as e:
        raise UsageError("users_file", f"{path} cannot be read: {e.strerror}") from e
    except yaml.YAMLError:
        raise UsageError("users_file", f"{path} is not YAML") from None  # the cause would quote the file
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError("users_file", f"entry {where}: {first['msg']}") from None
    if not users:
        raise UsageError("users_file", f"{path} names no user")
    return users


def role_of(user: User) -> str:
    """The engine role that stands for `user`. Its name is quoted wherever it is written."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"lite_{user.name}") + f"_{hashlib.sha256(user.name.encode()).hexdigest()[:8]}"
