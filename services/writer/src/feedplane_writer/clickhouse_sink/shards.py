"""Which shard a row belongs to: a stable hash of (exchange, instrument), the same in every version and on every
machine. Pure."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc


@lru_cache(maxsize=65_536)
def shard_of(exchange: str, instrument: str, shards: int) -> int:
    """Index of the shard, 0 to `shards` - 1."""
    digest = blake2b(f"{exchange}\x1f{instrument}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def row_shards(batch: pa.RecordBatch, shards: int) -> pa.Array:
    """The shard of every row, as int32; one hash per distinct instrument."""
    key = pc.binary_join_element_wise(batch.column("exchange"), batch.column("instrument"), "\x1f").dictionary_encode()
    owners = [shard_of(*name.split("\x1f", 1), shards) for name in key.dictionary.to_pylist()]
    return pa.array(owners, pa.int32()).take(key.indices)


def of_shard(batch: pa.RecordBatch, shard: int, shards: int) -> pa.RecordBatch:
    """The rows of `batch` that belong to `shard`."""
    if shards == 1:
        return batch
    return batch.filter(pc.equal(row_shards(batch, shards), shard))
