"""One pass over one FeedSet: read, render, compare, write what differs, say how it stands.

Everything is worked out from the FeedSet and from what the cluster holds. Nothing that a restart would miss is kept
between passes, so the operator may be killed between any two lines of this and goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Final

from feedplane_feedset.errors import FeedSetError
from feedplane_feedset.known import KnownExchanges
from feedplane_feedset.model import FeedSet
from feedplane_feedset.validate import parse_feedset
from feedplane_feedset.workload import SpoolMedium

from feedplane_operator import status
from feedplane_operator.api import Api
from feedplane_operator.applying import Applier, NameTaken, StillEnding
from feedplane_operator.conditions import ConditionType, previous_condition
from feedplane_operator.desired import Desired, Owner, Surroundings, render
from feedplane_operator.errors import Conflict, NotFound, Refused
from feedplane_operator.events import Events
from feedplane_operator.fleet import Outcome
from feedplane_operator.health import Memory
from feedplane_operator.instruments import Instruments
from feedplane_operator.kinds import FEEDSET, POD, Key, key_of, label_of
from feedplane_operator.lastwords import undrained
from feedplane_operator.naming import SYMBOLS_HASH
from feedplane_operator.observed import Words, observe
from feedplane_operator.pruning import superfluous
from feedplane_operator.rollout import Decision, decide
from feedplane_operator.store import FeedSetKey, Store
from feedplane_operator.surroundings import Object
from feedplane_operator.telling import Teller
from feedplane_operator.words import Listener

logger = logging.getLogger(__name__)

LOOK_S: Final = 15.0
"""Everything is looked at again at least so often, and pods are asked how they are."""
SOON_S: Final = 3.0
"""The same while something is under way."""
ASK_S: Final = 1.0
"""However many changes there are, pods are not asked more often."""
READ_S: Final = 60.0
"""A FeedSet of which nothing was heard for so long is read: its watch may have died unheard, and the FeedSet with it."""
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What passes work with."""

    api: Api
    store: Store
    applier: Applier
    listener: Listener
    teller: Teller
    events: Events
    instruments: Instruments
    known: KnownExchanges
    surroundings: Surroundings
    clock: Callable[[], int]  # ns since the epoch


@dataclass(slots=True)
class _Held:
    """What is kept of one FeedSet. But for `memory`, which is patience, all of it only saves work."""

    rendered_from: object = None
    rendered: tuple[FeedSet, Desired] | None = None
    words: Mapping[str, Words] = field(default_factory=dict)
    asked_ns: int = 0
    read_ns: int = 0
    is_settled: bool = False
    bereaved: set[str] = field(default_factory=set)  # uids of pods whose last words were told
    memory: Memory = field(default_factory=Memory)


