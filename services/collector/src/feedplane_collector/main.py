"""`python -m feedplane_collector`: wires one collector together and keeps it running."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from importlib.metadata import entry_points

from feedplane_journal.lean import import_pyarrow

# Before Arrow is loaded: its own allocator keeps 4 MB more than the system's for groups of this size, and is no faster for them.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
import_pyarrow()

from feedplane_core.adapter import Adapter, Options  # noqa: E402 - pyarrow first, without numpy
from feedplane_core.cores import CORE_NAME  # noqa: E402
from feedplane_core.errors import DecodeError, FeedplaneError, JournalError, UsageError  # noqa: E402
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed  # noqa: E402
from feedplane_journal.columns import Columns  # noqa: E402
from feedplane_ops.gc import GcPacer  # noqa: E402
from feedplane_ops.health import Health, Heartbeat, beat_event_loop  # noqa: E402
from feedplane_ops.http import HealthServer  # noqa: E402
from feedplane_ops.logging import Sampler, setup_logging  # noqa: E402
from feedplane_ops.metrics import Metrics  # noqa: E402
from feedplane_ops.settings import fail_usage  # noqa: E402
from feedplane_ops.signals import StopSignal, run_service  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from feedplane_collector.clock import ReceiveClock, SteadyClock  # noqa: E402
from feedplane_collector.commit import Committer  # noqa: E402
from feedplane_collector.fleet import Fleet  # noqa: E402
from feedplane_collector.pipeline import Pipeline  # noqa: E402
from feedplane_collector.polling import Poller, SnapshotFetcher  # noqa: E402
from feedplane_collector.presence import Presence  # noqa: E402
from feedplane_collector.readiness import Readiness  # noqa: E402
from feedplane_collector.report import Report  # noqa: E402
from feedplane_collector.rest import RestClient  # noqa: E402
from feedplane_collector.sampler import Sampler as BookSampler  # noqa: E402
from feedplane_collector.settings import CollectorSettings, read_settings  # noqa: E402
from feedplane_collector.settings_files import SettingsFiles  # noqa: E402
from feedplane_collector.sockets import SocketSettings  # noqa: E402
from feedplane_collector.spool import Spool  # noqa: E402
from feedplane_collector.transport import choose_transport  # noqa: E402
from feedplane_collector.wishes import Wishes  # noqa: E402

logger = logging.getLogger(__name__)

_LOOP_STALL_NS = 30 * NS_PER_S
_SHED_GAPS_EVERY_S = 1.0
_SAMPLE_LOG_PER_MINUTE = 5
_QUARANTINED_PER_MINUTE = 100
_EXIT_USAGE = 2
_SECONDS_PER = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def interval_text(seconds: int) -> str:
    """`60` -> `1m`: kline intervals as venues and people write them."""
    for unit in ("w", "d", "h", "m", "s"):
        if seconds % _SECONDS_PER[unit] == 0:
            return f"{seconds // _SECONDS_PER[unit]}{unit}"
    raise ValueError(f"no interval of {seconds} s")


def load_adapter(exchange: str, options: Options) -> Adapter:
    """The venue's adapter by entry point. Raises: UsageError if it is not installed."""
    found = {point.name: point for point in entry_points(group="feedplane.adapters")}
    if exchange not in found:
        raise UsageError(
            "exchange", f"no adapter for {exchange!r} is installed", f"installed: {', '.join(sorted(found))}"
        )
    adapter: Adapter = found[exchange].load()(options)
    return adapter


