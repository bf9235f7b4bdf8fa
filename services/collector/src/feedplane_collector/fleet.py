"""All sockets of a collector, and how a new wish changes them without touching what stays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec
from feedplane_core.adapter import Connection
from feedplane_core.instruments import Instrument
from feedplane_core.names import Feed
from feedplane_ops.ratelimit import TokenBucket

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.polling import Poller
from feedplane_collector.rest import RestClient
from feedplane_collector.runner import Parts, SocketRunner
from feedplane_collector.sockets import SocketCounts, SocketSettings
from feedplane_collector.transport import Transport

logger = logging.getLogger(__name__)

_SHARE_OF_CONNECTS = 2
"""One collector plans to use a half of the venue's connection budget: a rollout runs two for a while."""


class Fleet:
    """Runs one `SocketRunner` per planned connection and the polls beside them."""

    def __init__(
        self,
        pipeline: Pipeline,
        transport: Transport,
        rest: RestClient,
        poller: Poller,
        clock: Callable[[], int],
        timer: Callable[[], int],
        settings: SocketSettings,
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._pipeline = pipeline
        self._adapter = pipeline.adapter
        self._poller = poller
        self._on_failed = on_failed
        self.counts = SocketCounts()
        limits = self._adapter.limits
        burst = max(1, limits.connects // _SHARE_OF_CONNECTS)
        connects = TokenBucket(burst, max(1, limits.connect_window_ns // burst))
        self._parts = Parts(pipeline, transport, rest, clock, timer, settings, connects, self.counts)
        self._runners: dict[str, tuple[SocketRunner, asyncio.Task[None]]] = {}
        self._generation = 0

    @property
    def runners(self) -> list[SocketRunner]:
        return [runner for runner, _ in self._runners.values()]

    async def apply(self, instruments: list[Instrument], now_ns: int) -> None:
        """Follow exactly these instruments. Only what changed is subscribed or unsubscribed."""
        pipeline = self._pipeline
        wanted = {instrument.instrument: instrument for instrument in instruments}
        added = [i for name, i in wanted.items() if name not in pipeline.states]
        removed = pipeline.states.keys() - wanted.keys()
        self._adapter.use_instruments(instruments)
        for name, instrument in wanted.items():
            state = pipeline.states.get(name)
            if state is None or state.instrument != instrument:
                pipeline.add_instrument(instrument, now_ns)
        await self._drop(frozenset(removed))
        for name in removed:
            pipeline.status(name, None, "unsubscribed", now_ns)
            pipeline.remove_instrument(name, now_ns)
        await self._take(added)
        self._poller.set(self._adapter.polls(instruments, pipeline.subscribed))
        if added or removed:
            logger.info(
                "instruments changed", extra={"added": len(added), "removed": len(removed), "total": len(wanted)}
            )

    async def _drop(self, names: frozenset[str]) -> None:
        for key, (runner, task) in list(self._runners.items()):
            gone = tuple(c for c in runner.connection.channels if c.instrument in names)
            if len(gone) == len(runner.connection.channels):
                del self._runners[key]
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            elif gone and not await runner.change((), gone):
                runner.replace_without(gone)

    async def _take(self, added: list[Instrument]) -> None:
        if not added:
            return
        self._generation += 1
        for connection in self._adapter.subscriptions(added, self._pipeline.subscribed):
            if not await self._join(connection):
                self._start(msgspec.structs.replace(connection, key=f"{connection.key}.{self._generation}"))

    async def _join(self, connection: Connection) -> bool:
        for runner in self.runners:
            if runner.is_connected and runner.connection.url == connection.url:  # noqa: SIM102 - the second has effects
                if await runner.change(connection.channels, ()):
                    return True
        return False

    def _start(self, connection: Connection) -> None:
        runner = SocketRunner(connection, self._parts)
        task = asyncio.create_task(runner.run(), name=f"socket {connection.key}")
        task.add_done_callback(self._on_done)
        self._runners[connection.key] = (runner, task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)

    def resubscribe(self, name: str, feed: Feed) -> bool:
        """Ask for one channel anew, on whichever socket carries it."""
        return any(runner.resubscribe(name, feed) for runner in self.runners)

    def covered(self) -> tuple[int, int]:
        """(channels that have spoken, channels planned)."""
        channels = [(runner, channel) for runner in self.runners for channel in runner.connection.channels]
        return sum(runner.is_covered(channel) for runner, channel in channels), len(channels)

    async def close(self) -> None:
        """Close every socket; bounded in time."""
        tasks: Iterable[asyncio.Task[None]] = [task for _, task in self._runners.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        self._runners.clear()
