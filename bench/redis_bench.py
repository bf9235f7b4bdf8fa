"""The Redis writer's commands against redis-py asyncio pipelines of 500: the same server, the same quotes, in turns.

redis-py gets ready dictionaries. The writer starts from keys that are due (its own share of the work is text to wire), and from record batches (all of it: conflation,
decimals to text, keys, accounts). Its writes are guarded and its baseline's are not, unless the row says so.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from statistics import median
from time import monotonic_ns, perf_counter, time_ns
from typing import Any, NamedTuple

import pyarrow as pa
import redis.asyncio
import uvloop
from feedplane_core.events import TopOfBook
from feedplane_core.names import NS_PER_S, KeyStyle, MarketType
from feedplane_journal.columns import Columns
from feedplane_testing.redis import RedisServer
from feedplane_writer.redis_sink.books import Books
from feedplane_writer.redis_sink.connection import Login
from feedplane_writer.redis_sink.keyspace import Keyspace, Source
from feedplane_writer.redis_sink.kinds import L1
from feedplane_writer.redis_sink.node import Limits
from feedplane_writer.redis_sink.scripts import value_script
from feedplane_writer.redis_sink.slots import parse_address
from feedplane_writer.redis_sink.store import Store
from results import Row

_EXCHANGE = "binance_futures"
_KEYS = 2_000
_PIPELINE = 500
_IDLE_POLL_S = 0.0002


class Rates(NamedTuple):
    """Commands per second."""

    from_keys: float
    from_batches: float


def quotes(round_number: int) -> pa.RecordBatch:
    """One quote of each instrument."""
    columns = Columns(_EXCHANGE)
    for number in range(_KEYS):
        quote = TopOfBook(
            exchange=_EXCHANGE,
            market_type=MarketType.PERP_LINEAR,
            instrument=f"COIN{number}USDT",
            ts_event_ns=time_ns(),
            ts_recv_ns=time_ns(),
            bid_price="43000.1",
            bid_qty="1.234",
            ask_price="43000.2",
            ask_qty="2.5",
            seq=123_456 + round_number,
        )
        columns.append(quote, "43000.1", "0.01")
    return columns.take().batches[0][1]


async def writer_rates(server: RedisServer, rounds: int) -> Rates:
    """Rounds of one quote per key, each waited for, so that nothing is conflated away."""
    store = Store([parse_address(server.endpoint)], Login(), Limits(_PIPELINE, 0.0, NS_PER_S * 3_600), lambda: ())
    keyspace = Keyspace(KeyStyle.FLAT, store.add, monotonic_ns)
    source = Source(Books("bench"))
    batches = [quotes(number) for number in range(rounds)]
    await store.start()
    taking = sending = 0.0
    for batch in batches:
        started = perf_counter()
        keyspace.take(source, "l1", batch)
        taken = perf_counter()
        while not store.is_idle:
            await asyncio.sleep(_IDLE_POLL_S)
        taking += taken - started
        sending += perf_counter() - taken
    await store.close()
    done = source.books.stored["l1"]
    assert done == rounds * _KEYS, f"{done} of {rounds * _KEYS} quotes are stored"
    return Rates(done / sending, done / (taking + sending))


async def peer_rate(server: RedisServer, rounds: int, guarded: bool) -> float:
    """redis-py with pipelines of 500, plain HSET or our guarded script."""
    client: Any = redis.asyncio.Redis(host="127.0.0.1", port=server.port)
    sha = await client.script_load(value_script(L1))
    fields = dict(zip(L1.fields, ("43000.1", "1.234", "43000.2", "2.5", "43000.1", "0.01"), strict=True))
    head = {"ts_recv_ns": str(time_ns()), "seq": "123456", "ts_event_ns": str(time_ns())}
    mapping = head | fields | {"state": "synced"}
    keys = [f"last:l1:peer{guarded}:COIN{number}USDT" for number in range(_KEYS)]
    started = perf_counter()
    for _ in range(rounds):
        for at in range(0, _KEYS, _PIPELINE):
            pipeline = client.pipeline(transaction=False)
            for key in keys[at : at + _PIPELINE]:
                if guarded:
                    pipeline.evalsha(sha, 1, key, "0", "3600000", "", *mapping.values())
                else:
                    pipeline.hset(key, mapping=mapping)
            await pipeline.execute()
    rate = rounds * _KEYS / (perf_counter() - started)
    await client.aclose()
    return rate


async def _measure(turns: int, rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        ours, plain, guarded = [], [], []
        for _ in range(turns):
            plain.append(await peer_rate(server, rounds // 4, guarded=False))
            guarded.append(await peer_rate(server, rounds // 4, guarded=True))
            ours.append(await writer_rates(server, rounds))
    from_keys = median(rates.from_keys for rates in ours)
    from_batches = median(rates.from_batches for rates in ours)
    return [
        _row("writer, L1 keys -> Redis", from_keys, median(plain), "baseline: unguarded HSET"),
        _row("writer, L1 keys -> Redis, guarded both", from_keys, median(guarded), "baseline: the same script"),
        _row(
            "writer, record batches -> Redis",
            from_batches,
            median(plain),
            "baseline: unguarded HSET, ready dictionaries",
        ),
    ]


def _row(what: str, value: float, baseline: float, note: str) -> Row:
    return Row(
        bench="redis",
        what=what,
        value=value,
        unit="commands/s",
        baseline=baseline,
        note=f"redis-py pipelines of {_PIPELINE}, {note}",
    )


def run(*, quick: bool) -> list[Row]:
    turns, rounds = (1, 8) if quick else (5, 40)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(turns, rounds))


if __name__ == "__main__":
    print(json.dumps([row.as_dict() for row in run(quick=True)]))
