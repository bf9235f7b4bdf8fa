"""Events that a person reads in `kubectl describe feedset`: one object per FeedSet, reason and message, counted up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Literal

from feedplane_operator.api import Api
from feedplane_operator.errors import ApiError, Conflict
from feedplane_operator.kinds import EVENT, FEEDSET
from feedplane_operator.surroundings import Object

logger = logging.getLogger(__name__)

COMPONENT: Final = "feedset-operator"
MAX_MESSAGE: Final = 1_000  # the API allows 1,024
_MAX_COUNTED: Final = 4_096
_NS_PER_S: Final = 1_000_000_000

EventType = Literal["Normal", "Warning"]


class Events:
    """Posts events. One that cannot be posted is logged: it never fails what it tells of."""

    def __init__(self, api: Api, instance: str, clock: Callable[[], int]) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._counts: dict[str, int] = {}

    async def post(self, feedset: Object, kind: EventType, reason: str, message: str) -> None:
        """Tell it once; told again (`reason` and `message` equal), the same event counts up."""
        event = self._event(feedset, kind, reason, message[:MAX_MESSAGE])
        name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
        try:
            await self._api.create(event, COMPONENT)
            self._count(name, 1)
        except Conflict:
            await self._again(namespace, name, event["lastTimestamp"])
        except ApiError as e:
            logger.warning("event not posted", extra={"feedset": feedset["metadata"]["name"], "error": str(e)})

    async def _again(self, namespace: str, name: str, last: str) -> None:
        count = self._counts.get(name, 1) + 1  # after a restart it starts from 2: reading events is no right of ours
        try:
            await self._api.merge_patch(EVENT, namespace, name, {"count": count, "lastTimestamp": last}, COMPONENT)
            self._count(name, count)
        except ApiError as e:
            logger.warning("event not counted up", extra={"event_name": name, "error": str(e)})

    def _count(self, name: str, count: int) -> None:
        if len(self._counts) >= _MAX_COUNTED:
            del self._counts[next(iter(self._counts))]
        self._counts[name] = count

    def _event(self, feedset: Object, kind: EventType, reason: str, message: str) -> Object:
        metadata = feedset["metadata"]
        now = f"{datetime.fromtimestamp(self._clock() // _NS_PER_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
        told = sha256("\0".join((metadata["uid"], reason, message)).encode()).hexdigest()[:16]
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{metadata['name']}.{told}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": FEEDSET.api_version,
                "kind": FEEDSET.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT, "host": self._instance},
            "reportingComponent": "feedplane.io/operator",
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
