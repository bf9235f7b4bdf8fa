"""Which record becomes which Redis hash, with which fields, and which hashes speak of a feed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from feedplane_core.names import Feed

HEAD_FIELDS: Final = ("ts_recv_ns", "seq", "ts_event_ns")
"""What every hash has beside its values and `state`."""


class Kind(NamedTuple):
    """One hash per instrument: `name` is in its key, `columns` are the record's decimals in the order of `fields`."""

    name: str
    feed: Feed
    fields: tuple[str, ...]
    columns: tuple[str, ...] = ()
    depth: int = 0  # levels a side; 0 where the record has plain columns


def _level_fields(depth: int) -> tuple[str, ...]:
    return tuple(f"{side}{n}_{what}" for side in "ba" for n in range(1, depth + 1) for what in ("px", "sz"))


_METRICS: Final = ("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20", "trade_imb_1s")

L1: Final = Kind(
    "l1",
    Feed.L1,
    ("bid_px", "bid_sz", "ask_px", "ask_sz", "last_px", "last_sz"),
    ("bid_price", "bid_qty", "ask_price", "ask_qty", "last_price", "last_qty"),
)
TOP5: Final = Kind("top5", Feed.OB_TOP5, _level_fields(5), depth=5)
TOP20: Final = Kind("top20", Feed.OB_TOP20, _level_fields(20), depth=20)
MARK: Final = Kind("mark", Feed.MARK_PRICE, ("mark_px", "index_px"), ("mark_price", "index_price"))
FUNDING: Final = Kind("funding", Feed.FUNDING, ("funding_rate", "next_funding_ts_ns"), ("rate",))
OI: Final = Kind("oi", Feed.OPEN_INTEREST, ("open_interest",), ("open_interest",))
ADV: Final = Kind("adv", Feed.ADVANCED, _METRICS, _METRICS)

KINDS: Final = (L1, TOP5, TOP20, MARK, FUNDING, OI, ADV)

PLAIN: Final[Mapping[str, Kind]] = {
    "l1": L1,
    "mark_price": MARK,
    "funding": FUNDING,
    "open_interest": OI,
    "advanced_metric": ADV,
}
"""By record type; `book_top` is told by its depth."""

DEPTHS: Final[Mapping[int, Kind]] = {5: TOP5, 20: TOP20}

SPEAKS_OF: Final[Mapping[str, tuple[Kind, ...]]] = {
    "": KINDS,
    Feed.L1: (L1,),
    Feed.OB_DIFFS: (TOP5, TOP20, ADV),  # and L1 where it is made from the book
    Feed.OB_TOP5: (TOP5,),
    Feed.OB_TOP20: (TOP20,),
    Feed.MARK_PRICE: (MARK,),
    Feed.FUNDING: (FUNDING,),
    Feed.OPEN_INTEREST: (OI,),
    Feed.ADVANCED: (ADV,),
}
"""The hashes that a status or a hole of a feed is about."""
