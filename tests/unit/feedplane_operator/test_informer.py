"""The copy that the operator works from stays whole and trusted, against a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from feedplane_operator.api import Api
from feedplane_operator.informer import Informer
from feedplane_operator.kinds import CONFIG_MAP
from feedplane_operator.store import Store

SILENCE_S = 0.2


def config_map(name: str, version: str) -> dict[str, Any]:
    labels = {"feedplane.io/feedset": "f"}
    metadata = {"name": name, "namespace": "n", "resourceVersion": version, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


class Server:
    """Lists what there is; its watches are open and say nothing, as of a collection in which nothing happens."""

    def __init__(self) -> None:
        self.items = [config_map("a", "5")]
        self.lists = 0
        self.is_down = False
        self.api: Api

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            return web.json_response({"reason": "Down"}, status=503)
        if "watch" not in request.query:
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": self.items})
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(30)
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        served.api = Api(f"http://127.0.0.1:{port}", session, attempts=1, silence_s=SILENCE_S)
        yield served
    await runner.cleanup()


async def until(is_so: Any, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_silent_watch_is_looked_behind_and_no_trouble(server: Server) -> None:
    """Bookmarks are promised by nobody: a silent stream may be dead or not, and a list tells."""
    store, blind = Store(), []
    informer = Informer(server.api, CONFIG_MAP, "n", "", store)
    following = asyncio.create_task(informer.run())
    try:
        await until(informer.listed.is_set)
        server.items = [config_map("b", "6")]  # while nothing is heard
        await until(lambda: blind.append(informer.is_blind) or server.lists >= 3)
        names = [obj["metadata"]["name"] for obj in store.of(("n", "f")).values()]
        server.is_down = True
        await until(lambda: informer.is_blind)
    finally:
        following.cancel()

    assert names == ["b"]
    assert not any(blind)