class Reconciler:
    """Passes over FeedSets; `run` is what workers call."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._held: dict[FeedSetKey, _Held] = {}

    def forget(self, feedset: FeedSetKey) -> None:
        """The FeedSet is gone."""
        self._held.pop(feedset, None)
        self._parts.instruments.forget(feedset)

    async def run(self, body: Object, heard_ns: int) -> Outcome:
        """One pass; measured and counted."""
        begun_ns = monotonic_ns()
        result = "failed"
        try:
            outcome = await self._pass(body, heard_ns)
            result = outcome.result
        finally:
            self._parts.instruments.reconciles.add((result,))
            self._parts.instruments.reconcile_latency.at().record(monotonic_ns() - begun_ns)
        return outcome

    async def _pass(self, body: Object, heard_ns: int) -> Outcome:
        key = _key(body)
        held = self._held.setdefault(key, _Held())
        held.read_ns = max(held.read_ns, heard_ns)
        if monotonic_ns() - held.read_ns > READ_S * _NS_PER_S:
            fresh = await self._parts.api.get(FEEDSET, *key)
            if fresh is None or fresh["metadata"]["uid"] != body["metadata"]["uid"]:
                return Outcome("gone", 0.0, None)
            held.read_ns, body = monotonic_ns(), fresh
        if "deletionTimestamp" in body["metadata"]:
            return Outcome("deleting", 0.0, None)
        try:
            feedset, desired = self._rendered(body, held)
        except FeedSetError as e:
            return await self._refuse(body, e)
        return await self._bring_about(body, feedset, desired, held)

    def _rendered(self, body: Object, held: _Held) -> tuple[FeedSet, Desired]:
        """Once per generation: a FeedSet may name thousands of symbols."""
        metadata = body["metadata"]
        source = (metadata["uid"], metadata.get("generation"), metadata.get("labels"))
        if held.rendered is None or held.rendered_from != source:
            feedset = parse_feedset(body, self._parts.known)
            owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
            held.rendered = (feedset, render(feedset, owner, self._parts.surroundings))
            held.rendered_from = source
        return held.rendered

    async def _refuse(self, body: Object, error: FeedSetError) -> Outcome:
        """What runs goes on running; only another spec can help."""
        told = status.render_refused(
            body.get("status") or {}, error, generation=_generation(body), now_ns=self._parts.clock()
        )
        return await self._tell(body, told, "refused", LOOK_S)

    async def _bring_about(self, body: Object, feedset: FeedSet, desired: Desired, held: _Held) -> Outcome:
        key, before = _key(body), body.get("status") or {}
        await self._ask(key, held)
        observed = observe(self._parts.store.of(key).values(), held.words)
        health = held.memory.judge(observed, before, self._parts.clock())
        decision = decide(feedset, desired, observed, health, body["metadata"].get("annotations") or {})
        problems = await self._act(desired, decision, key)
        if feedset.spec.spool.medium is SpoolMedium.EMPTY_DIR:  # a claim's journal is taken up by the next pod
            await self._tell_losses(body, held)
        told = status.render_status(
            desired,
            decision,
            observe(self._parts.store.of(key).values(), held.words),  # as it is now
            health,
            before,
            refused=problems,
            generation=_generation(body),
            now_ns=self._parts.clock(),
        )
        held.is_settled = not problems and previous_condition(told.status, ConditionType.READY).get("status") == "True"
        return await self._tell(body, told, "problems" if problems else "done", LOOK_S if held.is_settled else SOON_S)

    async def _tell(self, body: Object, told: status.Outcome, result: str, again_s: float) -> Outcome:
        self._parts.instruments.stand(_key(body), told.status)
        try:
            return Outcome(result, again_s, await self._parts.teller.tell(body, told))
        except (Conflict, NotFound):  # the FeedSet is gone, or another one has its name: the watch will say so
            return Outcome(result, SOON_S, body)

    async def _ask(self, key: FeedSetKey, held: _Held) -> None:
        """Hear the pods when it is time; in between, what they said last holds."""
        wait_s = LOOK_S if held.is_settled else ASK_S
        if monotonic_ns() - held.asked_ns < (wait_s - 0.5) * _NS_PER_S:
            return
        pods = [obj for (kind, _, _), obj in self._parts.store.of(key).items() if kind == POD.kind]
        held.words = await self._parts.listener.ask(pods)
        held.asked_ns = monotonic_ns()

    async def _tell_losses(self, body: Object, held: _Held) -> None:
        """Once for each pod that goes with records in its journal that no store has."""
        pods = [obj for (kind, _, _), obj in self._parts.store.of(_key(body)).items() if kind == POD.kind]
        held.bereaved &= {pod["metadata"]["uid"] for pod in pods}
        for pod in pods:
            uid, text = pod["metadata"]["uid"], undrained(pod)
            if text and uid not in held.bereaved:
                held.bereaved.add(uid)
                await self._parts.events.post(body, "Warning", "Undrained", f"{pod['metadata']['name']}: {text}")

    async def _act(self, desired: Desired, decision: Decision, key: FeedSetKey) -> list[str]:
        """Write what differs; returns what was refused."""
        problems = await self._apply(decision.apply, self._parts.store.of(key), desired.owner.uid)
        await self._prune(desired, decision, self._parts.store.of(key))
        await self._tell_symbols(desired, decision, self._parts.store.of(key))
        return problems

    async def _apply(self, objects: Iterable[Object], live: Mapping[Key, Object], uid: str) -> list[str]:
        """Each object by itself: one that is refused keeps no other from its due."""
        problems = []
        for obj in objects:
            try:
                await self._parts.applier.apply(obj, live.get(key_of(obj)), uid)
            except (Refused, NameTaken, StillEnding) as e:
                logger.warning("not applied", extra={"kind": obj["kind"], "object": key_of(obj)[2], "error": str(e)})
                problems.append(str(e))
        return problems

    async def _prune(self, desired: Desired, decision: Decision, live: Mapping[Key, Object]) -> None:
        wanted = {key_of(obj) for obj in desired.objects}
        for obj in superfluous(wanted, live, desired.owner.uid):
            if decision.keeps(obj):
                continue
            try:
                await self._parts.applier.delete(obj, "superfluous")
            except Conflict:  # another object has its name by now; the watch will show it
                continue

    async def _tell_symbols(self, desired: Desired, decision: Decision, live: Mapping[Key, Object]) -> None:
        """An annotation on running pods makes the kubelet bring their mounted symbols up to date at once."""
        applied = {key_of(obj)[2] for obj in decision.apply}
        hashes = {
            (each.entry, str(each.shard)): each.symbols_hash
            for each in desired.collectors
            if each.symbols_map in applied
        }
        for pod in (obj for (kind, _, _), obj in live.items() if kind == POD.kind):
            wanted = hashes.get((label_of(pod, "feedplane.io/entry"), label_of(pod, "feedplane.io/shard")))
            annotations = pod["metadata"].get("annotations") or {}
            if wanted is None or "deletionTimestamp" in pod["metadata"] or annotations.get(SYMBOLS_HASH) == wanted:
                continue
            try:
                await self._parts.applier.annotate(pod, {SYMBOLS_HASH: wanted})
            except (Conflict, NotFound):  # the pod is gone
                continue


def _key(body: Object) -> FeedSetKey:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _generation(body: Object) -> int:
    return int(body["metadata"].get("generation", 0))
