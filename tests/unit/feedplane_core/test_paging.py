"""Bodies that name their next page."""

from __future__ import annotations

import pytest
from feedplane_core.adapter import Cursor, Request, Tag
from feedplane_core.paging import next_page

CURSOR = Cursor(path=("result", "nextPageCursor"), parameter="cursor")


def request(url: str, cursor: Cursor | None = CURSOR) -> Request:
    return Request(url=url, tag=Tag(kind="instruments"), cursor=cursor)


def test_a_cursor_becomes_a_parameter_and_replaces_the_one_before() -> None:
    first = request("https://x/v5?category=linear&limit=2")

    second = next_page(first, b'{"result":{"nextPageCursor":"a%2Cb&c"}}')
    assert second is not None
    assert second.url == "https://x/v5?category=linear&limit=2&cursor=a%252Cb%26c"
    third = next_page(second, b'{"result":{"nextPageCursor":"d"}}')
    assert third is not None
    assert third.url == "https://x/v5?category=linear&limit=2&cursor=d"
    assert (third.tag, third.cursor) == (first.tag, CURSOR)


@pytest.mark.parametrize(
    "body",
    [
        b'{"result":{"nextPageCursor":""}}',
        b'{"result":{"nextPageCursor":null}}',
        b'{"result":{"nextPageCursor":7}}',
        b'{"result":[]}',
        b"[]",
        b"not json",
    ],
)
def test_no_cursor_is_the_last_page(body: bytes) -> None:
    assert next_page(request("https://x/v5?limit=2"), body) is None


def test_a_request_without_pages_has_no_next() -> None:
    assert next_page(request("https://x/v5", None), b'{"result":{"nextPageCursor":"a"}}') is None
