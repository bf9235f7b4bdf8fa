"""The collector's sign of life, as rows of the journal: by it a successor with a journal of its own knows from when on something is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from feedplane_core.names import NS_PER_S
from feedplane_core.succession import ALIVE, ENDED, HEARTBEAT_NS, Speaker
from feedplane_feedset.config import CollectorConfig
from feedplane_ops.health import Health

from feedplane_collector.pipeline import Pipeline
from feedplane_collector.spool import Spool

_LOOK_S = 0.1


class Presence:
    """Silent until the collector may take over from another."""

    def __init__(
        self, config: CollectorConfig, pipeline: Pipeline, spool: Spool, health: Health, clock: Callable[[], int]
    ) -> None:
        self._config = config
        self._pipeline = pipeline
        self._spool = spool
        self._health = health
        self._clock = clock
        self._has_spoken = False

    async def run(self) -> None:
        """Speak as soon as the collector is ready, and from then on whatever becomes of the venue. Ends by cancellation."""
        while not self._health.has_arrived():
            await asyncio.sleep(_LOOK_S)
        while True:
            self._say(ALIVE)
            self._has_spoken = True
            await asyncio.sleep(HEARTBEAT_NS / NS_PER_S)

    def end(self) -> None:
        """The last word, after the sockets have been closed."""
        if self._has_spoken:
            self._say(ENDED)

    def _say(self, status: str) -> None:
        config = self._config
        speaker = Speaker(
            f"{config.feedset}/{config.entry}", config.shard, config.shards, self._spool.journal_id, config.feeds
        )
        self._pipeline.shard_status(status, self._clock(), speaker.detail())
