"""From a record batch to what each key is told: only the newest row of a key becomes text, every trade does. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from feedplane_core.names import Feed, MarketType, name_in_keys

from .kinds import DEPTHS, MARK, PLAIN, Kind
from .texts import decimal_texts, integer_texts


class Update(NamedTuple):
    """One hash's new value: texts of HEAD_FIELDS and the kind's fields; `None` keeps the text that is known."""

    kind: Kind
    instrument: str
    ts_ns: int
    values: Sequence[str | None]
    from_book: bool = False


class TradeRow(NamedTuple):
    """One trade; `values` are px qty side trade_id ts_event_ns ts_recv_ns."""

    instrument: str
    recv_ns: int
    values: tuple[str, ...]


class StatusRow(NamedTuple):
    """What a status or gap record says, of one feed (`""`: all) of one instrument."""

    instrument: str
    feed: str
    said: str
    recv_ns: int


NO_LEVEL: Final = "0"
"""Price and size of the places that a book does not fill, as in the history tables: a hash keeps the fields of its last deeper book otherwise."""


def named_with_market(batch: pa.RecordBatch, markets: Collection[MarketType]) -> pa.RecordBatch:
    """The batch with the instruments of `markets` spelled as their keys do."""
    pairs = list(zip(batch.column("market_type").to_pylist(), batch.column("instrument").to_pylist(), strict=True))
    spelled = {(m, name): name_in_keys(name, MarketType(m)) if m in markets else name for m, name in set(pairs)}
    names = pa.array(map(spelled.__getitem__, pairs), pa.string())
    return batch.set_column(batch.schema.get_field_index("instrument"), "instrument", names)


def updates_of(record_type: str, batch: pa.RecordBatch) -> list[Update]:
    """The newest value of each hash in `batch`, `[]` for record types that have no hash."""
    if record_type == "book_top":
        return _tops(batch)
    kind = PLAIN.get(record_type)
    return _plain(kind, batch) if kind is not None else []


def trades_of(batch: pa.RecordBatch) -> list[TradeRow]:
    """Every trade of a `trade` batch, in order."""
    price, qty = decimal_texts([batch.column("price"), batch.column("qty")])
    received = batch.column("ts_recv").cast(pa.int64()).to_pylist()
    columns = zip(
        price,
        qty,
        batch.column("aggressor").to_pylist(),
        batch.column("trade_id").to_pylist(),
        integer_texts(batch.column("ts_event")),
        map(str, received),
        strict=True,
    )
    return list(map(TradeRow, batch.column("instrument").to_pylist(), received, columns))


def statuses_of(batch: pa.RecordBatch) -> list[StatusRow]:
    """What a `status` batch says."""
    return _said(batch, "status")


def gaps_of(batch: pa.RecordBatch) -> list[StatusRow]:
    """The states of the holes in a `gap` batch."""
    return _said(batch, "state")


def _said(batch: pa.RecordBatch, column: str) -> list[StatusRow]:
    names = ("instrument", "feed", column)
    received = batch.column("ts_recv").cast(pa.int64()).to_pylist()
    return list(map(StatusRow, *(batch.column(name).to_pylist() for name in names), received))


def _newest(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The last row of each instrument."""
    instruments = batch.column("instrument").to_pylist()
    last = dict(zip(instruments, range(len(instruments)), strict=True))
    return batch if len(last) == len(instruments) else batch.take(pa.array(last.values(), pa.int32()))


def _head(batch: pa.RecordBatch) -> tuple[list[str], list[int], list[str], list[str]]:
    """Instrument, ts_recv_ns, and the texts of `seq` and `ts_event_ns`."""
    names = batch.schema.names
    seq = integer_texts(batch.column("seq")) if "seq" in names else [""] * batch.num_rows
    received = batch.column("ts_recv").cast(pa.int64()).to_pylist()
    return batch.column("instrument").to_pylist(), received, seq, integer_texts(batch.column("ts_event"))


def _plain(kind: Kind, batch: pa.RecordBatch) -> list[Update]:
    if kind is not MARK:  # mark and index may come in rows of their own: each keeps what the other said
        batch = _newest(batch)
    instruments, received, seq, event = _head(batch)
    columns: list[list[str | None]] = decimal_texts([batch.column(name) for name in kind.columns])
    if kind.feed is Feed.FUNDING:
        columns.append(list(integer_texts(batch.column("next_funding"))))
    from_book = [False] * batch.num_rows
    if kind.feed is Feed.L1:
        from_book = [source == "book" for source in batch.column("source").to_pylist()]
    rows = zip(map(str, received), seq, event, *columns, strict=True)
    return [Update(kind, *fields) for fields in zip(instruments, received, rows, from_book, strict=True)]


def _tops(batch: pa.RecordBatch) -> list[Update]:
    depths = batch.column("depth")
    updates = []
    for depth in pc.unique(depths).to_pylist():
        kind = DEPTHS.get(depth)
        if kind is not None:
            updates += _top(kind, _newest(batch.filter(pc.equal(depths, depth))))
    return updates


def _top(kind: Kind, batch: pa.RecordBatch) -> list[Update]:
    instruments, received, seq, event = _head(batch)
    bids, asks = (_side(batch.column(name), kind.depth) for name in ("bids", "asks"))
    return [
        Update(kind, instrument, ts, (str(ts), number, at, *bid, *ask))
        for instrument, ts, number, at, bid, ask in zip(instruments, received, seq, event, bids, asks, strict=True)
    ]


def _side(levels: pa.Array, depth: int) -> list[list[str | None]]:
    """price, qty, price, qty, ... of `depth` levels for each row."""
    lengths = pc.list_value_length(levels).to_pylist()
    pairs = pc.list_flatten(levels)  # only the levels of these rows, whatever `levels` is a slice of
    (texts,) = decimal_texts([pc.list_flatten(pairs)])
    sides, start = [], 0
    for length in lengths:
        side = texts[start : start + 2 * min(length, depth)]
        side += [NO_LEVEL] * (2 * depth - len(side))
        sides.append(side)
        start += 2 * length
    return sides
