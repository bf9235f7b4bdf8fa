"""Keeps secrets and terminal control codes out of everything that is printed."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

_SECRET_FIELDS: Final = frozenset(
    {"access_key", "api_key", "apikey", "authorization", "cookie", "credentials", "dsn", "passphrase", "passwd"}
    | {"password", "private_key", "secret", "secret_key", "set_cookie", "signature", "token", "x_mbx_apikey"}
)
_SECRET_SUFFIXES: Final = ("_password", "_secret", "_token", "_api_key", "_passphrase", "_private_key")
_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@")
_ASSIGNED: Final = re.compile(
    r"(?i)\b(password|passwd|passphrase|secret|token|api[_-]?key|signature|listenkey)(=|:\s*|\"\s*:\s*\")([^\s&\"',;]+)"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_SHORTEST: Final = 4  # masking every "a" in the log would hide more than the secret

_known: set[str] = set()


def conceal(secret: str) -> None:
    """From now on mask this very text wherever it would be logged; secrets read from files are concealed on reading."""
    if len(secret) >= _SHORTEST:
        _known.add(secret)


def is_secret_field(name: str) -> bool:
    """Whether a log field of this name may not show its value."""
    plain = name.lower().replace("-", "_")
    return plain in _SECRET_FIELDS or plain.endswith(_SECRET_SUFFIXES)


def redacted(text: str) -> str:
    """`text` without known secrets, user information in URLs, `password=...` and bearer tokens."""
    for secret in _known.copy():
        if secret in text:
            text = text.replace(secret, MASK)
    if "://" in text:
        text = _USERINFO.sub(MASK + "@", text)
    text = _ASSIGNED.sub(rf"\1\2{MASK}", text)
    return _BEARER.sub(rf"\1 {MASK}", text)
