"""What was left behind by FeedSets that went while nobody looked, or whose finalizer somebody took away."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator

from feedplane_operator.applying import Applier
from feedplane_operator.errors import ApiError
from feedplane_operator.kinds import DEPLOYMENT, FEEDSET, MANAGED
from feedplane_operator.surroundings import Object

logger = logging.getLogger(__name__)


def orphans(objects: Iterable[Object], living: Collection[str]) -> Iterator[Object]:
    """Objects whose controller is a FeedSet that is none of the `living` uids.

    The living must have been listed after the objects were seen. An object without an owner is never an orphan: it is
    a claim that outlives its FeedSet, or somebody took it over.
    """
    kinds = {kind.kind for kind in MANAGED}
    for obj in objects:
        for reference in obj["metadata"].get("ownerReferences") or ():
            is_feedset = reference.get("kind") == FEEDSET.kind and reference.get("controller")
            if is_feedset and reference["uid"] not in living and obj["kind"] in kinds:
                yield obj


async def sweep(applier: Applier, objects: Iterable[Object], living: Collection[str]) -> None:
    """Delete orphans. The garbage collector would too, in time; this also works where it lags or is stopped."""
    for obj in orphans(objects, living):
        if "deletionTimestamp" in obj["metadata"]:
            continue
        try:
            await applier.delete(obj, "orphan", "Foreground" if obj["kind"] == DEPLOYMENT.kind else "Background")
        except ApiError as e:
            logger.warning("orphan not deleted", extra={"object": obj["metadata"]["name"], "error": str(e)})
