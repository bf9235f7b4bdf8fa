"""Writes a FeedSet's status and posts its events, and does neither when nothing has changed."""

from __future__ import annotations

from typing import Final

from feedplane_operator.api import Api
from feedplane_operator.errors import Conflict, NotFound
from feedplane_operator.events import Events
from feedplane_operator.kinds import FEEDSET
from feedplane_operator.naming import digest
from feedplane_operator.status import Outcome
from feedplane_operator.surroundings import Object

MANAGER: Final = "feedset-operator-status"
"""Not the manager of the children: a status that omits a field must not release one of theirs."""


class Teller:
    """Tells people how FeedSets stand."""

    def __init__(self, api: Api, events: Events) -> None:
        self._api = api
        self._events = events
        self._told: dict[str, str] = {}

    async def tell(self, body: Object, outcome: Outcome) -> Object:
        """Returns the FeedSet as it is afterwards.

        Events come first: who is killed in between tells them twice, which counts up one event, and not never.

        Raises:
            Conflict: the FeedSet is another one by now.
            NotFound: it is gone.
        """
        for event in outcome.events:
            await self._events.post(body, event.type, event.reason, event.message)
        uid = body["metadata"]["uid"]
        before = body.get("status") or {}
        # a server with another definition of the status may drop some of it: then the same is not sent again
        if outcome.status == before or self._told.get(uid) == digest([before, outcome.status]):
            return body
        answer = await self._api.apply(_status(body, outcome), MANAGER, "status")
        self._told[uid] = digest([answer.get("status") or {}, outcome.status])
        return answer

    def forget(self, uid: str) -> None:
        """The FeedSet is gone."""
        self._told.pop(uid, None)


def _status(body: Object, outcome: Outcome) -> Object:
    metadata = body["metadata"]
    return {
        "apiVersion": FEEDSET.api_version,
        "kind": FEEDSET.kind,
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "status": outcome.status,
    }


GONE: Final = (Conflict, NotFound)
