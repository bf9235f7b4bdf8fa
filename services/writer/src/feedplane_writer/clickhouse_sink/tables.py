"""From a batch of one record type to the columns of its table. Pure and vectorised; no Python object per row.

A `Built` keeps, beside the columns, the number of the record that each row is of, so that a row refused by the store
can be told as the record it belongs to.
Columns come in the order of the table; `ts_event` is filled with `ts_recv` where the venue sent none, and
`ts_event_is_recv` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from .columns import Columns, as_ns, as_time, dictionaries, indices_where, last_of_each, mapped, taken
from .levels import flat_levels, level_rows

TABLE_VERSION: Final = 2
"""Raised when the rows made from a record change, or the way they are cut: part of every insert token."""

_AGGRESSOR: Final = {"buy": "BUY", "sell": "SELL", "unknown": "UNKNOWN"}
_LIQUIDATED: Final = {"long": "LONG", "short": "SHORT"}
_CLOSED_BY: Final = {"long": "SELL", "short": "BUY"}
_GAP_RANK: Final = {"open": 0, "closed": 1, "repaired": 2}
_RANK_STEP: Final = 1 << 61  # above every receive time in ns until the year 2043
_UNITS_S: Final = ((604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "m"))
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000


class Built(NamedTuple):
    """Rows of one table: `record` is the row's record in the batch."""

    table: str
    columns: Columns
    record: pa.Array


class Input(NamedTuple):
    """What a builder gets: the journal's batch with event times filled in, its rows' order of arrival, the sampling
    interval."""

    batch: pa.RecordBatch
    is_recv: pa.Array
    order: pa.Array
    l1_interval_ns: int

    def head(self) -> Columns:
        return {
            name: self.batch.column(name) for name in ("exchange", "market_type", "instrument", "ts_event", "ts_recv")
        }

    def get(self, **names: str) -> Columns:
        """Columns of the batch under their names in the table."""
        return {new: self.batch.column(old) for new, old in names.items()}


def _all(batch: pa.RecordBatch) -> pa.Array:
    return pa.arange(0, batch.num_rows)


def _built(table: str, given: Input, columns: Columns) -> list[Built]:
    return [Built(table, {**given.head(), **columns, "ts_event_is_recv": given.is_recv}, _all(given.batch))]


def _only(built: Built, keep: pa.Array) -> Built:
    return Built(built.table, taken(built.columns, keep), built.record.take(keep))


def _trades(given: Input) -> list[Built]:
    batch = given.batch
    trade_id, identity = batch.column("trade_id"), batch.column("identity")
    columns = {
        **given.get(price="price", qty="qty"),
        "side": pc.fill_null(mapped(batch.column("aggressor"), _AGGRESSOR, pa.string()), "UNKNOWN"),
        "trade_id": trade_id,
        "identity": pc.if_else(pc.equal(identity, ""), trade_id, identity),
    }
    return _built("trades", given, columns)


def _l1(given: Input) -> list[Built]:
    """The last record of each (instrument, bucket); the earlier ones are superseded."""
    bucket_no = pc.divide(as_ns(given.batch.column("ts_event")), given.l1_interval_ns)
    names = given.get(
        bid_px="bid_price",
        bid_sz="bid_qty",
        ask_px="ask_price",
        ask_sz="ask_qty",
        last_px="last_price",
        last_sz="last_qty",
    )
    columns = {
        **names,
        "bucket": as_time(pc.multiply(bucket_no, given.l1_interval_ns)),
        **given.get(seq="seq", source="source"),
    }
    built = _built("l1_200ms", given, columns)[0]
    who = _instrument_number(given.batch)
    key = pc.add(pc.multiply(bucket_no, len(pc.unique(who))), who)
    return [_only(built, last_of_each(key))]


def _instrument_number(batch: pa.RecordBatch) -> pa.Array:
    """A number from 0 per (market type, instrument)."""
    names = pc.binary_join_element_wise(batch.column("market_type"), batch.column("instrument"), "\x1f")
    return names.dictionary_encode().indices.cast(pa.int64())


def _book_tops(given: Input) -> list[Built]:
    is_five = pc.equal(given.batch.column("depth"), 5)
    return [
        _top("ob_top5", 5, given, indices_where(is_five)),
        _top("ob_top20", 20, given, indices_where(pc.invert(is_five))),
    ]


