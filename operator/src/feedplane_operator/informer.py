"""Keeps the store in step with one kind of object.

Of its own and not Kopf's: a list that follows a lost watch has to *replace* what is held, or an object that was deleted
while nobody listened is never missed; and a thousand pods need no task, queue and memory each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from feedplane_ops.backoff import Backoff

from feedplane_operator.api import Api
from feedplane_operator.errors import ApiError, Expired, Silent
from feedplane_operator.kinds import Kind
from feedplane_operator.store import Store

logger = logging.getLogger(__name__)

_BASE_NS: Final = 250_000_000
_CAP_NS: Final = 10_000_000_000


class Informer:
    """Lists once, then watches from there; lists again when the server has forgotten where we were, or said nothing for long."""

    def __init__(
        self,
        api: Api,
        kind: Kind,
        namespace: str | None,
        selector: str,
        store: Store,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._store = store
        self._sleep = sleep
        self._backoff = Backoff(_BASE_NS, _CAP_NS)
        self.listed = asyncio.Event()
        """Set once the store holds everything there is."""
        self.problem: str | None = None
        """Why the copy may be old at present."""

    @property
    def name(self) -> str:
        """`pods` or `pods in md-prod`."""
        return self._kind.plural + (f" in {self._namespace}" if self._namespace is not None else "")

    @property
    def is_blind(self) -> bool:
        """Whether the store may be behind."""
        return self.problem is not None or not self.listed.is_set()

    async def run(self) -> None:
        """Follow for ever; ends by cancellation."""
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                version = await self._follow(version)
            except (Expired, Silent):
                version = None
                await self._sleep(self._backoff.next_delay_ns() / 1e9)  # a server that says so each time is not stormed
            except ApiError as e:
                self.problem = str(e)
                delay_s = self._backoff.next_delay_ns() / 1e9
                logger.warning("watch interrupted", extra={"what": self.name, "error": str(e), "retry_s": delay_s})
                await self._sleep(delay_s)

    async def _list(self) -> str:
        listing = await self._api.list(self._kind, self._namespace, self._selector)
        self._store.replace(self._kind, self._namespace, listing.items, listing.resource_version)
        self._is_well()
        self.listed.set()
        return listing.resource_version

    async def _follow(self, version: str) -> str:
        """One watch to its end; returns the version to go on from."""
        async for event in self._api.watch(self._kind, self._namespace, self._selector, version):
            obj = event["object"]
            version = obj["metadata"]["resourceVersion"]
            if event["type"] in ("ADDED", "MODIFIED"):
                self._store.put(obj)
            elif event["type"] == "DELETED":
                self._store.drop(obj)
            self._is_well()
        return version

    def _is_well(self) -> None:
        if self.problem is not None:
            logger.info("watch goes on", extra={"what": self.name})
        self.problem = None
        self._backoff.reset()
