"""How a book that comes by socket passes from one live socket to the next without a hole or a repeat. Pure.

Where the venue sends whole books on the socket and promises nothing but that socket's order, two sockets cannot be merged by number. The snapshot of the new one
stands at a point in the old one's stream: until the old one has reached it, the old one is followed and what the new one brings is held; then the book goes on with
the new one's snapshot and what was held after it.
"""

from __future__ import annotations

from feedplane_core.events import BookSnapshot, DepthDiff
from feedplane_core.identity import depth_identity

MAX_HELD = 10_000
_PATIENCE_NS = 1_000_000_000
"""Of venue time: when the new socket is so far past its snapshot, the old one will not get there any more."""


class Handover:
    """One book between two sockets. `to_id` is the new socket."""

    def __init__(self, to_id: int, snapshot: BookSnapshot) -> None:
        self.to_id = to_id
        self._snapshot = snapshot
        self._held: list[DepthDiff] = []
        self._had: set[str] = set()  # identities that the old socket brought meanwhile

    @property
    def held(self) -> int:
        """Events held."""
        return 1 + len(self._held)

    def is_reached_by_old(self, diff: DepthDiff) -> bool:
        """Whether the old socket has passed the snapshot: this diff of its comes on the new one too. Remembers what came before."""
        if _time(diff) > _time(self._snapshot):
            return True
        self._had.add(depth_identity(diff))
        return False

    def hold(self, diff: DepthDiff) -> bool:
        """Keep a diff of the new socket; true when waiting for the old one has no more use."""
        self._held.append(diff)
        return len(self._held) >= MAX_HELD or _time(diff) - _time(self._snapshot) > _PATIENCE_NS

    def take(self) -> tuple[BookSnapshot, list[DepthDiff], int]:
        """(snapshot, diffs that follow it, repeats that were left out)."""
        fresh = [diff for diff in self._held if depth_identity(diff) not in self._had]
        return self._snapshot, fresh, len(self._held) - len(fresh)


def _time(event: BookSnapshot | DepthDiff) -> int:
    return event.ts_recv_ns if event.ts_event_ns is None else event.ts_event_ns
