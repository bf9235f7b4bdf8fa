"""REST calls to a venue: urllib3 in worker threads, with bodies bounded while they are read and inflated. Redirects are answers like any other.

urllib3 and not aiohttp: it costs each collector 1.4 MB instead of 10, and REST calls are few.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from threading import Thread
from time import monotonic
from typing import Final, NamedTuple

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, SSLError
from urllib3.exceptions import TimeoutError as CallTimeout

AT_ONCE: Final = 8
_CHUNK_BYTES: Final = 64 << 10
_HEADERS: Final = {"User-Agent": "feedplane", "Accept": "*/*", "Accept-Encoding": "gzip"}


class HttpFailed(Exception):
    """No usable answer. The text is one of a few: a metric label."""


class BodyTooLarge(HttpFailed):
    """More bytes than the caller allowed."""


class Answer(NamedTuple):
    """A whole answer; header names are in lower case. `recv_ns` was stamped when its head had come, before the body was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    recv_ns: int


class HttpClient:
    """Performs requests on few connections that are kept alive."""

    def __init__(self, tls: ssl.SSLContext, stamp: Callable[[], int]) -> None:
        self._stamp = stamp
        self._pool = urllib3.PoolManager(num_pools=4, maxsize=AT_ONCE, headers=_HEADERS, ssl_context=tls, retries=False)

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
        """One call, within `within_s` in all. Raises: HttpFailed, TimeoutError."""
        call = partial(self._call, method, url, dict(headers), body, max_body_bytes, within_s)
        async with asyncio.timeout(within_s):
            return await _in_thread(call)

    def close(self) -> None:
        """Drop idle connections; a call that is under way ends by its own deadline, or with the process."""
        self._pool.clear()

    def _call(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, max_bytes: int, within_s: float
    ) -> Answer:
        ends = monotonic() + within_s
        if not url.startswith(("http://", "https://")):
            raise HttpFailed("no_http_url")
        try:
            answer = self._pool.request(
                method,
                url,
                body=body,
                headers={**_HEADERS, **headers},
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=within_s),
            )
            recv_ns = self._stamp()
            try:
                content = _read(answer, max_bytes, ends)
            except BaseException:
                answer.close()  # the rest of this body must not be read as the next answer
                raise
            answer.release_conn()
        except CallTimeout as e:
            raise TimeoutError from e
        except SSLError as e:
            raise HttpFailed("untrusted") from e
        except (LocationValueError, ValueError) as e:
            raise HttpFailed("no_http_url") from e
        except MaxRetryError as e:
            raise HttpFailed(type(e.reason).__name__) from e
        except HTTPError as e:
            raise HttpFailed(type(e).__name__) from e
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, fields, content, recv_ns)


async def _in_thread(call: Callable[[], Answer]) -> Answer:
    """Run one call in a thread of its own. Not in an executor: the interpreter waits for those at its end, and a venue that hangs would hold up a stop for seconds."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, error: Exception | None) -> None:
        if done.done():  # given up meanwhile
            return
        if error is not None:
            done.set_exception(error)
        elif answer is not None:
            done.set_result(answer)

    def run() -> None:
        answer, failed = None, None
        try:
            answer = call()
        except Exception as e:  # carried over to whoever waits
            failed = e
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, answer, failed)

    Thread(target=run, name="rest", daemon=True).start()
    return await done


def _read(answer: urllib3.BaseHTTPResponse, max_bytes: int, ends: float) -> bytes:
    """The body, inflated as it comes, as long as it stays within limit and deadline."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read(_CHUNK_BYTES, decode_content=True):
        size += len(part)
        if size > max_bytes:
            raise BodyTooLarge("body too large")
        if monotonic() > ends:
            raise TimeoutError
        parts.append(part)
    return b"".join(parts)
