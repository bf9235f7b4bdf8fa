"""The health and metrics port of a process: a small HTTP/1.1 server over asyncio streams, GET only, loopback by default.

Not aiohttp: every collector and writer runs one, and a web framework costs 10 MB each.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from feedplane_ops.health import Health

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES: Final = 8_192
MAX_CONNECTIONS: Final = 64
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE: Final = "application/json"

JsonRoute = Callable[[], object | Awaitable[object]]
"""Gives what JSON can carry (other objects are written as text), at once or as a coroutine."""


class Response(NamedTuple):
    """What goes back to the client."""

    status: int
    content_type: str
    body: bytes


class HealthServer:
    """Serves `/startedz`, `/healthz`, `/readyz`, `/metrics` and the JSON routes a service adds; one request per
    connection. A service opens the port when it has read its settings and recovered what it must: that it answers at
    all is what `/startedz` says.
    """

    def __init__(self, health: Health, metrics: Callable[[], bytes] = bytes, *, request_timeout_s: float = 5.0) -> None:
        self._health = health
        self._metrics = metrics
        self._timeout_s = request_timeout_s
        self._routes: dict[str, JsonRoute] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def route(self, path: str, answer: JsonRoute) -> None:
        """Serve `answer()` as JSON under `path` (`/status`); replaces an earlier one."""
        self._routes[path] = answer

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen and return the port, which is a free one for 0.

        Raises:
            OSError: the address is taken or not ours.
        """
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_REQUEST_BYTES)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Stop listening and cut the connections that are open."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                await self._converse(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()  # the client is slow, gone, or sent half a request: nobody to answer
        except asyncio.CancelledError:
            writer.transport.abort()  # stop(); ends here because asyncio logs a cancelled connection as an error
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                head = await reader.readuntil(b"\r\n\r\n")
            response = await self._respond(head)
        except TimeoutError:
            response = _refusal(408)
        except asyncio.LimitOverrunError:
            response = _refusal(431)
        writer.write(_encode(response))
        await writer.drain()
        if response.status == 431:  # closing on unread bytes would reset the connection before the answer is read
            writer.write_eof()
            while await reader.read(MAX_REQUEST_BYTES):
                continue

    async def _respond(self, head: bytes) -> Response:
        parts = head.split(b"\r\n", 1)[0].split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or not parts[1].startswith(b"/"):
            return _refusal(400)
        if parts[0] != b"GET":
            return _refusal(405)
        path = parts[1].split(b"?", 1)[0].decode("latin-1")
        try:
            return await self._answer(path)
        except Exception:  # the port's own boundary: one broken route must not take /healthz with it
            logger.exception("health route failed", extra={"path": path})
            return _refusal(500)

    async def _answer(self, path: str) -> Response:
        if path in ("/healthz", "/startedz"):
            return _verdict(self._health.live_reasons())
        if path == "/readyz":
            return _verdict(self._health.ready_reasons(), self._health.notes())
        if path == "/metrics":
            return Response(200, METRICS_TYPE, self._metrics())
        route = self._routes.get(path)
        if route is None:
            return _refusal(404)
        value = route()
        return _json(200, await value if inspect.isawaitable(value) else value)


_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def _json(status: int, value: object) -> Response:
    return Response(status, JSON_TYPE, json.dumps(value, default=str, separators=(",", ":")).encode())


def _verdict(reasons: list[str], notes: list[str] | None = None) -> Response:
    told = {"ok": not reasons, "reasons": reasons}
    return _json(503 if reasons else 200, told | {"notes": notes} if notes else told)


def _refusal(status: int) -> Response:
    return _json(status, {"error": _PHRASES[status].lower()})


def _encode(response: Response) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {_PHRASES[response.status]}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if response.status == 405:
        lines.append("Allow: GET")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + response.body
