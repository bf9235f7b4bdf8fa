"""The API server as the operator uses it: server-side apply, lists and watches by label, deletion by uid.

Not the official client: it costs 60 % of an operator's memory. Retries go by status code alone: 429 (waiting as long as
Retry-After asks), 5xx, time-outs and broken connections are tried again, every other refusal is the caller's to judge.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from feedplane_ops.backoff import Backoff

from feedplane_operator.errors import Conflict, NotFound, Silent, Unavailable, refusal
from feedplane_operator.kinds import Kind, kind_of
from feedplane_operator.surroundings import Object

APPLY_TYPE: Final = "application/apply-patch+yaml"  # JSON is YAML
MERGE_TYPE: Final = "application/merge-patch+json"
JSON_TYPE: Final = "application/json"

PAGE: Final = 500
WATCH_SERVER_S: Final = 300
WATCH_SILENCE_S: Final = 90.0
"""Bookmarks come about each minute, but never for a collection in which nothing has happened since the server started."""

_CHUNK_BYTES: Final = 1 << 16
_MAX_EVENT_BYTES: Final = 16 << 20
_NS_PER_S: Final = 1_000_000_000
_BROKEN: Final = (aiohttp.ClientError, OSError, TimeoutError, RuntimeError)
"""RuntimeError: the session was closed under the call."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a collection at one resource version."""

    items: list[Object]
    resource_version: str


class Api:
    """One API server. A call is tried for about half a minute before it raises `Unavailable`."""

    def __init__(
        self,
        server: str,
        session: aiohttp.ClientSession,
        *,
        attempts: int = 7,
        request_timeout_s: float = 15.0,
        connect_timeout_s: float = 5.0,
        silence_s: float = WATCH_SILENCE_S,
        backoff: Callable[[], Backoff] = lambda: Backoff(_NS_PER_S // 2, 15 * _NS_PER_S),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server = server.rstrip("/")
        self._session = session
        self._attempts = attempts
        self._timeout = aiohttp.ClientTimeout(total=request_timeout_s, sock_connect=connect_timeout_s)
        self._watch_timeout = aiohttp.ClientTimeout(
            total=WATCH_SERVER_S + 10, sock_connect=connect_timeout_s, sock_read=silence_s
        )
        self._backoff = backoff
        self._sleep = sleep

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, None when there is none."""
        try:
            return await self._object("GET", kind.path(namespace, name))
        except NotFound:
            return None

    async def list(self, kind: Kind, namespace: str | None, selector: str) -> Listing:
        """All objects that a label selector finds, read in pages.

        Raises:
            Expired: the pages took so long that the server forgot the first.
        """
        items: list[Object] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = await self._object("GET", kind.path(namespace), query)
            # the items of a list do not say what they are
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            token = page["metadata"].get("continue")
            if not token:
                return Listing(items, page["metadata"]["resourceVersion"])
            query["continue"] = token

    async def apply(self, obj: Mapping[str, Any], manager: str, subresource: str | None = None) -> Object:
        """Server-side apply: the object's fields become this manager's, fields it no longer names are released.

        By force: what the operator sets is the operator's. A Conflict is therefore no quarrel about fields but an
        object that is another one (where `metadata.uid` is given), or a write that came between, which is repeated.
        """
        metadata = obj["metadata"]
        path = kind_of(obj).path(metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true"}
        return await self._object("PATCH", path, query, obj, APPLY_TYPE, conflict_passes="uid" not in metadata)

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], manager: str
    ) -> Object:
        """JSON merge patch; null removes a key.

        Raises:
            Conflict: `metadata.uid` is given, and the object is another one by now.
        """
        query = {"fieldManager": manager}
        return await self._object("PATCH", kind.path(namespace, name), query, patch, MERGE_TYPE)

    async def create(self, obj: Mapping[str, Any], manager: str) -> Object:
        """Make an object.

        Raises:
            Conflict: there is one of this name.
        """
        path = kind_of(obj).path(obj["metadata"]["namespace"])
        return await self._object("POST", path, {"fieldManager": manager}, obj, JSON_TYPE)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, propagation: str = "Background") -> None:
        """Delete this very object and not one that took its name; all is well when it is gone already.

        Raises:
            Conflict: the name belongs to another object by now.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid},
        }
        try:
            await self._object("DELETE", kind.path(namespace, name), None, options, JSON_TYPE)
        except NotFound:
            return

    async def watch(
        self, kind: Kind, namespace: str | None, selector: str, resource_version: str
    ) -> AsyncIterator[Object]:
        """Events after a resource version, bookmarks included, until the server ends the stream; not retried.

        Raises:
            Expired: list again.
            Silent: nothing came for `silence_s`; whether the stream was alive only a list can tell.
            Unavailable: the stream broke.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SERVER_S),
        }
        url = self._server + kind.path(namespace)
        try:
            async with self._session.get(url, params=query, timeout=self._watch_timeout) as response:
                if response.status != 200:
                    raise refusal(response.status, _parsed(await response.read()))
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise refusal(int(event["object"].get("code") or 0), event["object"])
                    yield event
        except aiohttp.SocketTimeoutError as e:
            raise Silent(0, "Silent", str(e)) from e
        except (*_BROKEN, ValueError) as e:
            raise Unavailable(0, type(e).__name__, str(e)) from e

    async def _object(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        conflict_passes: bool = False,
    ) -> Object:
        """One call and its retries."""
        backoff = self._backoff()
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._once(method, path, query, body, content_type)
            except (Unavailable, Conflict) as e:
                if attempt == self._attempts or (isinstance(e, Conflict) and not conflict_passes):
                    raise
                asked_s = e.retry_after_s if isinstance(e, Unavailable) else 0.0
            await self._sleep(backoff.next_delay_ns(int(asked_s * _NS_PER_S)) / _NS_PER_S)
        raise AssertionError("the last attempt has returned or raised")

    async def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str | None,
    ) -> Object:
        headers = {"Accept": JSON_TYPE} | ({"Content-Type": content_type} if content_type else {})
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        try:
            async with self._session.request(
                method, self._server + path, params=query, data=data, headers=headers, timeout=self._timeout
            ) as response:
                answer = _parsed(await response.read())
                if response.status >= 300:
                    raise refusal(response.status, answer, response.headers.get("Retry-After", ""))
                return answer
        except _BROKEN as e:
            raise Unavailable(0, type(e).__name__, str(e)) from e


def _parsed(raw: bytes) -> Object:
    """The JSON object of an answer; what a proxy in between says is no JSON and becomes its message."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": raw[:200].decode("utf-8", "replace")}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to a bound: aiohttp's own iteration ends at 128 KiB, which one object may exceed.

    Raises:
        ValueError: a line is longer than any object can be.
    """
    rest = b""
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if len(rest) > _MAX_EVENT_BYTES:
            raise ValueError("an event without end")
