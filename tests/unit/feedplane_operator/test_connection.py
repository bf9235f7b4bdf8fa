"""Credentials are those of the moment, every call is counted, and pods that do not answer cost little time."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from feedplane_core.errors import UsageError
from feedplane_operator.connection import Connection, connect
from feedplane_operator.handlers import Patience, configured
from feedplane_operator.words import TIMEOUT_S, Listener

Serve = Callable[[Callable[[web.Request], Any]], Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners = []

    async def start(handler: Callable[[web.Request], Any]) -> int:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_a_rotated_token_is_used_from_the_next_call_on(serve: Serve, tmp_path: Path) -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(status=200 if len(seen) < 2 else 503)

    port = await serve(answer)
    token, counted = tmp_path / "token", []
    token.write_text("first-token\n")
    connection = Connection(f"http://127.0.0.1:{port}", ssl.create_default_context(), {}, token, None)
    async with connection.session(lambda verb, code: counted.append((verb, code)), "agent") as session:
        await session.get(f"{connection.server}/api/v1/namespaces/n/pods?watch=true")
        fresh = tmp_path / "fresh"
        fresh.write_text("second-token\n")
        fresh.replace(token)  # as the kubelet does it
        await session.get(f"{connection.server}/api/v1/namespaces/n/pods")
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:1/api/v1/namespaces/n/pods/p")

    assert seen == ["Bearer first-token", "Bearer second-token"]
    assert counted == [("watch", "200"), ("list", "503"), ("get", "ClientConnectorError")]


def test_without_a_cluster_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(UsageError, match="KUBECONFIG"):
        connect({}, configured(), tmp_path)

    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="KUBECONFIG"):
        connect({}, configured(), tmp_path)


def test_patience_begins_anew_with_each_request() -> None:
    patience = Patience()
    for _ in range(2):
        delays = [delay for delay, _ in zip(patience, range(100), strict=False)]
        assert delays[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
        assert set(delays[5:]) == {8.0}


def pod(name: str, address: str | None, *containers: str) -> dict[str, Any]:
    running = [{"name": each, "state": {"running": {}}} for each in containers]
    return {"metadata": {"name": name}, "status": {"podIP": address, "containerStatuses": running}}


async def test_pods_say_what_they_say_and_silence_is_bounded(serve: Serve) -> None:
    async def well(_: web.Request) -> web.Response:
        return web.json_response({"store": {"ok": True}})

    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def big(_: web.Request) -> web.Response:
        return web.Response(body=b'{"x": "' + b"x" * (3 << 20) + b'"}')

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://127.0.0.1:{well_port}/status")

    well_port = await serve(well)
    ports = {
        "collector": well_port,
        "writer-redis": await serve(silent),
        "big": await serve(big),
        "elsewhere": await serve(elsewhere),
    }
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        words = await Listener(session, ports).ask(
            [
                pod("a", "127.0.0.1", "collector", "writer-redis", "big", "elsewhere", "injected"),
                pod("b", None, "collector"),
                pod("c", "127.0.0.1"),
            ]
        )

    assert words == {"a": {"collector": {"store": {"ok": True}}}, "b": {}, "c": {}}
    assert time.monotonic() - began < TIMEOUT_S + 2
