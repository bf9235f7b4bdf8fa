"""When silence means death: per channel, against its own deadline. A pong proves nothing. Pure: times are arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from feedplane_core.adapter import Channel
from feedplane_core.names import NS_PER_S, Feed

_PATIENCE = 8
"""A channel that speaks every n seconds on average may be silent for so many times n: thin instruments are not dead ones."""
_MAX_DEADLINE_NS = 300 * NS_PER_S
_MAX_RETRY_NS = 60 * NS_PER_S


class _Watch(msgspec.Struct):
    """What is known of one channel on one socket."""

    channel: Channel
    deadline_ns: int
    since_ns: int  # last event, or when we began to wait
    mean_gap_ns: int = 0
    silences: int = 0  # deadlines missed in a row
    last_seen_ns: int = 0


class Verdicts(msgspec.Struct, frozen=True):
    """Channels whose deadline has just passed, and whether nothing at all comes through the socket."""

    stale: tuple[Channel, ...]
    recovered: tuple[Channel, ...]
    all_silent: bool


class StalenessWatch:
    """Watches the channels of one live socket.

    `stale_after_ns` replaces a channel's own deadline where it is longer than what the FeedSet wants; `halted` instruments are never stale.
    """

    def __init__(self, channels: Iterable[Channel], stale_after_ns: int, opened_ns: int) -> None:
        self._limit_ns = stale_after_ns
        self._watches: dict[tuple[str, Feed], _Watch] = {}
        self.add(channels, opened_ns)

    def add(self, channels: Iterable[Channel], now_ns: int) -> None:
        for channel in channels:
            if channel.stale_after_ns is not None:
                deadline = max(channel.stale_after_ns, self._limit_ns)
                self._watches[channel.instrument, channel.feed] = _Watch(channel, deadline, now_ns)

    def remove(self, channels: Iterable[Channel]) -> None:
        for channel in channels:
            self._watches.pop((channel.instrument, channel.feed), None)

    def stale_channels(self) -> list[Channel]:
        return [w.channel for w in self._watches.values() if w.silences]

    def check(self, seen: Mapping[tuple[str, Feed], int], halted: frozenset[str], now_ns: int) -> Verdicts:
        """`seen` is the receive time of the last event per channel."""
        stale: list[Channel] = []
        recovered: list[Channel] = []
        watched = silent = 0
        for key, watch in self._watches.items():
            at_ns = seen.get(key, 0)
            if at_ns > watch.last_seen_ns:
                if watch.silences:
                    recovered.append(watch.channel)
                self._note(watch, at_ns)
            if key[0] in halted:
                watch.since_ns = now_ns
                continue
            watched += 1
            waited = now_ns - watch.since_ns
            silent += waited > watch.deadline_ns
            if waited > self._patience(watch):
                watch.silences += 1
                stale.append(watch.channel)
        return Verdicts(tuple(stale), tuple(recovered), all_silent=watched > 0 and silent == watched)

    def _note(self, watch: _Watch, at_ns: int) -> None:
        if watch.last_seen_ns:
            gap = at_ns - watch.last_seen_ns
            watch.mean_gap_ns = gap if not watch.mean_gap_ns else (7 * watch.mean_gap_ns + gap) // 8
        watch.last_seen_ns = watch.since_ns = at_ns
        watch.silences = 0

    def _patience(self, watch: _Watch) -> int:
        """The deadline, stretched for thin instruments and, after each missed one, doubled: no storm over a dead symbol."""
        patience = max(watch.deadline_ns, min(_PATIENCE * watch.mean_gap_ns, _MAX_DEADLINE_NS))
        if not watch.silences:
            return patience
        longest = max(patience, _MAX_RETRY_NS)
        return patience + sum(min(patience << n, longest) for n in range(min(watch.silences, 64)))
