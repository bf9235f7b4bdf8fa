"""What to follow: the FeedSet's wish held against what the venue lists, at start, on every refresh, and when the symbols change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_S
from feedplane_feedset.config import CollectorConfig, symbols_hash
from feedplane_ops.backoff import Backoff
from feedplane_ops.health import Health
from feedplane_ops.metrics import Metrics
from feedplane_ops.signals import StopSignal

from feedplane_collector.fleet import Fleet
from feedplane_collector.pipeline import Pipeline
from feedplane_collector.rest import RestClient
from feedplane_collector.settings_files import SettingsFiles
from feedplane_collector.universe import Selection, UniverseFailed, fetch_universe, select

logger = logging.getLogger(__name__)

_POLL_S = 1.0
_SHOWN_REFUSALS = 8


class Wishes:
    """Follows the settings files and the venue's list. `config` is what is in force."""

    def __init__(
        self,
        config: CollectorConfig,
        files: SettingsFiles,
        pipeline: Pipeline,
        rest: RestClient,
        fleet: Fleet,
        stop: StopSignal,
        *,
        is_strict: bool,
        clock: Callable[[], int],
        timer: Callable[[], int],
    ) -> None:
        self.config = config
        self._files = files
        self._pipeline = pipeline
        self._rest = rest
        self._fleet = fleet
        self._stop = stop
        self._is_strict = is_strict
        self._clock = clock
        self._timer = timer
        self._backoff = Backoff(NS_PER_S, 60 * NS_PER_S)
        self._applied = ""
        self._refused: dict[str, str] = {}
        self._file_error: str | None = None
        self._venue_error: str | None = None

    async def follow(self) -> None:
        """Until cancelled."""
        due_ns = 0
        while True:
            if self._timer() >= due_ns:
                due_ns = self._timer() + await self._refresh()
            await asyncio.sleep(_POLL_S)
            if self._files.have_changed() and self._reload():
                due_ns = 0

    def _reload(self) -> bool:
        """Take up changed symbols. Other changes need a new process, and a bad file leaves the last good one in force."""
        try:
            config = self._files.read()
        except UsageError as e:
            logger.error("settings not usable, keeping the last ones", extra={"field": e.field, "error": str(e)})
            self._file_error = str(e)
            return False
        self._file_error = None
        if config.model_copy(update={"symbols": self.config.symbols}) != self.config:
            logger.warning("config changed in more than symbols: restart to apply the rest")
        is_news = config.symbols != self.config.symbols
        self.config = self.config.model_copy(update={"symbols": config.symbols})
        return is_news

    async def _refresh(self) -> int:
        """Fetch the universe and follow what is wanted; returns the wait until the next time in ns."""
        try:
            universe = await fetch_universe(self._pipeline.adapter, self._rest)
        except UniverseFailed as e:
            delay_ns = max(NS_PER_S // 2, self._backoff.next_delay_ns())
            logger.warning("instruments not available", extra={"error": str(e), "retry_in_s": delay_ns / NS_PER_S})
            self._venue_error = f"instruments not available: {e}"
            return delay_ns
        self._backoff.reset()
        self._venue_error = None
        selection = select(self.config, universe)
        self._refused = selection.refused
        if selection.refused and self._is_strict and not self._pipeline.states:
            logger.critical("unknown symbols", extra={"error": self._refused_text()})
            self._stop.request("unknown symbols")
            return NS_PER_S
        await self._follow(selection)
        return self.config.symbols.refresh_ns

    async def _follow(self, selection: Selection) -> None:
        wanted = symbols_hash(self.config.symbols)
        await self._fleet.apply(selection.instruments, self._clock())
        self._applied = wanted

    # What is told of it

    def status(self) -> dict[str, Any]:
        """`hash` names the selection that is followed, as the one who rendered it can compute it; empty before the first."""
        return {
            "hash": self._applied,
            "followed": sorted(self._pipeline.states),
            "refused": self._refused,
            "file_error": self._file_error,
        }

    def problems(self) -> list[str]:
        """What somebody should look at, in words."""
        return [told for told in (self._venue_error, self._file_error, self._refused_text()) if told]

    def expose(self, metrics: Metrics, health: Health) -> None:
        """Declare metrics and health checks."""
        metrics.observe_gauge(
            "refused_symbols", "Symbols that are wanted and cannot be followed.", (), lambda: {(): len(self._refused)}
        )
        metrics.observe_gauge(
            "settings_rejected",
            "1 while the settings on disk are not usable and the last good ones are in force.",
            (),
            lambda: {(): int(self._file_error is not None)},
        )
        health.add_arrival("instruments", lambda: self._venue_error or (None if self._applied else "being subscribed"))
        health.add_note("settings", lambda: self._file_error)
        health.add_note("symbols", lambda: self._refused_text() or None)

    def _refused_text(self) -> str:
        if not self._refused:
            return ""
        shown = [f"{name} {why}" for name, why in self._refused.items()]
        more = f", and {len(shown) - _SHOWN_REFUSALS} more" if len(shown) > _SHOWN_REFUSALS else ""
        told = "; ".join(shown[:_SHOWN_REFUSALS]) + more
        return f"exchanges[{self.config.entry}].symbols.include: {self.config.exchange}: {told}"
