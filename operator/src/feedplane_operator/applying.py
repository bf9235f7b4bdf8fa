"""Makes the cluster hold what is desired, and writes nothing where it does already."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from feedplane_core.errors import FeedplaneError

from feedplane_operator.api import Api
from feedplane_operator.instruments import Instruments
from feedplane_operator.kinds import Key, key_of, kind_of, owner_uid
from feedplane_operator.naming import digest
from feedplane_operator.ownership import difference
from feedplane_operator.store import Store, version_of
from feedplane_operator.surroundings import Object

logger = logging.getLogger(__name__)

MANAGER: Final = "feedset-operator"
_MAX_SETTLED: Final = 20_000


class NameTaken(FeedplaneError):
    """An object of this name exists and is not the FeedSet's; taking it over could break what it is for."""

    def __init__(self, obj: Mapping[str, Any]) -> None:
        super().__init__(f"{obj['kind']} {obj['metadata']['name']} exists and was not made for this FeedSet")


class StillEnding(FeedplaneError):
    """An object of this name is on its way out: wait until it is gone."""

    def __init__(self, obj: Mapping[str, Any]) -> None:
        super().__init__(f"an earlier {obj['kind']} {obj['metadata']['name']} is not gone yet")


class Applier:
    """Applies objects of all FeedSets. Holds nothing that a restart would miss: `settled` only saves repeated no-ops."""

    def __init__(self, api: Api, store: Store, instruments: Instruments) -> None:
        self._api = api
        self._store = store
        self._instruments = instruments
        self._settled: dict[Key, tuple[str, int]] = {}

    async def apply(self, obj: Object, held: Object | None, uid: str) -> bool:
        """Write the object if `held`, what there is of it, differs; tells whether it did.

        Raises:
            NameTaken: it belongs to somebody else.
            StillEnding: it is being deleted.
            ApiError: the server refused or could not be asked.
        """
        found = held if held is not None else await self._found(obj)
        reason = self._reason(obj, found, uid)
        if reason is None:
            return False
        await self._write(obj, reason)
        return True

    async def delete(self, obj: Object, reason: str, propagation: str = "Background") -> None:
        """Delete an object that is held."""
        metadata = obj["metadata"]
        kind = kind_of(obj)
        await self._api.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"], propagation)
        self._instruments.writes.add((kind.kind, reason))
        logger.info("deleted", extra=_place(obj) | {"reason": reason})

    async def annotate(self, obj: Object, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of an object that is not ours alone, such as a pod."""
        metadata = obj["metadata"]
        patch = {"metadata": {"uid": metadata["uid"], "annotations": dict(annotations)}}
        kind = kind_of(obj)
        answer = await self._api.merge_patch(kind, metadata["namespace"], metadata["name"], patch, MANAGER)
        self._store.put({"apiVersion": kind.api_version, "kind": kind.kind, **answer}, is_own_write=True)
        self._instruments.writes.add((kind.kind, "annotated"))

    async def _found(self, obj: Object) -> Object | None:
        """The object if it exists without our label, where the watch does not see it."""
        metadata = obj["metadata"]
        return await self._api.get(kind_of(obj), metadata["namespace"], metadata["name"])

    def _reason(self, obj: Object, held: Object | None, uid: str) -> str | None:
        """Why the object has to be written, None when it has not."""
        if held is None:
            return "created"
        if owner_uid(held) != uid and not _was_ours(held):
            raise NameTaken(obj)
        if "deletionTimestamp" in held["metadata"] or owner_uid(held) not in (uid, None):
            raise StillEnding(obj)  # of an earlier FeedSet of this name: garbage, and collected soon
        path = difference(obj, held, MANAGER)
        if path is None or self._settled.get(key_of(obj)) == (digest(obj), version_of(held)):
            return None
        logger.info("differs", extra=_place(obj) | {"path": path})
        return "changed"

    async def _write(self, obj: Object, reason: str) -> None:
        answer = await self._api.apply(obj, MANAGER)
        self._instruments.writes.add((obj["kind"], reason))
        logger.info("applied", extra=_place(obj) | {"reason": reason})
        self._store.put(answer, is_own_write=True)
        if difference(obj, answer, MANAGER) is not None:
            # the server keeps it in a form we do not foresee; asking again would write the same each time
            self._settle(key_of(obj), (digest(obj), version_of(answer)))

    def _settle(self, key: Key, state: tuple[str, int]) -> None:
        if len(self._settled) >= _MAX_SETTLED:
            self._settled.clear()
        self._settled[key] = state


def _was_ours(held: Object) -> bool:
    """Made by us for an earlier FeedSet of this name, or somebody took its owner away."""
    return any(entry.get("manager") == MANAGER for entry in held["metadata"].get("managedFields") or ())


def _place(obj: Object) -> dict[str, str]:
    metadata = obj["metadata"]
    return {"kind": obj["kind"], "object": metadata["name"], "namespace": metadata["namespace"]}
