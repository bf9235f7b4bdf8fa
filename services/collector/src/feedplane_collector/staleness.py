"""When silence means death: per channel, against its own deadline. A pong proves nothing. Pure: times are arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from feedplane_core.adapter import Channel
from feedplane_core.names import NS_PER_S

from feedplane_collector.state import channel_key

_PATIENCE = 8
"""A channel that speaks every n seconds on average may be silent for so many times n: thin instruments are not dead ones."""
_MAX_DEADLINE_NS = 300 * NS_PER_S
_MAX_RETRY_NS = 60 * NS_PER_S


class _Watch(msgspec.Struct):
    """What is known of one channel."""

    channel: Channel
    deadline_ns: int | None  # None: it may be silent for ever
    since_ns: int  # last event, or when we began to wait
    mean_gap_ns: int = 0
    silences: int = 0  # deadlines missed in a row
    stamp: int = 0  # receive time of the last event: by another clock, told apart only
    is_cut: bool = False  # no socket has carried it since


class Verdicts(msgspec.Struct, frozen=True):
    """Channels whose deadline has just passed, those that speak again, and whether nothing at all comes through the socket."""

    stale: tuple[Channel, ...]
    recovered: tuple[Channel, ...]
    all_silent: bool


class StalenessWatch:
    """Watches the channels of one planned connection.

    `at_least_ns` lengthens every channel's own deadline that is shorter (what the FeedSet grants); `halted` instruments are never stale.
    Times are of the timer's clock. What was heard comes with receive stamps, of a clock that may be stepped: they only say that something is new.
    """

    def __init__(self, channels: Iterable[Channel], at_least_ns: int, opened_ns: int) -> None:
        self._at_least_ns = at_least_ns
        self._watches: dict[str, _Watch] = {}
        self._heard_ns = opened_ns  # when anything at all was heard last
        self.add(channels, opened_ns)

    def add(self, channels: Iterable[Channel], now_ns: int) -> None:
        for channel in channels:
            own_ns = channel.stale_after_ns
            deadline_ns = None if own_ns is None else max(own_ns, self._at_least_ns)
            self._watches[channel_key(channel.instrument, channel.feed)] = _Watch(channel, deadline_ns, now_ns)

    def remove(self, channels: Iterable[Channel]) -> None:
        for channel in channels:
            self._watches.pop(channel_key(channel.instrument, channel.feed), None)

    def cut(self, channels: Iterable[Channel], now_ns: int) -> None:
        """No socket carries these any more: waiting begins anew, and their next event counts as a recovery."""
        for channel in channels:
            watch = self._watches.get(channel_key(channel.instrument, channel.feed))
            if watch is not None:
                watch.is_cut = True
                watch.since_ns = now_ns

    def stale_channels(self) -> list[Channel]:
        return [w.channel for w in self._watches.values() if w.silences]

    def check(self, seen: Mapping[str, int], halted: frozenset[str], now_ns: int) -> Verdicts:
        """`seen` is the receive stamp of the last event per `channel_key`."""
        stale: list[Channel] = []
        recovered: list[Channel] = []
        watched = silent = 0
        for key, watch in self._watches.items():
            stamp = seen.get(key, 0)
            if stamp not in (0, watch.stamp):
                if watch.silences or watch.is_cut:
                    recovered.append(watch.channel)
                self._note(watch, stamp, now_ns)
            if watch.deadline_ns is None:
                continue
            if watch.channel.instrument in halted:
                watch.since_ns = now_ns
                continue
            watched += 1
            waited = now_ns - watch.since_ns
            silent += waited > watch.deadline_ns
            if waited > _patience(watch, watch.deadline_ns):
                watch.silences += 1
                stale.append(watch.channel)
        nothing_heard = now_ns - self._heard_ns > self._at_least_ns
        return Verdicts(tuple(stale), tuple(recovered), all_silent=nothing_heard and 0 < watched == silent)

    def _note(self, watch: _Watch, stamp: int, now_ns: int) -> None:
        if watch.stamp and not watch.is_cut:
            gap = now_ns - watch.since_ns
            watch.mean_gap_ns = gap if not watch.mean_gap_ns else (7 * watch.mean_gap_ns + gap) // 8
        watch.stamp = stamp
        watch.since_ns = self._heard_ns = now_ns
        watch.silences = 0
        watch.is_cut = False


def _patience(watch: _Watch, deadline_ns: int) -> int:
    """The deadline, stretched for thin instruments and, after each missed one, doubled: no storm over a dead symbol."""
    patience = max(deadline_ns, min(_PATIENCE * watch.mean_gap_ns, _MAX_DEADLINE_NS))
    if not watch.silences:
        return patience
    longest = max(patience, _MAX_RETRY_NS)
    return patience + sum(min(patience << n, longest) for n in range(min(watch.silences, 64)))
