"""Stands before a real API server and spoils chosen requests: error codes, silence, cut connections, lost answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from feedplane_testing.control_plane import unverified

Matches = Callable[[web.Request], bool]

_REASONS: Final = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_HOP: Final = frozenset({"host", "connection", "transfer-encoding", "content-length", "content-encoding"})


@dataclass(slots=True)
class Fault:
    """Spoils the next `times` requests that match. `kind` is a status code, or one of

    `silence` (no answer ever comes), `reset` (cut before the server sees it), `lost` (the server does it, the answer is
    cut), `expired` (a watch that says its version is gone), `hold` (kept for ever, before the server sees it), `done`
    (the server does it, the answer is kept for ever). The last two set `struck`, for a test that kills its client then.
    """

    kind: int | str
    matches: Matches
    times: int
    headers: dict[str, str] = field(default_factory=dict)
    hit: int = 0


class FaultProxy:
    """Plain HTTP on loopback; start with `start`, end with `stop`."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._faults: list[Fault] = []
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0
        self._open: list[web.Request] = []
        self.struck = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def spoil(self, kind: int | str, matches: Matches, times: int = 1, **headers: str) -> Fault:
        """Arm a fault; the first armed that matches strikes."""
        fault = Fault(kind, matches, times, {name.replace("_", "-"): value for name, value in headers.items()})
        self._faults.append(fault)
        return fault

    def disarm(self) -> None:
        """Forget all faults."""
        self._faults.clear()
        self.struck.clear()

    def cut(self, matches: Matches) -> None:
        """Break off what is being answered now."""
        for request in self._open:
            if matches(request) and request.transport is not None:
                request.transport.abort()

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=unverified(), limit=0), auto_decompress=False
        )
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        for fault in self._faults:
            if fault.hit < fault.times and fault.matches(request):
                fault.hit += 1
                return await self._spoilt(request, fault)
        self._open.append(request)
        try:
            return await self._forward(request)
        finally:
            self._open.remove(request)

    async def _spoilt(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if isinstance(fault.kind, int):
            return web.json_response(_status(fault.kind), status=fault.kind, headers=fault.headers)
        if fault.kind == "expired":
            event = {"type": "ERROR", "object": _status(410)}
            return web.Response(body=json.dumps(event).encode() + b"\n", content_type="application/json")
        if fault.kind in ("lost", "done"):
            async with self._upstream(request, await request.read()) as answer:
                await answer.read()
        if fault.kind in ("hold", "done"):
            self.struck.set()
        if fault.kind in ("silence", "hold", "done"):
            await asyncio.Event().wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        async with self._upstream(request, await request.read()) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            try:
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (ConnectionError, aiohttp.ClientError):
                if request.transport is not None:
                    request.transport.abort()
            return response

    def _upstream(self, request: web.Request, body: bytes) -> Any:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        timeout = aiohttp.ClientTimeout(total=None)
        return self._session.request(
            request.method,
            self._server + request.path_qs,
            data=body or None,
            headers=headers,
            skip_auto_headers=("Content-Type",),
            timeout=timeout,
        )


def _status(code: int) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": _REASONS.get(code, "Unknown"),
        "message": "spoilt by the test",
    }
