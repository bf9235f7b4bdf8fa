"""Times that cannot be: such rows are quarantined, since each would open a partition of its own (1970, 2262) and
slow down every merge. Pure."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from .columns import NS_PER_DAY, as_ns

OLDEST_NS: Final = 1_230_940_800_000_000_000
"""2009-01-03: nothing that trades here existed before."""
NEWEST_NS: Final = 4_102_444_800_000_000_000
"""2100-01-01, for our own clock."""
AHEAD_NS: Final = NS_PER_DAY
"""How far a venue's time may be ahead of ours."""

TIMESTAMP: Final = "timestamp"
TOO_OLD: Final = "too_old"


def time_faults(event: pa.Array, received: pa.Array, max_age_ns: int) -> pa.Array:
    """Per row the reason why its time is refused, null where it is fine.

    `timestamp`: before 2009, after 2100, or more than a day ahead of our clock. `too_old`: more than `max_age_ns`
    behind it.
    """
    event_ns, received_ns = as_ns(event), as_ns(received)
    absurd = pc.or_(_outside(event_ns), _outside(received_ns))
    age_ns = pc.subtract(received_ns, event_ns)  # wraps for times so far apart that they are absurd anyway
    ahead = pc.less(age_ns, -AHEAD_NS)
    stale = pc.greater(age_ns, max_age_ns)
    none = pa.scalar(None, pa.string())
    return pc.if_else(pc.or_(absurd, ahead), TIMESTAMP, pc.if_else(stale, TOO_OLD, none))


def _outside(ns: pa.Array) -> pa.Array:
    return pc.or_(pc.less(ns, OLDEST_NS), pc.greater(ns, NEWEST_NS))
