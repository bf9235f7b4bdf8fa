"""What can go wrong between the operator and the API server.

FeedplaneError
└── ApiError             the server refused, or could not be asked (`status` 0)
    ├── NotFound         404
    ├── Conflict         409: somebody else was faster, or the object is another one by now
    ├── Expired          410: this resource version is no longer known
    ├── Refused          400, 403, 405, 413, 415, 422: asking again would not help
    └── Unavailable      401, 429, 5xx, time-outs, broken connections
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from feedplane_core.errors import FeedplaneError


class ApiError(FeedplaneError):
    """`reason` is one word of the server's or the exception's name, `message` its text."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NotFound(ApiError):
    """No such object."""


class Conflict(ApiError):
    """The object changed, or is another one by now."""


class Expired(ApiError):
    """The resource version is too old: list again."""


class Silent(ApiError):
    """A watch said nothing for long: dead behind some load balancer, or of a collection in which nothing happens."""


class Refused(ApiError):
    """The server understood and said no."""


class Unavailable(ApiError):
    """The server could not do it now; `retry_after_s` is how long it asked to be left alone."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(status, reason, message)
        self.retry_after_s = retry_after_s


_BY_STATUS: Final[dict[int, type[ApiError]]] = {404: NotFound, 409: Conflict, 410: Expired}
_TRANSIENT: Final = frozenset({401, 429})  # 401: the token was renewed meanwhile and is read again
MAX_RETRY_AFTER_S: Final = 60.0


def refusal(status: int, answer: Mapping[str, Any], retry_after: str = "") -> ApiError:
    """The error for an answer that is no success; `answer` is the server's Status, or whatever a proxy sent."""
    reason = str(answer.get("reason") or f"HTTP{status}")
    message = str(answer.get("message") or "")[:1_000]
    if status in _TRANSIENT or status >= 500 or status == 0:
        asked = retry_after or str((answer.get("details") or {}).get("retryAfterSeconds") or "")
        wait_s = float(asked) if asked.isdigit() else 0.0  # the date form is not used by API servers
        return Unavailable(status, reason, message, min(wait_s, MAX_RETRY_AFTER_S))
    return _BY_STATUS.get(status, Refused)(status, reason, message)
