"""Journal to ClickHouse: the writer process against `client.insert` of Python rows, into the same engine in the same run."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any

from feedplane_core.events import Status, Trade
from feedplane_core.names import NS_PER_MS, NS_PER_S, Aggressor, Feed, MarketType, Mode
from feedplane_core.succession import ALIVE, HEARTBEAT_NS, WHOLE_SHARD, Speaker
from feedplane_ddl.apply import apply_ddl
from feedplane_journal.columns import Columns
from feedplane_journal.segments import Budget, JournalWriter, SegmentMeta
from feedplane_testing.clickhouse import ClickHouseLite
from feedplane_testing.writers import WriterProcess
from results import Row

_BATCH_ROWS = 50_000
_DATABASE = "marketdata"


def trades(count: int, start_ns: int) -> Iterator[Trade]:
    """Fills of ten instruments, a millisecond apart."""
    for number in range(count):
        yield Trade(
            exchange="binance_futures",
            market_type=MarketType.PERP_LINEAR,
            instrument=f"COIN{number % 10}USDT",
            ts_event_ns=start_ns + number * NS_PER_MS,
            ts_recv_ns=start_ns + number * NS_PER_MS + 1,
            trade_id=str(1_000_000 + number),
            price=f"{64_000 + number % 997}.{number % 10}0",
            qty=f"0.{number % 899 + 100}",
            aggressor=Aggressor.BUY if number % 3 else Aggressor.SELL,
        )


def fill_journal(path: Path, rows: int, start_ns: int) -> None:
    """A journal of one venue with so many trades, in groups of 5,000. It begins as a collector's does, by two signs of life: a writer that has not seen them reads
    ahead for them."""
    columns = Columns("binance_futures")
    columns.append(_alive(start_ns))
    columns.append(_alive(start_ns + 2 * HEARTBEAT_NS))
    journal = JournalWriter(
        path,
        meta=SegmentMeta(exchange="binance_futures", mode=Mode.REPLAY, feedset="bench", shard=0),
        budget=Budget(1 << 40, 10**18),
        clock_ns=time_ns,
        sinks=["clickhouse"],
    )
    journal.open()
    for number, trade in enumerate(trades(rows, start_ns), start=1):
        columns.append(trade)
        if number % 5_000 == 0 or number == rows:
            journal.append(columns.take().batches)
            journal.commit()
    journal.close()


def _alive(at_ns: int) -> Status:
    return Status(
        exchange="binance_futures",
        market_type=MarketType.PERP_LINEAR,
        instrument=WHOLE_SHARD,
        ts_event_ns=None,
        ts_recv_ns=at_ns,
        status_feed=None,
        status=ALIVE,
        detail=Speaker("bench/binance_futures", 0, 1, "bench", (Feed.TRADES,)).detail(),
    )


def run(*, quick: bool) -> list[Row]:
    rows = 200_000 if quick else 2_000_000
    start_ns = time_ns() - rows * NS_PER_MS
    start_ns -= start_ns % (86_400 * 10**9)  # whole days, so that batches are cut by size
    with tempfile.TemporaryDirectory(dir=".") as folder:
        root = Path(folder)
        fill_journal(root / "journals" / "a", rows, start_ns)
        server = ClickHouseLite(root / "ch")
        server.start()
        try:
            client = server.client()
            apply_ddl(client, _DATABASE)
            ours = _writer_rate(root, server, rows)
            stored = int(client.command(f"SELECT count() FROM {_DATABASE}.trades"))
            assert stored == rows, f"{stored} rows of {rows} are stored"
            baseline = _insert_rate(client, 100_000 if quick else 400_000, start_ns)
        finally:
            server.stop()
    return [
        Row(
            bench="clickhouse",
            what=f"journal -> ClickHouse, batches of {_BATCH_ROWS:,}",
            value=ours,
            unit="rows/s",
            baseline=baseline,
            note=f"{rows:,} trades; baseline: client.insert of Python rows, the same batches into the same table",
        )
    ]


def _writer_rate(root: Path, server: ClickHouseLite, rows: int) -> float:
    """From the first settled round to the last: the writer's start-up and first round count neither as rows nor as time."""
    writer = WriterProcess(
        root / "writer",
        root / "journals",
        [f"127.0.0.1:{server.port}"],
        max_rows=_BATCH_ROWS,
        max_age_ns=50_000_000,  # the last batch is not full: waiting for more would be no work
        in_flight_bytes=64 << 20,
    )
    writer.start()
    try:
        began_ns, at_first = _settled(writer, at_least=1)
        ended_ns, at_last = _settled(writer, at_least=rows)
        return (at_last - at_first) * NS_PER_S / (ended_ns - began_ns)
    finally:
        writer.stop()


def _settled(writer: WriterProcess, *, at_least: int) -> tuple[int, int]:
    """How many trades are settled, at least so many, and when the store took the last: the writer's own clock, so that asking seldom costs nothing."""
    while True:
        status = writer.status()
        settled = sum(account["written"] for account in status["accounts"] if account["feed"] == Feed.TRADES)
        if settled >= at_least:
            return status["store"]["last_commit_ns"], settled
        time.sleep(0.1)


def _insert_rate(client: Any, rows: int, start_ns: int) -> float:
    """`client.insert` as a user would write it: rows of Python values, Decimals and datetimes as integers of nanoseconds. Into the same table, so that the
    server has the same to do, its roll-up included."""
    names = "exchange market_type instrument ts_event ts_recv price qty side trade_id identity ts_event_is_recv".split()
    python_rows = [
        (
            "baseline", str(trade.market_type), trade.instrument, trade.ts_event_ns, trade.ts_recv_ns,
            Decimal(trade.price), Decimal(trade.qty), trade.aggressor.name, trade.trade_id, trade.trade_id, False,
        )
        for trade in trades(rows, start_ns)
    ]  # fmt: skip
    started = perf_counter()
    for at in range(0, rows, _BATCH_ROWS):
        client.insert("trades", python_rows[at : at + _BATCH_ROWS], database=_DATABASE, column_names=names)
    return rows / (perf_counter() - started)


if __name__ == "__main__":
    print(json.dumps([row.as_dict() for row in run(quick=True)]))
