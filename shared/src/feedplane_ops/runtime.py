"""What every service puts around its work: metrics, health, and the port that shows both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from feedplane_ops.health import Health, Heartbeat, beat_event_loop
from feedplane_ops.http import HealthServer
from feedplane_ops.metrics import Metrics
from feedplane_ops.settings import ServiceSettings

logger = logging.getLogger(__name__)

LOOP_BLOCKED_NS: Final = 15 * 1_000_000_000
"""An event loop that has not turned for so long is dead to its sockets: venues and stores have hung up by then."""


class Runtime(NamedTuple):
    """Declare instruments on `metrics`, checks on `health`, and JSON routes on `server` (`server.route`)."""

    metrics: Metrics
    health: Health
    server: HealthServer


@asynccontextmanager
async def service_runtime(component: str, settings: ServiceSettings) -> AsyncIterator[Runtime]:
    """Serve health and metrics of `component` for as long as the block runs, and push the last metrics at its end.

    Liveness watches the event loop; its lag is the latency `feedplane_<component>_loop_lag_seconds`.

    Raises:
        OSError: the metrics port is taken.
        UsageError: the OTLP headers file is not usable.
    """
    metrics = Metrics(
        component,
        settings.instance,
        otlp_endpoint=settings.otlp_endpoint,
        otlp_headers=settings.otlp_headers(),
        otlp_interval_s=settings.otlp_interval_s,
    )
    health = Health()
    heartbeat = Heartbeat(LOOP_BLOCKED_NS)
    health.add_liveness("event loop", heartbeat.check)
    lag = metrics.latency("loop_lag_seconds", "How late the event loop came round.").at()
    server = HealthServer(health, metrics.render)
    beating = asyncio.create_task(beat_event_loop(heartbeat, on_lag=lag.record), name="event loop heartbeat")
    try:
        port = await server.start(settings.metrics_host, settings.metrics_port)
        logger.info("serving health and metrics", extra={"host": settings.metrics_host, "port": port})
        yield Runtime(metrics, health, server)
    finally:
        beating.cancel()
        await server.stop()
        await asyncio.to_thread(metrics.close)
