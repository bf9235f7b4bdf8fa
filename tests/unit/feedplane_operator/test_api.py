"""Retries by status code, against a real HTTP server that fails in each way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from feedplane_operator.api import Api
from feedplane_operator.connection import verb_of
from feedplane_operator.errors import ApiError, Conflict, Expired, NotFound, Refused, Unavailable
from feedplane_operator.kinds import CONFIG_MAP, DEPLOYMENT, FEEDSET
from feedplane_ops.backoff import Backoff
from yarl import URL

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}


class Server:
    """Answers with what is scripted, then with 200 and an empty object."""

    def __init__(self) -> None:
        self.script: list[web.Response | str] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.slept: list[float] = []
        self.api: Api

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append((request.method, request.path_qs, json.loads(raw) if raw else None))
        step = self.script.pop(0) if self.script else web.json_response({"metadata": {"resourceVersion": "1"}})
        if step == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if step == "silence":
            await asyncio.sleep(5)
            return web.Response()
        assert isinstance(step, web.Response)
        return step


def refused(code: int, **headers: str) -> web.Response:
    return web.json_response(
        {"kind": "Status", "reason": "R", "message": "m", "code": code}, status=code, headers=headers
    )


async def follow(api: Api, seen: list[Any]) -> None:
    async for event in api.watch(CONFIG_MAP, "n", "a=b", "5"):
        seen.append(event)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async def sleep(seconds: float) -> None:
        served.slept.append(seconds)

    async with aiohttp.ClientSession() as session:
        served.api = Api(
            f"http://127.0.0.1:{runner.addresses[0][1]}",
            session,
            attempts=4,
            request_timeout_s=0.5,
            backoff=lambda: Backoff(1_000_000_000, 4_000_000_000, lambda: 1.0),
            sleep=sleep,
        )
        yield served
    await runner.cleanup()


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, 401, "reset", "silence"])
async def test_what_passes_is_tried_again(server: Server, fault: int | str) -> None:
    server.script = [refused(fault) if isinstance(fault, int) else fault for _ in range(3)]

    await server.api.apply(OBJECT, "me")

    assert len(server.requests) == 4
    assert server.slept == [1.0, 2.0, 4.0]


async def test_the_server_says_how_long_to_wait(server: Server) -> None:
    server.script = [refused(429, **{"Retry-After": "17"}), refused(503, **{"Retry-After": "100000"})]

    await server.api.apply(OBJECT, "me")

    assert server.slept == [17.0, 60.0]


@pytest.mark.parametrize(
    ("code", "error"), [(400, Refused), (403, Refused), (422, Refused), (404, NotFound), (410, Expired)]
)
async def test_a_refusal_is_not_repeated(server: Server, code: int, error: type[ApiError]) -> None:
    server.script = [refused(code)]

    with pytest.raises(error, match="m"):
        await server.api.apply(OBJECT, "me")
    assert len(server.requests) == 1


async def test_it_gives_up_in_the_end(server: Server) -> None:
    server.script = [refused(503)] * 10

    with pytest.raises(Unavailable):
        await server.api.apply(OBJECT, "me")
    assert len(server.requests) == 4


async def test_a_write_that_came_between_is_repeated_but_not_for_another_object(server: Server) -> None:
    server.script = [refused(409), refused(409)]
    await server.api.apply(OBJECT, "me")
    assert len(server.requests) == 3

    server.script = [refused(409)]
    with pytest.raises(Conflict):
        await server.api.apply(OBJECT | {"metadata": OBJECT["metadata"] | {"uid": "u"}}, "me")  # type: ignore[operator]


async def test_apply_is_forced_and_names_its_manager(server: Server) -> None:
    await server.api.apply(OBJECT, "feedset-operator")

    assert server.requests == [
        ("PATCH", "/api/v1/namespaces/n/configmaps/c?fieldManager=feedset-operator&force=true", OBJECT)
    ]


async def test_deletion_names_the_very_object(server: Server) -> None:
    server.script = [refused(404)]
    await server.api.delete(DEPLOYMENT, "n", "d", "the-uid", "Foreground")

    [(method, path, body)] = server.requests
    assert (method, path) == ("DELETE", "/apis/apps/v1/namespaces/n/deployments/d")
    assert body["preconditions"] == {"uid": "the-uid"}
    assert body["propagationPolicy"] == "Foreground"


async def test_lists_are_read_page_by_page_and_items_say_what_they_are(server: Server) -> None:
    server.script = [
        web.json_response({"metadata": {"resourceVersion": "7", "continue": "t"}, "items": [{"metadata": {}}]}),
        web.json_response({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {}}]}),
    ]
    listing = await server.api.list(CONFIG_MAP, "n", "a=b")

    assert listing.items == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}] * 2
    assert listing.resource_version == "7"
    assert [path for _, path, _ in server.requests] == [
        "/api/v1/namespaces/n/configmaps?labelSelector=a%3Db&limit=500",
        "/api/v1/namespaces/n/configmaps?labelSelector=a%3Db&limit=500&continue=t",
    ]


async def test_a_watch_gives_events_of_any_length_and_raises_what_the_server_reports(server: Server) -> None:
    big = {"type": "ADDED", "object": {"metadata": {"name": "x" * 300_000}}}
    gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
    server.script = [web.Response(body=b"\n".join(json.dumps(event).encode() for event in (big, gone)) + b"\n")]
    seen: list[Any] = []
    with pytest.raises(Expired):
        await follow(server.api, seen)

    assert seen == [big]
    assert "resourceVersion=5" in server.requests[0][1]


async def test_a_broken_watch_is_unavailable(server: Server) -> None:
    for step in ("reset", web.Response(body=b"not json\n"), refused(503)):
        server.script = [step, "reset"]  # the HTTP client itself repeats what a kept connection lost
        with pytest.raises(Unavailable):
            await follow(server.api, [])


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", FEEDSET.path("n"), "list"),
        ("GET", FEEDSET.path(None), "list"),
        ("GET", FEEDSET.path("n", "f"), "get"),
        ("GET", CONFIG_MAP.path("n") + "?watch=true", "watch"),
        ("GET", "/api/v1", "get"),
        ("PATCH", FEEDSET.path("n", "f", "status"), "patch"),
        ("POST", CONFIG_MAP.path("n"), "create"),
        ("DELETE", CONFIG_MAP.path("n", "c"), "delete"),
    ],
)
def test_calls_are_counted_by_the_verb_of_rbac(method: str, path: str, verb: str) -> None:
    assert verb_of(method, URL("https://server" + path)) == verb