def _top(table: str, depth: int, given: Input, rows: pa.Array) -> Built:
    part = given._replace(batch=given.batch.take(rows), is_recv=given.is_recv.take(rows))
    levels = flat_levels(part.batch.column("bids"), part.batch.column("asks"), depth)
    return Built(table, _built(table, part, {**levels, **part.get(seq="seq")})[0].columns, rows)


def _depth(given: Input) -> list[Built]:
    batch = given.batch
    identity = batch.column("identity")
    message = {
        **given.get(first_seq="first_seq", last_seq="last_seq", prev_seq="prev_seq", is_snapshot="is_snapshot"),
        "identity": pc.if_else(pc.equal(identity, ""), _sequence_identity(batch), identity),
        "ord": given.order,
    }
    return [_levels("ob_diffs", given, {}, message)]


def _sequence_identity(batch: pa.RecordBatch) -> pa.Array:
    """As `feedplane_core.identity.depth_identity` where a message has numbers: `first-last`, `last` alone for a
    snapshot."""
    first, last = (batch.column(name).cast(pa.string()) for name in ("first_seq", "last_seq"))
    spans = pc.and_(pc.is_valid(first), pc.invert(batch.column("is_snapshot")))
    return pc.fill_null(pc.if_else(spans, pc.binary_join_element_wise(first, last, "-"), last), "")


def _checkpoints(given: Input) -> list[Built]:
    snapshot_id = as_ns(given.batch.column("ts_recv")).cast(pa.string())
    message = {**given.get(seq="seq"), "ord": given.order}
    return [_levels("ob_snapshots", given, {"snapshot_id": snapshot_id}, message)]


def _levels(table: str, given: Input, before: Columns, after: Columns) -> Built:
    """One row per level: the message's columns `before` and `after` the level's own, repeated; its texts stand in the insert once and not once per level, a
    third of the bytes."""
    record, level = level_rows(given.batch)
    repeated = taken(dictionaries({**given.head(), **before}), record)
    rest = taken(dictionaries({**after, "ts_event_is_recv": given.is_recv}), record)
    return Built(table, {**repeated, **level, **rest}, record)


def _liquidations(given: Input) -> list[Built]:
    batch = given.batch
    order_id, identity, died = batch.column("order_id"), batch.column("identity"), batch.column("liquidated")
    columns = {
        "side": pc.fill_null(mapped(died, _CLOSED_BY, pa.string()), "UNKNOWN"),
        **given.get(price="price", qty="qty", order_id="order_id"),
        "liquidated": pc.fill_null(mapped(died, _LIQUIDATED, pa.string()), "UNKNOWN"),
        "identity": pc.if_else(pc.equal(identity, ""), order_id, identity),
    }
    return _built("liquidations", given, columns)


def _klines(given: Input) -> list[Built]:
    """Closed candles only: an open one is superseded by the next update of it."""
    batch = given.batch
    open_ns = as_ns(batch.column("open_time"))
    length_ns = pc.multiply(batch.column("interval_s").cast(pa.int64()), NS_PER_S)
    trades = batch.column("trades")
    columns = {
        "interval": interval_names(batch.column("interval_s")),
        "open_time": _millis(open_ns),
        "close_time": _millis(pc.add(open_ns, length_ns)),
        **given.get(open="open", high="high", low="low", close="close", volume="volume"),
        "trades": pc.fill_null(
            pc.min_element_wise(pc.max_element_wise(trades, 0, skip_nulls=False), (1 << 32) - 1, skip_nulls=False), 0
        ).cast(pa.uint32()),
        "trades_known": pc.is_valid(trades),
    }
    return [_only(_built("klines_agg", given, columns)[0], indices_where(batch.column("is_closed")))]


def _millis(ns: pa.Array) -> pa.Array:
    return pc.divide(ns, NS_PER_MS).cast(pa.timestamp("ms"))


def interval_names(seconds: pa.Array) -> pa.Array:
    """`60` as `1m`, `3600` as `1h`, `86400` as `1d`; an odd number of seconds as `90s`."""
    encoded = seconds.dictionary_encode()
    names = pa.array([_interval_name(s) for s in encoded.dictionary.to_pylist()], pa.string())
    return names.take(encoded.indices)


def _interval_name(seconds: int) -> str:
    for unit_s, name in _UNITS_S:
        if seconds and seconds % unit_s == 0:
            return f"{seconds // unit_s}{name}"
    return f"{seconds}s"


