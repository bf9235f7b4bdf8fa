"""What a collector says of itself: the `/status` document and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from feedplane_core.cores import CORE_NAME
from feedplane_core.names import Feed
from feedplane_ops.metrics import Metrics

from feedplane_collector.commit import Committer
from feedplane_collector.fleet import Fleet
from feedplane_collector.pipeline import Pipeline
from feedplane_collector.state import channel_key
from feedplane_collector.wishes import Wishes

_FEEDS = frozenset(Feed)
_COUNTS = ("received", "normalised", "rejected", "ignored", "journalled", "shed", "gaps", "duplicates")


class Report:
    """Reads the parts; changes nothing but the book account, which it settles first."""

    def __init__(
        self,
        name: str,
        mode: str,
        pipeline: Pipeline,
        fleet: Fleet,
        committer: Committer,
        wishes: Wishes,
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._mode = mode
        self._pipeline = pipeline
        self._fleet = fleet
        self._committer = committer
        self._wishes = wishes
        self._clock = clock

    def status(self) -> dict[str, Any]:
        """Everything, as JSON."""
        pipeline = self._pipeline
        pipeline.books.settle_account()
        now_ns = self._clock()
        synced, books = self.books()
        covered, planned = self._fleet.covered()
        return {
            "name": self._name,
            "exchange": pipeline.adapter.exchange,
            "mode": self._mode,
            "core": CORE_NAME,
            "feeds": {
                feed: {
                    **{key: getattr(account, key) for key in _COUNTS},
                    "buffered": account.buffered,
                    "held": account.held,
                    "open_gaps": pipeline.accounts.open_gaps(Feed(feed)) if feed in _FEEDS else 0,
                    "state": self.feed_state(feed),
                    "lag_ns": self._lag_ns(feed, now_ns),
                }
                for feed, account in pipeline.accounts.items()
            },
            "requested": sorted(pipeline.requested),
            "instruments": len(pipeline.states),
            "symbols": self._wishes.status(),
            "books": {"synced": synced, "total": books},
            "channels": {"spoken": covered, "planned": planned},
            "sockets": {
                "connected": sum(runner.is_connected for runner in self._fleet.runners),
                "planned": len(self._fleet.runners),
                "connects": self._fleet.counts.connects,
                "disconnects": self._fleet.counts.disconnects,
                "rotations": self._fleet.counts.rotations,
                "frames": self._fleet.counts.frames,
                "bytes": self._fleet.counts.bytes,
                "errors": sorted({runner.last_error for runner in self._fleet.runners if runner.last_error}),
            },
            "journal": {
                "groups": self._committer.groups,
                "group_p99_ns": self._committer.group_ns.percentile_ns(0.99),
                "pressure": pipeline.keeper.pressure.name.lower(),
                "disk_full": self._committer.disk_full,
            },
            "problems": self._wishes.problems(),
        }

    def books(self) -> tuple[int, int]:
        """(synced, all)."""
        syncs = [state.sync for state in self._pipeline.states.values() if state.sync is not None]
        return sum(sync.is_synced for sync in syncs), len(syncs)

    def feed_state(self, feed: str) -> str:
        """`live`, or the worst thing that holds for a part of it: `disconnected`, `stale`, `resync`, `waiting`."""
        channels = [
            (runner, channel)
            for runner in self._fleet.runners
            for channel in runner.connection.channels
            if channel.feed == feed
        ]
        if channels:
            if not all(runner.is_connected for runner, _ in channels):
                return "disconnected"
            if any(channel.feed == feed for runner in self._fleet.runners for channel in runner.stale_channels()):
                return "stale"
            if not any(runner.is_covered(channel) for runner, channel in channels):
                return "waiting"
        if feed == Feed.OB_DIFFS:
            synced, books = self.books()
            return "live" if synced == books else "resync"
        return "live"

    def _lag_ns(self, feed: str, now_ns: int) -> int | None:
        """Age of the newest event of the feed over all its instruments."""
        newest = 0
        prefix = channel_key("", Feed(feed)) if feed in _FEEDS else None
        if prefix is None:
            return None
        for runner in self._fleet.runners:
            for key, at_ns in runner.seen().items():
                if at_ns > newest and key.startswith(prefix):
                    newest = at_ns
        return now_ns - newest if newest else None

    def expose(self, metrics: Metrics) -> None:
        """Declare metrics."""
        exchange = self._pipeline.adapter.exchange
        for key in _COUNTS:
            metrics.observe_counter(
                f"{key}_events_total",
                f"Events {key}, per exchange and feed.",
                ("exchange", "feed"),
                lambda key=key: self._per_feed(key),  # type: ignore[misc]
            )
        for key in ("buffered", "held"):
            metrics.observe_gauge(
                f"{key}_events",
                f"Events {key} now.",
                ("exchange", "feed"),
                lambda key=key: self._per_feed(key),  # type: ignore[misc]
            )
        metrics.observe_gauge(
            "imbalance_events",
            "received - (normalised + rejected + ignored + held), or normalised - (journalled + shed + buffered): 0.",
            ("exchange", "feed"),
            self._imbalances,
        )
        metrics.observe_gauge("open_gaps", "Holes without an end yet.", ("exchange", "feed"), self._open_gaps)
        metrics.observe_gauge("books_synced", "Books in sync.", ("exchange",), lambda: {(exchange,): self.books()[0]})
        metrics.observe_gauge("books", "Books followed.", ("exchange",), lambda: {(exchange,): self.books()[1]})
        metrics.observe_gauge(
            "sockets_connected",
            "Sockets that are open.",
            ("exchange",),
            lambda: {(exchange,): sum(r.is_connected for r in self._fleet.runners)},
        )
        for key in (
            "connects",
            "connect_failures",
            "disconnects",
            "rotations",
            "stale_channels",
            "resubscribes",
            "unanswered_pings",
        ):
            metrics.observe_counter(
                f"{key}_total",
                f"Socket {key.replace('_', ' ')}.",
                ("exchange",),
                lambda key=key: {(exchange,): getattr(self._fleet.counts, key)},  # type: ignore[misc]
            )
        metrics.observe_gauge(
            "journal_pressure",
            "0 none, 1 diffs shed, 2 L1 shed, 3 all shed.",
            (),
            lambda: {(): int(self._pipeline.keeper.pressure)},
        )
        metrics.observe_gauge(
            "core", "1 for the core that runs: native or python.", ("core",), lambda: {(CORE_NAME,): 1}
        )

    def _per_feed(self, key: str) -> dict[tuple[str, str], float]:
        self._pipeline.books.settle_account()
        exchange = self._pipeline.adapter.exchange
        return {(exchange, feed): getattr(account, key) for feed, account in self._pipeline.accounts.items()}

    def _imbalances(self) -> dict[tuple[str, str], float]:
        self._pipeline.books.settle_account()
        exchange = self._pipeline.adapter.exchange
        return {(exchange, feed): account.imbalance() for feed, account in self._pipeline.accounts.items()}

    def _open_gaps(self) -> dict[tuple[str, str], float]:
        exchange = self._pipeline.adapter.exchange
        return {(exchange, feed): self._pipeline.accounts.open_gaps(feed) for feed in self._pipeline.requested}
