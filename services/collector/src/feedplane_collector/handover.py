"""How a book that comes by socket passes from one live socket to the next without a hole or a repeat. Pure.

Where the venue sends whole books on the socket and promises nothing but that socket's order, two sockets cannot be merged by number. They can by the venue's time, since
sizes are absolute: once the old socket has brought a change that is not older than the new socket's snapshot, everything after that change comes on the new one. So the old
one is followed until the new one is ahead of it, and then the new one; its snapshot is not needed. Only where the old one never gets there is the book begun anew.
"""

from __future__ import annotations

from feedplane_core.adapter import BookRule, Verdict
from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.identity import depth_identity

MAX_HELD = 10_000
_PATIENCE_NS = 1_000_000_000
"""Of venue time: when the new socket is so far past its snapshot, the old one will not get there any more."""


class Place:
    """How far a book has come: the time of its newest change, and the changes that bear it."""

    __slots__ = ("_newest", "time_ns")

    def __init__(self, time_ns: int = 0) -> None:
        self.time_ns = time_ns
        self._newest: list[DepthDiff] = []

    def pass_by(self, diff: DepthDiff) -> None:
        at_ns = book_time_ns(diff)
        if at_ns > self.time_ns:
            self.time_ns = at_ns
            self._newest = [diff]
        elif at_ns == self.time_ns:
            self._newest.append(diff)

    def has_had(self, diff: DepthDiff) -> bool:
        """Whether a change that another socket brings is in the book."""
        at_ns = book_time_ns(diff)
        if at_ns != self.time_ns:
            return at_ns < self.time_ns
        identity = depth_identity(diff)
        return any(depth_identity(had) == identity for had in self._newest)


class Handover:
    """One book on its way to socket `to_id`, which has begun with `snapshot`. `held` came on it before the old one had reached that."""

    __slots__ = ("_joined", "held", "last_seq", "snapshot", "to_id")

    def __init__(self, to_id: int, snapshot: BookSnapshot) -> None:
        self.to_id = to_id
        self.snapshot = snapshot
        self.held: list[DepthDiff] = []
        self.last_seq = snapshot.last_seq  # of the new socket's own stream
        self._joined = False

    @property
    def pending_snapshot(self) -> BookSnapshot | None:
        """The snapshot, until a change has joined it."""
        return None if self._joined else self.snapshot

    @property
    def waiting(self) -> int:
        """Events that are kept back."""
        return 1 + len(self.held)

    def is_reached(self, place: Place) -> bool:
        """Whether all that the old socket has not brought comes on the new one."""
        return place.time_ns >= book_time_ns(self.snapshot)

    def hold(self, diff: DepthDiff) -> bool:
        """Keep a change of the new socket back; false when waiting for the old one has no more use."""
        self.held.append(diff)
        return len(self.held) < MAX_HELD and book_time_ns(diff) - book_time_ns(self.snapshot) <= _PATIENCE_NS

    def follows(self, rule: BookRule, diff: DepthDiff) -> Verdict:
        """What the next change is in the new socket's own stream."""
        if not rule.sequenced:
            return Verdict.APPLY
        return rule.follows(self.last_seq, diff) if self._joined else rule.joins(self.snapshot, diff)

    def skip(self, diff: DepthDiff) -> None:
        """The old socket has had this one."""
        self._joined = True
        self.last_seq = diff.last_seq


def book_time_ns(event: BookSnapshot | DepthDiff) -> int:
    """The venue's time; ours where it sends none."""
    return event.ts_recv_ns if event.ts_event_ns is None else event.ts_event_ns
