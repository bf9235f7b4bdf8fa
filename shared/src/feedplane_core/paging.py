"""Bodies that come in pages: where one names the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
import orjson

from .adapter import Request

MAX_PAGES = 100
"""Of one request; a venue whose cursor never ends is not followed for ever."""


def next_page(request: Request, body: bytes) -> Request | None:
    """The request of the page after this one, `None` after the last. A body that is no JSON has none: its decoder says what is wrong with it."""
    if request.cursor is None:
        return None
    try:
        text = _at(orjson.loads(body), request.cursor.path)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(text, str) or not text:
        return None
    parts = urlsplit(request.url)
    query = {**dict(parse_qsl(parts.query)), request.cursor.parameter: text}
    return msgspec.structs.replace(request, url=parts._replace(query=urlencode(query)).geturl())


def _at(document: Any, path: Iterable[str]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
