"""Small blocking HTTP calls to our own processes; run them in a thread where an event loop must not wait."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # our own processes are never behind a proxy


def get(url: str, *, timeout_s: float = 2.0) -> bytes:
    """Raises: OSError for anything but an answer with status 200."""
    with _OPENER.open(url, timeout=timeout_s) as answer:
        body: bytes = answer.read()
    return body


def get_json(url: str, *, timeout_s: float = 2.0) -> Any:
    """Raises: OSError, also for a body that is no JSON."""
    try:
        return json.loads(get(url, timeout_s=timeout_s))
    except ValueError as e:
        raise OSError(f"{url}: not JSON") from e


def post(url: str, body: bytes, *, timeout_s: float = 60.0) -> tuple[int, bytes]:
    """(status, body), also for refusals. Raises: OSError where there is no answer."""
    request = urllib.request.Request(url, data=body, method="POST")  # noqa: S310 - our own store's URL
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()
