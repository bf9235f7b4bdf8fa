"""The HTTP client against servers that answer well, badly, slowly, too much, and not at all."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from feedplane_collector.http_client import BodyTooLarge, HttpClient, HttpFailed

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
LIMIT = 100_000


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def says(*answers: bytes, seen: list[bytes] | None = None) -> Serve:
    """Answer one request after the other on one connection, then close it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            writer.write(answer)
            await writer.drain()

    return serve


def client() -> HttpClient:
    return HttpClient(ssl.create_default_context(), time.time_ns)


async def get(http: HttpClient, url: str, *, limit: int = LIMIT, within_s: float = 5.0) -> tuple[int, bytes]:
    answer = await http.request("GET", url, {}, None, max_body_bytes=limit, within_s=within_s)
    return answer.status, answer.body


def plain(body: bytes, *fields: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *fields, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, fields: str = "") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return f"HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n".encode() + body + b"0\r\nTrailer: x\r\n\r\n"


SQUEEZED = gzip.compress(b"[" + b"1," * 1_000 + b"1]", mtime=0)  # names tests: two processes must write the same


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (plain(b"{}"), b"{}"),
        (plain(b""), b""),
        (chunked(b"[1,", b"2]"), b"[1,2]"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (plain(SQUEEZED, "Content-Encoding: gzip"), gzip.decompress(SQUEEZED)),
        (chunked(SQUEEZED[:100], SQUEEZED[100:], fields="Content-Encoding: gzip\r\n"), gzip.decompress(SQUEEZED)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (plain(b"moved", "Location: http://169.254.169.254/", status=302), b"moved"),  # told, never followed
    ],
)
async def test_every_framing_of_a_body_is_read_to_its_end(answer: bytes, body: bytes) -> None:
    async with server(says(answer)) as base:
        http = client()
        assert (await get(http, base + "/x"))[1] == body
        http.close()


async def test_the_request_names_host_path_and_query() -> None:
    seen: list[bytes] = []
    async with server(says(plain(b"{}"), seen=seen)) as base:
        http = client()
        await http.request(
            "POST", base + "/api/v3/depth?symbol=BTC&limit=5", {"X-A": "b"}, b"{1}", max_body_bytes=9, within_s=2
        )
        http.close()
    lines = seen[0].decode().split("\r\n")

    assert lines[0] == "POST /api/v3/depth?symbol=BTC&limit=5 HTTP/1.1"
    assert f"Host: {base.removeprefix('http://')}" in lines
    assert {"X-A: b", "Content-Length: 3", "Accept-Encoding: gzip"} <= set(lines)


async def test_a_connection_is_used_again_and_one_that_was_closed_meanwhile_is_not_noticed() -> None:
    made = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(plain(b"%d" % made))
            await writer.drain()

    async with server(serve) as base:
        http = client()
        bodies = [(await get(http, base))[1] for _ in range(5)]
        http.close()

    assert bodies == [b"1", b"1", b"2", b"2", b"3"]


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"x" * (LIMIT + 1)),
        chunked(b"x" * LIMIT, b"y"),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1),
        plain(gzip.compress(b"0" * 50_000_000, mtime=0), "Content-Encoding: gzip"),
    ],
)
async def test_no_more_is_taken_than_was_allowed(answer: bytes) -> None:
    async with server(says(answer)) as base:
        with pytest.raises(BodyTooLarge):
            await get(client(), base)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        plain(b"no gzip", "Content-Encoding: gzip"),
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_refused_in_a_word(answer: bytes) -> None:
    async with server(says(answer)) as base:
        with pytest.raises(HttpFailed) as refused:
            await get(client(), base)
    assert str(refused.value).isidentifier(), "a metric label"


async def test_a_slow_answer_ends_in_time_and_leaves_no_connection() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        gone.set()

    async with server(serve) as base:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await get(client(), base, within_s=0.2)
        assert time.monotonic() - began < 1.0
        await asyncio.wait_for(gone.wait(), 2)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "/relative", "http:///nohost", "file:///etc/passwd"])
async def test_only_http_urls_are_called(url: str) -> None:
    with pytest.raises(HttpFailed):
        await get(client(), url, within_s=2)


async def test_a_header_cannot_smuggle_a_line() -> None:
    async with server(says(plain(b"{}"))) as base:
        with pytest.raises(HttpFailed):
            await client().request("GET", base, {"A": "b\r\nX: y"}, None, max_body_bytes=9, within_s=2)


async def test_a_certificate_that_is_not_trusted_is_refused() -> None:
    async with server(says(plain(b"{}"))) as base:
        with pytest.raises((HttpFailed, TimeoutError)):  # never a fall-back to plain text
            await get(client(), base.replace("http:", "https:"), within_s=2)
