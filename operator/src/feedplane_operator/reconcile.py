"""One pass over one FeedSet: read, render, compare, write what differs, say how it stands.

Everything is worked out from the FeedSet and from what the cluster holds. Nothing that matters is remembered between
passes, so the operator may be killed between any two lines of this and goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Final

from feedplane_feedset.errors import FeedSetError
from feedplane_feedset.known import KnownExchanges
from feedplane_feedset.validate import parse_feedset

from feedplane_operator.api import Api
from feedplane_operator.applying import Applier, NameTaken, StillEnding
from feedplane_operator.desired import Desired, Owner, Surroundings, render
from feedplane_operator.errors import Conflict, NotFound, Refused
from feedplane_operator.fleet import Outcome
from feedplane_operator.instruments import Instruments
from feedplane_operator.kinds import FEEDSET, POD, Key, key_of, label_of
from feedplane_operator.naming import SYMBOLS_HASH
from feedplane_operator.pruning import superfluous
from feedplane_operator.store import FeedSetKey, Store
from feedplane_operator.surroundings import Object
from feedplane_operator.words import Listener, Words

logger = logging.getLogger(__name__)

IDLE_S: Final = 60.0
"""Everything is looked at again at least so often."""
SOON_S: Final = 5.0
"""While something is under way, pods are asked so often."""
_NS_PER_S: Final = 1_000_000_000


@dataclass(slots=True)
class _Held:
    """What is kept of one FeedSet to save work; all of it can be found again."""

    generation: object = None
    desired: Desired | None = None
    words: dict[str, Words] = field(default_factory=dict)
    asked_ns: int = 0


class Reconciler:
    """Passes over FeedSets; `run` is what workers call."""

    def __init__(
        self,
        api: Api,
        store: Store,
        applier: Applier,
        listener: Listener,
        instruments: Instruments,
        known: KnownExchanges,
        surroundings: Surroundings,
        clock: Callable[[], int],
    ) -> None:
        self._api = api
        self._store = store
        self._applier = applier
        self._listener = listener
        self._instruments = instruments
        self._known = known
        self._surroundings = surroundings
        self._clock = clock
        self._held: dict[FeedSetKey, _Held] = {}

    def forget(self, feedset: FeedSetKey) -> None:
        """The FeedSet is gone."""
        self._held.pop(feedset, None)

    async def run(self, body: Object, is_idle: bool) -> Outcome:
        """One pass; measured and counted."""
        begun_ns = monotonic_ns()
        result = "failed"
        try:
            outcome = await self._pass(body, is_idle)
            result = outcome.result
        finally:
            self._instruments.reconciles.add((result,))
            self._instruments.reconcile_latency.at().record(monotonic_ns() - begun_ns)
        return outcome

    async def _pass(self, body: Object, is_idle: bool) -> Outcome:
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if is_idle:  # the watch may have died unheard, and the FeedSet with it
            fresh = await self._api.get(FEEDSET, *key)
            if fresh is None or fresh["metadata"]["uid"] != metadata["uid"]:
                return Outcome("gone", 0.0, None)
            body = fresh
        if "deletionTimestamp" in body["metadata"]:
            return Outcome("deleting", 0.0, None)
        held = self._held.setdefault(key, _Held())
        try:
            desired = self._desired(body, held)
        except FeedSetError as e:
            logger.warning("feedset refused", extra={"feedset": key[1], "namespace": key[0], "error": str(e)})
            return Outcome("refused", IDLE_S, body)
        return await self._bring_about(body, desired, held)

    def _desired(self, body: Object, held: _Held) -> Desired:
        """Rendered once per generation: a FeedSet may name thousands of symbols."""
        metadata = body["metadata"]
        generation = (metadata["uid"], metadata.get("generation"), metadata.get("labels"))
        if held.desired is None or held.generation != generation:
            feedset = parse_feedset(body, self._known)
            owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
            held.desired = render(feedset, owner, self._surroundings)
            held.generation = generation
        return held.desired

    async def _bring_about(self, body: Object, desired: Desired, held: _Held) -> Outcome:
        key = (desired.owner.namespace, desired.owner.name)
        problems = await self._apply(desired.objects, self._store.of(key), desired.owner.uid)
        await self._prune(desired, self._store.of(key))
        await self._tell_symbols(desired, self._store.of(key))
        return Outcome("refused" if problems else "done", SOON_S if problems else IDLE_S, body)

    async def _apply(self, objects: Iterable[Object], live: Mapping[Key, Object], uid: str) -> list[str]:
        """Apply each object by itself; returns what was refused, which keeps no other from its due."""
        problems = []
        for obj in objects:
            try:
                await self._applier.apply(obj, live.get(key_of(obj)), uid)
            except (Refused, NameTaken, StillEnding) as e:
                logger.warning("not applied", extra={"kind": obj["kind"], "object": key_of(obj)[2], "error": str(e)})
                problems.append(str(e))
        return problems

    async def _prune(self, desired: Desired, live: Mapping[Key, Object]) -> None:
        wanted = {key_of(obj) for obj in desired.objects}
        for obj in superfluous(wanted, live, desired.owner.uid):
            try:
                await self._applier.delete(obj, "superfluous")
            except Conflict:  # another object has its name by now; the watch will show it
                continue

    async def _tell_symbols(self, desired: Desired, live: Mapping[Key, Object]) -> None:
        """An annotation on the running pods makes the kubelet bring the mounted symbols up to date at once."""
        hashes = {(each.entry, str(each.shard)): each.symbols_hash for each in desired.collectors}
        for pod in (obj for key, obj in live.items() if key[0] == POD.kind):
            wanted = hashes.get((label_of(pod, "feedplane.io/entry"), label_of(pod, "feedplane.io/shard")))
            annotations = pod["metadata"].get("annotations") or {}
            if wanted is None or "deletionTimestamp" in pod["metadata"] or annotations.get(SYMBOLS_HASH) == wanted:
                continue
            try:
                await self._applier.annotate(pod, {SYMBOLS_HASH: wanted})
            except (Conflict, NotFound):  # the pod is gone
                continue
