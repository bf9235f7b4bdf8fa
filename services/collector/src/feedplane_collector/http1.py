"""A small HTTP/1.1 client over asyncio streams: what REST calls to a venue need, and nothing that could be turned against us.

Not aiohttp: it costs each collector 11 MB, a tenth of all it takes. Connections are kept alive; redirects are answers like any other; bodies are bounded while they
are read and while they are inflated.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

MAX_HEAD_BYTES: Final = 64 << 10
_IDLE_KEPT: Final = 4
_IDLE_NS: Final = 10_000_000_000
"""Venues close idle connections after some 15 to 60 s; a call on one that is just being closed would fail."""
_CHUNK_BYTES: Final = 64 << 10
_GZIP: Final = zlib.MAX_WBITS | 16


class HttpFailed(Exception):
    """No usable answer. The text is one of a few: a metric label."""


class BodyTooLarge(HttpFailed):
    """More bytes than the caller allowed."""


class Answer(NamedTuple):
    """A whole answer; header names are in lower case. `recv_ns` was stamped when its first line had come, before the body was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    recv_ns: int


class _Origin(NamedTuple):
    is_tls: bool
    host: str
    port: int

    @property
    def header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class HttpClient:
    """Performs one request after another on few connections. Raises `HttpFailed`, `OSError` and `TimeoutError`."""

    def __init__(self, tls: ssl.SSLContext, stamp: Callable[[], int], timer: Callable[[], int]) -> None:
        self._tls = tls
        self._stamp = stamp
        self._timer = timer
        self._idle: dict[_Origin, list[tuple[int, _Connection]]] = {}  # newest last, with the time it became idle

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        max_body_bytes: int,
        within_s: float,
    ) -> Answer:
        """One call, within `within_s` in all."""
        origin, target = _split(url)
        async with asyncio.timeout(within_s):
            while (kept := self._take(origin)) is not None:
                try:
                    return await self._exchange(kept, origin, method, target, headers, body, max_body_bytes)
                except _NeverAnswered:
                    continue  # closed by the venue while it was idle: nothing was done
            made = _Connection(*await self._connect(origin))
            try:
                return await self._exchange(made, origin, method, target, headers, body, max_body_bytes)
            except _NeverAnswered as e:
                raise HttpFailed("closed without an answer") from e

    def close(self) -> None:
        """Drop idle connections."""
        for idle in self._idle.values():
            for _, connection in idle:
                connection.writer.transport.abort()
        self._idle.clear()

    async def _connect(self, origin: _Origin) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = self._tls if origin.is_tls else None
        return await asyncio.open_connection(origin.host, origin.port, ssl=tls, limit=MAX_HEAD_BYTES)

    def _take(self, origin: _Origin) -> _Connection | None:
        idle = self._idle.get(origin, [])
        while idle:
            since_ns, connection = idle.pop()
            if self._timer() - since_ns < _IDLE_NS and not connection.reader.at_eof():
                return connection
            connection.writer.transport.abort()
        return None

    async def _exchange(
        self,
        connection: _Connection,
        origin: _Origin,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        max_body_bytes: int,
    ) -> Answer:
        is_reusable = False
        try:
            connection.writer.write(_head(origin, method, target, headers, body) + (body or b""))
            answer, is_reusable = await self._read(connection.reader, method, max_body_bytes)
        finally:
            idle = self._idle.setdefault(origin, [])
            if is_reusable and len(idle) < _IDLE_KEPT:
                idle.append((self._timer(), connection))
            else:
                connection.writer.transport.abort()
        return answer

    async def _read(self, reader: asyncio.StreamReader, method: str, max_body_bytes: int) -> tuple[Answer, bool]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as e:
            if not e.partial:
                raise _NeverAnswered from e
            raise HttpFailed("broken head") from e
        except asyncio.LimitOverrunError as e:
            raise HttpFailed("head too large") from e
        except ConnectionError as e:
            raise _NeverAnswered from e
        recv_ns = self._stamp()
        version, status, fields = _parse(head)
        try:
            body, is_framed = await _body(reader, method, status, fields, max_body_bytes)
        except asyncio.IncompleteReadError as e:
            raise HttpFailed("broken body") from e
        is_reusable = is_framed and version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
        return Answer(status, fields, _plain(fields, body, max_body_bytes), recv_ns), is_reusable


class _NeverAnswered(Exception):
    """The connection ended before the first byte of an answer."""


def _split(url: str) -> tuple[_Origin, str]:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    if parts.hostname is None or parts.scheme not in ("http", "https"):
        raise HttpFailed("no http url")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Origin(is_tls, parts.hostname, parts.port or (443 if is_tls else 80)), target


def _head(origin: _Origin, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    fields = {"Host": origin.header, "Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "feedplane"} | dict(
        headers
    )
    if body is not None:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise HttpFailed("line break in a header")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def _parse(head: bytes) -> tuple[str, int, dict[str, str]]:
    first, *rest = head.decode("latin-1").split("\r\n")
    version, _, tail = first.partition(" ")
    status = tail[:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise HttpFailed("no http answer")
    fields: dict[str, str] = {}
    for line in filter(None, rest):
        name, colon, value = line.partition(":")
        if not colon:
            raise HttpFailed("broken head")
        fields[name.lower()] = value.strip()
    return version, int(status), fields


async def _body(
    reader: asyncio.StreamReader, method: str, status: int, fields: Mapping[str, str], max_bytes: int
) -> tuple[bytes, bool]:
    """(body as sent, whether its end was told by the answer itself)."""
    if method == "HEAD" or status in (204, 304):
        return b"", True
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, max_bytes), True
    length = fields.get("content-length")
    if length is not None:
        if not length.isdecimal():
            raise HttpFailed("broken head")
        if int(length) > max_bytes:
            raise BodyTooLarge("body too large")
        return await reader.readexactly(int(length)), True
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(_CHUNK_BYTES):
        size += len(part)
        if size > max_bytes:
            raise BodyTooLarge("body too large")
        parts.append(part)
    return b"".join(parts), False


async def _chunks(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        line = await reader.readuntil(b"\r\n")
        try:
            length = int(line.partition(b";")[0], 16)
        except ValueError as e:
            raise HttpFailed("broken body") from e
        size += length
        if length < 0 or size > max_bytes:
            raise BodyTooLarge("body too large")
        if length == 0:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":  # trailers
                continue
            return b"".join(parts)
        parts.append(await reader.readexactly(length))
        await reader.readexactly(2)


def _plain(fields: Mapping[str, str], body: bytes, max_bytes: int) -> bytes:
    """The body inflated, as far as it stays within the limit."""
    encoding = fields.get("content-encoding", "identity").lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise HttpFailed("unknown encoding")
    inflate = zlib.decompressobj(_GZIP)
    try:
        plain = inflate.decompress(body, max_bytes)
    except zlib.error as e:
        raise HttpFailed("broken body") from e
    if inflate.unconsumed_tail:
        raise BodyTooLarge("body too large")
    if not inflate.eof:
        raise HttpFailed("broken body")
    return plain