class Collector:
    """One collector process: parts, and the tasks that move them."""

    def __init__(self, settings: CollectorSettings, stop: StopSignal) -> None:
        self._settings = settings
        files = SettingsFiles(settings.config, settings.symbols)
        self._config = config = files.read()
        self._stop = stop
        self._clock = ReceiveClock()
        self._timer = SteadyClock()
        tls = ssl.create_default_context(cafile=settings.ca_file)
        self._adapter = load_adapter(
            config.exchange,
            Options(
                endpoints=settings.endpoints,
                kline_intervals=tuple(interval_text(seconds) for seconds in config.kline_intervals_s),
                open_interest_every_ns=config.cadence.open_interest_ns,
                switches=settings.switches.get(config.exchange, {}),
            ),
        )
        self._metrics = Metrics(
            "collector",
            settings.instance,
            otlp_endpoint=settings.otlp_endpoint,
            otlp_headers=settings.otlp_headers(),
            otlp_interval_s=settings.otlp_interval_s,
        )
        self._health = Health()
        self._server = HealthServer(self._health, self._metrics.render)
        self._columns = Columns(config.exchange)
        self._pipeline = Pipeline(self._adapter, config.feeds, self._columns, self._on_rejected)
        self._spool = Spool(config, settings.mode, self._pipeline, self._clock, self._timer)
        self._committer = Committer(
            self._pipeline.keeper, self._columns, self._spool, self._timer, settings.commit_interval_ms * NS_PER_MS
        )
        self._rest = RestClient(
            self._adapter.limits,
            self._clock,
            tls,
            self._metrics.counter("rest_answers_total", "REST answers.", ("status",)),
            self._timer,
        )
        self._poller = Poller(self._pipeline, self._rest, self._clock, self._on_task_failed)
        self._fleet = Fleet(
            self._pipeline,
            choose_transport(settings.socket_library, self._clock, tls),
            self._rest,
            self._poller,
            self._clock,
            self._timer,
            SocketSettings(
                stale_after_ns=config.connection.stale_after_ns,
                rotate_before_ns=config.connection.rotate_before_ns,
                overlap_ns=config.connection.overlap_ns,
            ),
            self._on_task_failed,
        )
        self._sampler = BookSampler(
            self._pipeline,
            {
                Feed.OB_TOP5: config.cadence.ob_top5_ns,
                Feed.OB_TOP20: config.cadence.ob_top20_ns,
                Feed.ADVANCED: config.cadence.advanced_ns,
            },
        )
        self._pipeline.books.on_cut = self._sampler.last_look
        self._wishes = Wishes(
            config,
            files,
            self._pipeline,
            self._rest,
            self._fleet,
            stop,
            is_strict=settings.strict_symbols,
            clock=self._clock,
            timer=self._timer,
        )
        self._readiness = Readiness(self._pipeline, self._fleet, self._timer)
        self._presence = Presence(config, self._pipeline, self._spool, self._health, self._clock)
        self._report = Report(
            config.name, settings.mode, self._pipeline, self._fleet, self._committer, self._wishes, self._clock
        )
        self._decode_errors = self._metrics.counter(
            "decode_errors_total", "Frames that could not be decoded.", ("exchange", "code")
        )
        self._metrics.observe_gauge(
            "receive_clock_ahead_seconds",
            "Lead of receive stamps over the wall clock; above 0 after it was set back.",
            (),
            lambda: {(): self._clock.ahead_ns() / NS_PER_S},
        )
        self._log_sampler = Sampler(_SAMPLE_LOG_PER_MINUTE)
        self._quarantine_sampler = Sampler(_QUARANTINED_PER_MINUTE)
        self._gc = GcPacer()
        self._failure: BaseException | None = None

    async def run(self) -> int:
        """Until stopped; 0 after a clean stop, 2 when strict and the venue does not know a symbol."""
        heartbeat = Heartbeat(_LOOP_STALL_NS)
        self._health.add_liveness("event_loop", heartbeat.check)
        self._report.expose(self._metrics)
        self._wishes.expose(self._metrics, self._health)
        self._readiness.expose(self._health)
        self._health.add_readiness("journal", lambda: "disk full" if self._committer.disk_full else None)
        self._spool.open()
        await self._server.start(self._settings.metrics_host, self._settings.metrics_port)
        self._server.route("/status", self._report.status)
        logger.info(
            "collector started",
            extra={
                "exchange": self._config.exchange,
                "feedset": self._config.feedset,
                "port": self._server.port,
                "mode": self._settings.mode,
                "core": CORE_NAME,
                "socket_library": self._settings.socket_library,
            },
        )
        fetcher = SnapshotFetcher(self._pipeline, self._rest, self._fleet.resubscribe, self._on_task_failed)
        async with self._rest:
            commit = asyncio.create_task(self._committer.run(), name="commit")
            tasks = [
                asyncio.create_task(beat_event_loop(heartbeat)),
                asyncio.create_task(self._sample(), name="sample"),
                asyncio.create_task(self._shed_gaps(), name="shed gaps"),
                asyncio.create_task(fetcher.run(), name="snapshots"),
                asyncio.create_task(self._wishes.follow(), name="wishes"),
                asyncio.create_task(self._presence.run(), name="presence"),
            ]
            for task in (commit, *tasks):
                task.add_done_callback(self._on_done)
            self._gc.freeze()
            await self._stop.wait()
            await self._close(commit, tasks)
        if self._failure is not None:
            raise self._failure
        return _EXIT_USAGE if self._stop.reason == "unknown symbols" else 0

    async def _close(self, commit: asyncio.Task[None], tasks: list[asyncio.Task[None]]) -> None:
        now_ns = self._clock()
        await self._poller.close()
        await self._fleet.close()
        for task in tasks:
            task.cancel()
        self._committer.finish()
        await asyncio.gather(commit, *tasks, return_exceptions=True)
        for name in self._pipeline.states:
            self._pipeline.status(name, None, "stopped", now_ns)
        self._presence.end()
        self._pipeline.books.let_go_of_held()
        self._pipeline.keeper.shed_gaps()
        try:
            await self._committer.flush()
        except JournalError as e:
            self._on_task_failed(e)
        self._spool.write_status(self._report.status())
        self._spool.close()
        logger.info("collector stopped", extra={"frames": self._fleet.counts.frames})
        await self._server.stop()
        self._metrics.close()

    async def _sample(self) -> None:
        finest_ns = min(
            self._config.cadence.ob_top5_ns, self._config.cadence.ob_top20_ns, self._config.cadence.advanced_ns
        )
        every_s = min(max(finest_ns, 10 * NS_PER_MS), 100 * NS_PER_MS) / NS_PER_S
        while True:
            await asyncio.sleep(every_s)
            self._committer.watch_pressure()
            self._sampler.sample(self._clock(), self._timer())
            self._gc.between_batches()

    async def _shed_gaps(self) -> None:
        while True:
            await asyncio.sleep(_SHED_GAPS_EVERY_S)
            if not self._committer.disk_full:
                self._pipeline.keeper.shed_gaps()

    def _on_rejected(self, error: DecodeError, frame: bytes, feed: Feed | None, recv_ns: int) -> None:
        self._decode_errors.add((self._config.exchange, error.code))
        if self._quarantine_sampler.allow(error.code):  # a flood of bad frames must not become a flood of files
            self._spool.quarantine(error, frame, recv_ns)
        if self._log_sampler.allow(error.code):
            logger.warning(
                "frame not decoded",
                extra={"channel": error.channel, "error_code": error.code, "feed": feed, "frame": frame[:512]},
            )

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_task_failed(error)

    def _on_task_failed(self, error: BaseException) -> None:
        """A bug or a broken disk: the process ends, and its supervisor starts it anew."""
        if self._failure is None:
            self._failure = error
        self._stop.request(f"task failed: {type(error).__name__}")


def main(argv: list[str] | None = None) -> int:
    """Exit code of the process."""
    try:
        settings = read_settings(sys.argv[1:] if argv is None else argv)
    except ValidationError as e:
        fail_usage(e)
    setup_logging("collector", settings.log_level, instance=settings.instance)

    async def run(stop: StopSignal) -> int:
        try:
            return await Collector(settings, stop).run()
        except FeedplaneError as e:
            logger.critical("collector failed", extra={"error": str(e)})
            return _EXIT_USAGE if isinstance(e, UsageError) else 1

    return run_service(run)
