"""The operator process: `python -m feedplane_operator`, configured by `FEEDPLANE_OPERATOR_*`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from time import time_ns
from typing import Any, Final, cast

import aiohttp
import kopf
from feedplane_ops.logging import setup_logging
from feedplane_ops.runtime import Runtime, service_runtime
from feedplane_ops.signals import EXIT_OK, StopSignal, run_service
from feedplane_ops.version import __version__

from feedplane_operator.api import Api
from feedplane_operator.applying import Applier
from feedplane_operator.connection import Connection, connect, login
from feedplane_operator.errors import ApiError
from feedplane_operator.events import Events
from feedplane_operator.farewell import Farewell
from feedplane_operator.fleet import Fleet
from feedplane_operator.handlers import configured, plain, register
from feedplane_operator.informer import Informer
from feedplane_operator.instruments import Instruments
from feedplane_operator.kinds import FEEDSET, WATCHED
from feedplane_operator.naming import MANAGED_BY
from feedplane_operator.orphans import sweep
from feedplane_operator.pods import COLLECTOR_PORT, WRITER_PORTS
from feedplane_operator.reconcile import Parts, Reconciler
from feedplane_operator.settings import OperatorSettings
from feedplane_operator.store import Store
from feedplane_operator.telling import Teller
from feedplane_operator.venues import known_exchanges
from feedplane_operator.words import Listener

logger = logging.getLogger(__name__)

COMPONENT: Final = "operator"
AGENT: Final = f"feedplane-operator/{__version__}"
SELECTOR: Final = f"app.kubernetes.io/managed-by={MANAGED_BY}"
STATUS_PORTS: Final = {"collector": COLLECTOR_PORT, **{f"writer-{sink}": port for sink, port in WRITER_PORTS.items()}}
STUCK_NS: Final = 600 * 1_000_000_000
"""Every call to the API server ends or gives up in time: a pass that still runs after this will not end."""
_ASK_AGAIN_S: Final = 2.0


def main() -> int:
    """Run until told to stop; returns the exit code."""
    settings = OperatorSettings.from_environment()
    setup_logging(COMPONENT, settings.log_level, instance=settings.instance).addFilter(plain)
    if settings.log_level != "debug":
        logging.getLogger("kopf").setLevel(logging.WARNING)  # else a line for each event of each FeedSet
    return run_service(lambda stop: _run(settings, stop))


async def _run(settings: OperatorSettings, stop: StopSignal) -> int:
    kopf_settings = configured()
    connection = connect(os.environ, kopf_settings)
    async with service_runtime(COMPONENT, settings) as runtime:
        instruments = Instruments(runtime.metrics)
        async with (
            connection.session(instruments.count_call, AGENT) as to_server,
            aiohttp.ClientSession(headers={"User-Agent": AGENT}) as to_pods,
        ):
            operator = _Operator(settings, connection, runtime, instruments, to_server, to_pods)
            return await operator.run(stop, kopf_settings)


class _Operator:
    """All parts, wired."""

    def __init__(
        self,
        settings: OperatorSettings,
        connection: Connection,
        runtime: Runtime,
        instruments: Instruments,
        to_server: aiohttp.ClientSession,
        to_pods: aiohttp.ClientSession,
    ) -> None:
        self._settings = settings
        self._scopes: Sequence[str | None] = settings.namespaces or (None,)
        self._api = Api(connection.server, to_server)
        self._store = Store()
        self._applier = Applier(self._api, self._store, instruments)
        events = Events(self._api, settings.instance, time_ns)
        teller = Teller(self._api, events)
        parts = Parts(
            api=self._api,
            store=self._store,
            applier=self._applier,
            listener=Listener(to_pods, STATUS_PORTS),
            teller=teller,
            events=events,
            instruments=instruments,
            known=known_exchanges(),
            surroundings=settings.surroundings(),
            clock=time_ns,
        )
        reconciler = Reconciler(parts)
        self._fleet = Fleet(reconciler.run, reconciler.forget)
        self._store.on_change = self._fleet.wake
        self._ready = asyncio.Event()
        self._registry = register(
            self._fleet,
            Farewell(self._applier, self._store, teller, events, time_ns),
            login(connection, instruments.count_call, AGENT),
        )
        self._informers = [
            Informer(self._api, kind, scope, SELECTOR, self._store) for scope in self._scopes for kind in WATCHED
        ]
        instruments.watch_store(self._store)
        runtime.health.add_liveness("passes", self._stuck)
        runtime.health.add_readiness("watches", self._blind)

    async def run(self, stop: StopSignal, kopf_settings: kopf.OperatorSettings) -> int:
        """Until the process is told to stop."""
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.run(), name=f"watch {each.name}") for each in self._informers]
            try:
                if await self._is_prepared(stop):
                    await kopf.operator(
                        registry=self._registry,
                        settings=kopf_settings,
                        clusterwide=self._settings.is_cluster_wide,
                        namespaces=self._settings.namespaces,
                        standalone=True,
                        # else Kopf asks for the user's name, and a pod's uid has none
                        identity=cast("Any", self._settings.instance),
                        ready_flag=self._ready,
                    )
            finally:
                for task in following:
                    task.cancel()
        return EXIT_OK

    async def _is_prepared(self, stop: StopSignal) -> bool:
        """Know everything that is there, then what should be: a FeedSet is never judged by half a picture."""
        listed = asyncio.gather(*(each.listed.wait() for each in self._informers))
        while not listed.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(listed)
            if stop.is_set():
                listed.cancel()
                return False
        living = await self._living(stop)
        if living is None:
            return False
        await sweep(self._applier, self._store.all(), living)
        return True

    async def _living(self, stop: StopSignal) -> set[str] | None:
        """uids of all FeedSets; waits until their definition is installed. None: told to stop."""
        while not stop.is_set():
            try:
                listings = [await self._api.list(FEEDSET, scope, "") for scope in self._scopes]
                return {item["metadata"]["uid"] for listing in listings for item in listing.items}
            except ApiError as e:
                logger.warning("feedsets cannot be listed: is the CRD installed?", extra={"error": str(e)})
                await stop.sleep(_ASK_AGAIN_S)
        return None

    def _stuck(self) -> str | None:
        stuck_ns = self._fleet.stuck_for_ns()
        return f"one has been running for {stuck_ns / 1e9:.0f} s" if stuck_ns > STUCK_NS else None

    def _blind(self) -> str | None:
        problems = [f"{each.name}: {each.problem or 'not listed yet'}" for each in self._informers if each.is_blind]
        if problems:
            return "; ".join(problems)
        return None if self._ready.is_set() else "not started yet"
