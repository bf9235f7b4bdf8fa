"""When a collector may take over from another: every channel is carried and every book is right.

A successor is held back by these until they have been true once; afterwards they are told and decide nothing, since a venue's outage is cured by no restart.
What never comes must not hold it back for ever either, so each wait has an end: a channel that may be silent counts when it is subscribed, one that should speak
when it has been silent for its own deadline (its predecessor hears nothing either), a book after a minute on an open socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from feedplane_core.names import NS_PER_S
from feedplane_ops.health import Health

from feedplane_collector.fleet import Fleet
from feedplane_collector.pipeline import Pipeline

_BOOK_PATIENCE_NS = 60 * NS_PER_S
_SHOWN = 3


class Readiness:
    """Reads the parts; changes nothing."""

    def __init__(self, pipeline: Pipeline, fleet: Fleet, timer: Callable[[], int]) -> None:
        self._pipeline = pipeline
        self._fleet = fleet
        self._timer = timer
        self._books_due_ns: int | None = None

    def expose(self, health: Health) -> None:
        """Declare the checks."""
        health.add_arrival("sockets", self.sockets)
        health.add_arrival("channels", self.channels)
        health.add_arrival("books", self.books)

    def sockets(self) -> str | None:
        runners = self._fleet.runners
        down = [runner for runner in runners if not runner.is_connected]
        return f"{len(down)} of {len(runners)} are down: {down[0].last_error}" if down else None

    def channels(self) -> str | None:
        now_ns, halted = self._timer(), self._pipeline.halted
        waiting = [
            f"{channel.feed} of {channel.instrument}"
            for runner in self._fleet.runners
            for channel in runner.unheard(now_ns)
            if channel.instrument not in halted
        ]
        return f"{len(waiting)} not heard yet: {_few(waiting)}" if waiting else None

    def books(self) -> str | None:
        """The patience begins when all sockets are open: an outage of the venue uses none of it up."""
        if self.sockets() is not None:
            self._books_due_ns = None
            return "no socket brings them"
        unsynced = list(self._unsynced())
        now_ns = self._timer()
        if self._books_due_ns is None:
            self._books_due_ns = now_ns + _BOOK_PATIENCE_NS
        if not unsynced or now_ns >= self._books_due_ns:
            return None
        return f"{len(unsynced)} not synced yet: {_few(unsynced)}"

    def _unsynced(self) -> Iterator[str]:
        halted = self._pipeline.halted
        for name, state in self._pipeline.states.items():
            if state.sync is not None and not state.is_publishable and name not in halted:
                yield name


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
