"""Rows in the order of their table's primary key. Pure and vectorised.

The server sorts every block that is not in order, with its own CPU and while the insert waits; here it is done while the insert before is on its way.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from .columns import arange, as_ns, dictionaries, taken
from .tables import PARTITIONS, Built

_NAMES: Final = ("exchange", "market_type", "instrument")


def in_key_order(built: Built) -> Built:
    """Rows by instrument, market type and the time that the table is keyed by; those of one time as they came, so that the newest of equal rows stays the
    last. Names become dictionaries: a few values that the server need not look up row by row.

    `klines_agg` and `gaps` have another column before the time or none: of those few rows the server sorts the rest.
    """
    names = dictionaries({name: built.columns[name] for name in _NAMES})
    columns = {**built.columns, **names}
    instrument, market = (_ranks(names[name]) for name in ("instrument", "market_type"))
    times = as_ns(built.columns[PARTITIONS[built.table][0]].cast(pa.timestamp("ns")))
    keys = pa.RecordBatch.from_arrays([instrument, market, times], names=["instrument", "market_type", "time"])
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.schema.names])
    if order.equals(arange(len(order)).cast(order.type)):
        return Built(built.table, columns, built.record)
    return Built(built.table, taken(columns, order), built.record.take(order))


def _ranks(names: pa.DictionaryArray) -> pa.Array:
    """Each row's place among the distinct names, bytes compared, as the server compares them."""
    return pc.rank(names.dictionary, "ascending").take(names.indices)
