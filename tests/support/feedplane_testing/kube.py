"""A client of the API server for tests, and a node that exists only as its own reports: pods start, talk and end as told."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp import web

from feedplane_testing.control_plane import ADMIN, ControlPlane, unverified

Object = dict[str, Any]
PORTS: Final = {"collector": 9100, "writer-redis": 9101, "writer-clickhouse": 9102}
_ADDRESSES = itertools.count(1)


class KubeError(Exception):
    """The server refused."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(f"{status}: {body.get('message')}")
        self.status = status
        self.body = body


class Kube:
    """Calls as the administrator, or as another user of the control plane."""

    def __init__(self, plane: ControlPlane, user: str = ADMIN) -> None:
        self._server = plane.server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=unverified(), limit=0),
            headers={"Authorization": f"Bearer {plane.tokens[user]}"},
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Object:
        """Raises: KubeError."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with self._session.request(
            method, self._server + path, params=query, data=data, headers=headers
        ) as answer:
            raw = await answer.read()
            is_json = "json" in answer.content_type
            parsed: Object = json.loads(raw or b"{}") if is_json else {"message": raw.decode()}
            if answer.status >= 300:
                raise KubeError(answer.status, parsed)
            return parsed

    async def get(self, path: str) -> Object | None:
        """None when there is none."""
        try:
            return await self.call("GET", path)
        except KubeError as e:
            if e.status == 404:
                return None
            raise

    async def items(self, path: str, **query: str) -> list[Object]:
        answer = await self.call("GET", path, **query)
        return list(answer.get("items") or ())

    async def apply(self, path: str, obj: Object, manager: str = "person") -> Object:
        return await self.call("PATCH", path, obj, "application/apply-patch+yaml", fieldManager=manager, force="true")

    async def patch(self, path: str, patch: Object) -> Object:
        return await self.call("PATCH", path, patch, "application/merge-patch+json")

    async def delete(self, path: str, **options: Any) -> Object:
        return await self.call("DELETE", path, options or None)


async def eventually(check: Callable[[], Awaitable[Any]], within_s: float = 20.0, every_s: float = 0.1) -> Any:
    """What `check` gives once it is true; an AssertionError it raises counts as not yet."""
    deadline = asyncio.get_running_loop().time() + within_s
    last: BaseException | None = None
    while asyncio.get_running_loop().time() < deadline:
        try:
            if found := await check():
                return found
        except AssertionError as e:
            last = e
        await asyncio.sleep(every_s)
    raise AssertionError(f"not within {within_s} s: {last or 'nothing found'}")


class PaperNode:
    """Takes every pod of a namespace, reports it ready at an address of its own, and ends it when it is deleted.

    `words` of a container are served at the pod's address as its `/status`; `drain_s` is how long a deleted pod stays;
    `last_word` is the termination message of its writers.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self.words: dict[str, Object] = {}
        self.drain_s = 0.0
        self.last_word = ""
        self.is_ready = True
        self._addresses: dict[str, str] = {}
        self._ending: dict[str, float] = {}
        self._servers: list[web.AppRunner] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> PaperNode:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        for server in self._servers:
            await server.cleanup()

    async def _run(self) -> None:
        while True:
            with suppress(KubeError, aiohttp.ClientError):
                for pod in await self._kube.items(self._pods):
                    await self._tend(pod)
            await asyncio.sleep(0.1)

    async def _tend(self, pod: Object) -> None:
        name, path = pod["metadata"]["name"], f"{self._pods}/{pod['metadata']['name']}"
        now = asyncio.get_running_loop().time()
        if "deletionTimestamp" in pod["metadata"]:
            if self.last_word and name not in self._ending:
                await self._kube.patch(f"{path}/status", {"status": await self._status(pod)})
            if now - self._ending.setdefault(name, now) >= self.drain_s:
                await self._kube.delete(path, gracePeriodSeconds=0)
        elif "nodeName" not in pod["spec"]:
            await self._kube.call("POST", f"{path}/binding", _binding(name))
        elif _is_ready(pod) != self.is_ready:
            await self._kube.patch(f"{path}/status", {"status": await self._status(pod)})

    async def _status(self, pod: Object) -> Object:
        name = pod["metadata"]["name"]
        if name not in self._addresses:
            self._addresses[name] = await self._serve()
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        ended = {"terminated": {"exitCode": 0, "message": self.last_word, "containerID": ""}}
        of_writers = ended if self.last_word and "deletionTimestamp" in pod["metadata"] else state
        ready = "True" if self.is_ready else "False"
        return {
            "phase": "Running",
            "podIP": self._addresses[name],
            "podIPs": [{"ip": self._addresses[name]}],
            "conditions": [
                {"type": each, "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
                for each in ("Ready", "ContainersReady")
            ],
            "initContainerStatuses": [_container(each, of_writers) for each in pod["spec"].get("initContainers") or ()],
            "containerStatuses": [_container(each, state) for each in pod["spec"]["containers"]],
        }

    async def _serve(self) -> str:
        number = next(_ADDRESSES)
        address = f"127.83.{number // 250}.{number % 250 + 1}"
        for container, port in PORTS.items():
            app = web.Application()
            app.router.add_get("/status", self._answer(container))
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, address, port).start()
            self._servers.append(runner)
        return address

    def _answer(self, container: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            said = self.words.get(container)
            return web.json_response(said) if said is not None else web.Response(status=503)

        return answer


def _binding(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "paper"},
    }


def _is_ready(pod: Object) -> bool:
    conditions: Iterable[Object] = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _container(container: Object, state: Object) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": state,
    }
