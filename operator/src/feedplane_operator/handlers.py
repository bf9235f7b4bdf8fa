"""Where Kopf meets the operator: it watches FeedSets, holds their finalizer and logs in. All decisions are made
elsewhere, so that it can be replaced.

No create, update or resume handlers: every event wakes the FeedSet's worker, which looks at everything there is. So
nothing of the specification has to be kept in an annotation to tell what changed (`NoDiffBase`), an annotation whose
size would bound the FeedSet's, and Kopf writes nothing but its finalizer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any, Final

import kopf

from feedplane_operator.errors import ApiError
from feedplane_operator.farewell import Farewell
from feedplane_operator.fleet import Fleet
from feedplane_operator.kinds import FEEDSET

PREFIX: Final = "operator.feedplane.io"
RETRY_S: Final = 5.0

_KIND: Final = (FEEDSET.group, FEEDSET.api_version.rpartition("/")[2], FEEDSET.plural)


class NoDiffBase(kopf.DiffBaseStorage):
    """Every FeedSet is as it was: what to do is found by looking, not by comparing with the last time."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Nothing is essential."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing was."""
        return kopf.BodyEssence()

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is kept."""


class Patience:
    """Delays between the tries of one request, in seconds, without end: an API server that is away for long is no
    reason for the operator to end as well, and 8 s after it is back the operator is too.
    """

    def __iter__(self) -> Iterator[float]:
        return chain((0.5, 1.0, 2.0, 4.0), repeat(8.0))


def configured() -> kopf.OperatorSettings:
    """Kopf's settings. Bounds of time are such that a dead connection is noticed within a minute and a half."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = f"{PREFIX}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=PREFIX)
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = Patience()
    settings.queueing.error_delays = (1, 2, 5, 10, 20, 30)
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.execution.max_workers = 4
    return settings


def plain(record: logging.LogRecord) -> bool:
    """Kopf's lines in the words of ours: the object by its name, and not all of Kopf's settings in each."""
    reference = record.__dict__.pop("k8s_ref", None)
    record.__dict__.pop("settings", None)
    record.__dict__.pop("k8s_skip", None)
    if isinstance(reference, dict):
        record.__dict__["feedset"] = reference.get("name")
        record.__dict__["namespace"] = reference.get("namespace")
    return True


def register(fleet: Fleet, farewell: Farewell, login: Callable[..., Any]) -> kopf.OperatorRegistry:
    """The handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**kwargs: Any) -> kopf.AiohttpSession:
        session: kopf.AiohttpSession = await login(**kwargs)
        return session

    @kopf.on.cleanup(registry=registry)
    async def ended(**_: Any) -> None:
        await fleet.stop()

    @kopf.on.event(*_KIND, registry=registry)
    async def noticed(event: kopf.RawEvent, **_: Any) -> None:
        body: dict[str, Any] = dict(event["object"])
        if event["type"] == "DELETED":
            fleet.forget((body["metadata"]["namespace"], body["metadata"]["name"]))
        else:
            fleet.notice(body)

    @kopf.on.delete(*_KIND, registry=registry, id="farewell")
    async def deleted(body: kopf.Body, **_: Any) -> None:
        await fleet.close((body["metadata"]["namespace"], body["metadata"]["name"]))
        try:
            await farewell.run(dict(body))
        except ApiError as e:
            raise kopf.TemporaryError(str(e), delay=RETRY_S) from e

    return registry