def _mark_prices(given: Input) -> list[Built]:
    return _built("mark_price", given, given.get(mark_px="mark_price", index_px="index_price"))


def _funding(given: Input) -> list[Built]:
    columns = {
        **given.get(funding_rate="rate", next_funding_ts="next_funding"),
        "interval_s": given.batch.column("interval_s").cast(pa.uint32()),
    }
    return _built("funding", given, columns)


def _open_interest(given: Input) -> list[Built]:
    return _built("open_interest", given, given.get(open_interest="open_interest"))


_METRICS: Final = ("spread_px", "spread_bps", "microprice", "imbalance_5", "imbalance_20", "trade_imb_1s", "seq")


def _metrics(given: Input) -> list[Built]:
    return _built("advanced_metrics", given, given.get(**{name: name for name in _METRICS}))


_GAP: Final = (
    "gap_id",
    "feed",
    "from_ts",
    "to_ts",
    "from_seq",
    "to_seq",
    "reason",
    "detected_by",
    "state",
    "repaired_from",
)


def _gaps(given: Input) -> list[Built]:
    rank = pc.fill_null(mapped(given.batch.column("state"), _GAP_RANK, pa.uint64()), 0)
    received = as_ns(given.batch.column("ts_recv")).cast(pa.uint64())
    version = pc.add(pc.multiply(rank, pa.scalar(_RANK_STEP, pa.uint64())), received)
    return _built("gaps", given, {**given.get(**{name: name for name in _GAP}), "version": version})


_INSTRUMENT: Final = (
    "pair",
    "base",
    "quote",
    "settle",
    "tick",
    "step",
    "contract_size",
    "contract_unit",
    "status",
    "listed",
    "expiry",
)


def _instruments(given: Input) -> list[Built]:
    return _built("instruments", given, given.get(**{name: name for name in _INSTRUMENT}))


def _status(given: Input) -> list[Built]:
    return _built("status", given, given.get(feed="feed", status="status", detail="detail"))


@dataclass(frozen=True)
class Target:
    """How the records of one type become rows."""

    build: Callable[[Input], list[Built]]
    guard: str = "ts_event"
    """The column whose time must be plausible; with `ts_event` it is the filled one."""


TARGETS: Final[Mapping[str, Target]] = {
    "trade": Target(_trades),
    "l1": Target(_l1),
    "depth": Target(_depth),
    "book_top": Target(_book_tops),
    "checkpoint": Target(_checkpoints),
    "liquidation": Target(_liquidations),
    "kline": Target(_klines, guard="open_time"),
    "mark_price": Target(_mark_prices),
    "funding": Target(_funding),
    "open_interest": Target(_open_interest),
    "advanced_metric": Target(_metrics),
    "gap": Target(_gaps),
    "status": Target(_status),
    "instrument": Target(_instruments),
}

PARTITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "trades": ("ts_event", "day"),
    "l1_200ms": ("bucket", "day"),
    "ob_top5": ("ts_event", "day"),
    "ob_top20": ("ts_event", "day"),
    "ob_diffs": ("ts_event", "day"),
    "ob_snapshots": ("ts_event", "day"),
    "liquidations": ("ts_event", "month"),
    "klines_agg": ("open_time", "month"),
    "mark_price": ("ts_event", "day"),
    "funding": ("ts_event", "month"),
    "open_interest": ("ts_event", "month"),
    "advanced_metrics": ("ts_event", "day"),
    "gaps": ("ts_event", "none"),
    "instruments": ("ts_event", "none"),
    "status": ("ts_event", "month"),
}
"""Column and unit that a table is partitioned by; `none` for one partition. A test holds it against the DDL."""

FEED_OF_TABLE: Final[Mapping[str, str]] = {
    "trades": "trades",
    "l1_200ms": "l1",
    "ob_top5": "ob_top5",
    "ob_top20": "ob_top20",
    "ob_diffs": "ob_diffs",
    "ob_snapshots": "ob_diffs",
    "liquidations": "liquidations",
    "klines_agg": "klines",
    "mark_price": "mark_price",
    "funding": "funding",
    "open_interest": "open_interest",
    "advanced_metrics": "advanced",
    "gaps": "gaps",
    "instruments": "instruments",
    "status": "status",
}
"""The feed that a table's rows are accounted under."""
