"""Arrow schemas of the journal's record types, and what each says of feeds and sequences.

Prices and quantities are `decimal128(38, 18)`, times `timestamp[ns]`, texts plain `utf8`: small group commits are the rule, and a dictionary batch for each frame
costs more than compression saves (measured: docs/journal.md).
"""

from __future__ import annotations

import pyarrow as pa
from feedplane_core.journal import RECORD_TYPES
from feedplane_core.names import Feed

SCHEMA_VERSION = 1
"""Raised with any change of a schema below. A reader takes older versions (each segment carries its own schemas) and refuses newer ones."""

DECIMAL = pa.decimal128(38, 18)
TIME = pa.timestamp("ns")
TEXT = pa.string()
INT64 = pa.int64()
INT32 = pa.int32()
LEVEL = pa.list_(DECIMAL, 2)
LEVELS = pa.list_(LEVEL)
"""One side of a book: (price, qty) pairs, best first."""

_HEAD = [
    pa.field("exchange", TEXT, nullable=False),
    pa.field("market_type", TEXT, nullable=False),
    pa.field("instrument", TEXT, nullable=False),
    pa.field("ts_event", TIME),  # null where the venue sends no time
    pa.field("ts_recv", TIME, nullable=False),
]


def _schema(*fields: tuple[str, pa.DataType] | tuple[str, pa.DataType, bool]) -> pa.Schema:
    """The common head, then `fields`: name, type, and `True` where null is allowed."""
    return pa.schema(_HEAD + [pa.field(f[0], f[1], nullable=len(f) == 3 and f[2]) for f in fields])


_NULL = True

SCHEMAS: dict[str, pa.Schema] = {
    "trade": _schema(("trade_id", TEXT), ("price", DECIMAL), ("qty", DECIMAL), ("aggressor", TEXT), ("identity", TEXT)),
    "l1": _schema(
        ("bid_price", DECIMAL),
        ("bid_qty", DECIMAL),
        ("ask_price", DECIMAL),
        ("ask_qty", DECIMAL),
        ("seq", INT64, _NULL),
        ("source", TEXT),  # native | book
        ("last_price", DECIMAL, _NULL),
        ("last_qty", DECIMAL, _NULL),
    ),
    "depth": _schema(
        ("is_snapshot", pa.bool_()),
        ("bids", LEVELS),
        ("asks", LEVELS),
        ("first_seq", INT64, _NULL),
        ("last_seq", INT64, _NULL),
        ("prev_seq", INT64, _NULL),
        ("identity", TEXT),
    ),
    "book_top": _schema(("depth", INT32), ("bids", LEVELS), ("asks", LEVELS), ("seq", INT64, _NULL)),
    "checkpoint": _schema(("bids", LEVELS), ("asks", LEVELS), ("seq", INT64, _NULL)),
    "liquidation": _schema(
        ("liquidated", TEXT), ("price", DECIMAL), ("qty", DECIMAL), ("order_id", TEXT), ("identity", TEXT)
    ),
    "kline": _schema(
        ("open_time", TIME),
        ("interval_s", INT32),
        ("open", DECIMAL),
        ("high", DECIMAL),
        ("low", DECIMAL),
        ("close", DECIMAL),
        ("volume", DECIMAL),
        ("trades", INT64, _NULL),
        ("is_closed", pa.bool_()),
    ),
    "mark_price": _schema(("mark_price", DECIMAL, _NULL), ("index_price", DECIMAL, _NULL)),
    "funding": _schema(("rate", DECIMAL), ("interval_s", INT32, _NULL), ("next_funding", TIME, _NULL)),
    "open_interest": _schema(("open_interest", DECIMAL)),
    "advanced_metric": _schema(
        ("spread_px", DECIMAL),
        ("spread_bps", DECIMAL),
        ("microprice", DECIMAL),
        ("imbalance_5", DECIMAL),
        ("imbalance_20", DECIMAL),
        ("trade_imb_1s", DECIMAL),
        ("seq", INT64, _NULL),
    ),
    "gap": _schema(
        ("gap_id", TEXT),
        ("feed", TEXT),
        ("from_ts", TIME),
        ("to_ts", TIME, _NULL),
        ("from_seq", INT64, _NULL),
        ("to_seq", INT64, _NULL),
        ("reason", TEXT),
        ("detected_by", TEXT),
        ("state", TEXT),
        ("repaired_from", TEXT),
    ),
    "status": _schema(("feed", TEXT), ("status", TEXT), ("detail", TEXT)),  # feed "" speaks of all feeds
    "instrument": _schema(
        ("pair", TEXT),
        ("base", TEXT),
        ("quote", TEXT),
        ("settle", TEXT),
        ("tick", DECIMAL, _NULL),
        ("step", DECIMAL, _NULL),
        ("contract_size", DECIMAL, _NULL),
        ("contract_unit", TEXT),
        ("status", TEXT),
        ("listed", TIME, _NULL),
        ("expiry", TIME, _NULL),
    ),
}
assert tuple(SCHEMAS) == RECORD_TYPES

CARRIED = frozenset({"gap", "status", "instrument"})
"""Record types that are small, and copied forward when their segment has to be dropped."""

FEEDS: dict[str, Feed] = {
    "trade": Feed.TRADES,
    "l1": Feed.L1,
    "depth": Feed.OB_DIFFS,
    "liquidation": Feed.LIQUIDATIONS,
    "kline": Feed.KLINES,
    "mark_price": Feed.MARK_PRICE,
    "funding": Feed.FUNDING,
    "open_interest": Feed.OPEN_INTEREST,
    "advanced_metric": Feed.ADVANCED,
}
"""The feed that a record type is of; `book_top` is told by its `depth` (5, else 20)."""

PSEUDO_FEEDS: dict[str, str] = {
    "gap": "gaps",
    "status": "status",
    "instrument": "instruments",
    "checkpoint": "checkpoints",
}
"""Accounts of what no venue sent."""


def account_of(record_type: str) -> str:
    """The account of every record type but `book_top`: its feed, or the pseudo feed of what was made here."""
    return PSEUDO_FEEDS.get(record_type) or FEEDS[record_type].value
