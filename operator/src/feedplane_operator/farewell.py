"""The end of a FeedSet: its pods stop, its writers drain, and then it may go, at the latest when its time is up.

When the time is up comes from the FeedSet's own deletion timestamp, so an operator that is started anew in the middle
neither waits again nor gives less.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from feedplane_operator import status
from feedplane_operator.applying import Applier
from feedplane_operator.errors import Conflict, NotFound
from feedplane_operator.events import Events
from feedplane_operator.kinds import DEPLOYMENT, POD, owner_uid
from feedplane_operator.lastwords import undrained
from feedplane_operator.store import FeedSetKey, Store
from feedplane_operator.surroundings import Object
from feedplane_operator.telling import Teller

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.5
STOP_S: Final = 30
"""Beside the drain: for the collector to stop, the kubelet to end what does not, and the deletion to be seen."""
_DRAIN_S: Final = 90  # of a FeedSet so broken that it does not say
_MAX_TOLD: Final = 3
_NS_PER_S: Final = 1_000_000_000


class Farewell:
    """Lets FeedSets go in an orderly way."""

    def __init__(
        self,
        applier: Applier,
        store: Store,
        teller: Teller,
        events: Events,
        clock: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._applier = applier
        self._store = store
        self._teller = teller
        self._events = events
        self._clock = clock
        self._sleep = sleep

    async def run(self, feedset: Object) -> None:
        """Return when no pod is left, or when the drain has had its time.

        Raises:
            ApiError: the API server does not do it now; call again.
        """
        key = (feedset["metadata"]["namespace"], feedset["metadata"]["name"])
        deadline_ns = deadline_of(feedset)
        last_words: dict[str, str] = {}
        while True:
            await self._stop(key, feedset["metadata"]["uid"])
            left = self._left(key, feedset["metadata"]["uid"])
            last_words |= {pod["metadata"]["name"]: text for pod in left if (text := undrained(pod))}
            if not left:
                await self._ended(feedset, last_words)
                return
            if self._clock() >= deadline_ns:
                await self._overrun(feedset, left, last_words)
                return
            feedset = await self._tell(feedset, left)
            await self._sleep(LOOK_S)

    async def _stop(self, key: FeedSetKey, uid: str) -> None:
        """Delete its Deployments from the pods upwards, so that none is gone while its pods still run."""
        for (kind, _, _), obj in sorted(self._store.of(key).items()):
            if kind == DEPLOYMENT.kind and owner_uid(obj) == uid and "deletionTimestamp" not in obj["metadata"]:
                try:
                    await self._applier.delete(obj, "feedset deleted", "Foreground")
                except Conflict:
                    continue

    def _left(self, key: FeedSetKey, uid: str) -> list[Object]:
        """Deployments of this FeedSet and pods of its name: a pod's owner is a ReplicaSet, which does not say whose."""
        return [
            obj
            for (kind, _, _), obj in sorted(self._store.of(key).items())
            if kind == POD.kind or (kind == DEPLOYMENT.kind and owner_uid(obj) == uid)
        ]

    async def _tell(self, feedset: Object, left: list[Object]) -> Object:
        """`kubectl get` says what is waited for."""
        generation = int(feedset["metadata"].get("generation", 0))
        outcome = status.render_ending(
            feedset.get("status") or {},
            f"waiting for {_names(left)}",
            generation=generation,
            now_ns=self._clock(),
        )
        try:
            return await self._teller.tell(feedset, outcome)
        except (Conflict, NotFound):
            return feedset

    async def _ended(self, feedset: Object, last_words: dict[str, str]) -> None:
        logger.info("feedset ended", extra={"feedset": feedset["metadata"]["name"]})
        if last_words:
            await self._events.post(feedset, "Warning", "Undrained", _told(last_words))

    async def _overrun(self, feedset: Object, left: list[Object], last_words: dict[str, str]) -> None:
        message = "; ".join(filter(None, (f"not drained in time; left: {_names(left)}", _told(last_words))))
        logger.error("drain took too long", extra={"feedset": feedset["metadata"]["name"], "left": _names(left)})
        await self._events.post(feedset, "Warning", "DrainTimeout", message)


def deadline_of(feedset: Object) -> int:
    """When the FeedSet is let go whatever is left, in ns since the epoch."""
    begun = datetime.fromisoformat(feedset["metadata"]["deletionTimestamp"])
    rollout = (feedset.get("spec") or {}).get("rollout") or {}
    return (int(begun.timestamp()) + int(rollout.get("drainSeconds", _DRAIN_S)) + STOP_S) * _NS_PER_S


def _told(last_words: dict[str, str]) -> str:
    return "; ".join(f"{pod}: {text}" for pod, text in list(last_words.items())[:_MAX_TOLD])


def _names(left: list[Object]) -> str:
    pods = [obj["metadata"]["name"] for obj in left if obj["kind"] == POD.kind]
    return ", ".join(pods) or "its Deployments to go"
