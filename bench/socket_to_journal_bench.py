"""One core: frames from a saturated socket to durable journal, against cryptofeed from a saturated socket to its callbacks.

The same Binance futures capture in loops, the same server on the other core; the first frames warm both up and are not timed. Ours keeps everything: books, samples of
the best 5 and 20 levels, columns, frames inside completed fdatasync groups. cryptofeed's book callback reads the best 20 levels; a second baseline is its callbacks only counting.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import ssl
import tempfile
from pathlib import Path
from time import perf_counter, process_time, time_ns
from typing import NamedTuple

import uvloop
from adapters_bench import build_pipeline, instruments_of, load_books
from captures import binance_loops, capture_files, frames, rest_answers
from feedplane_cli.adapters import load_adapter
from feedplane_collector.clock import ReceiveClock
from feedplane_collector.sampler import Sampler
from feedplane_collector.transport import SocketLibrary, choose_transport
from feedplane_core.adapter import Options
from feedplane_core.cores import CORE_NAME
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, Mode
from feedplane_journal.segments import Budget, JournalWriter, SegmentMeta
from firehose import firehose
from peers import Peer, listings_of, subscription_of
from results import Row

_CLIENT_CORE, _SERVER_CORE = 0, 1
_GROUP_S = 0.015
_WARM_FRAMES = 3_000
_BASELINES = {True: "reads the top 20", False: "only counts"}


class Pace(NamedTuple):
    """`cpu_us` is all that the process used for a frame, kernel and threads included: on a machine that is busy with other things it says more than the rate."""

    frames_per_s: float
    cpu_us: float


class Stopwatch:
    """From the end of the warm-up to the end."""

    def __init__(self) -> None:
        self._began = perf_counter(), process_time()

    def pace(self, frames_played: int) -> Pace:
        seconds, cpu_s = perf_counter() - self._began[0], process_time() - self._began[1]
        return Pace(frames_played / seconds, cpu_s / frames_played * 1e6)


def run(*, quick: bool) -> list[Row]:
    listings, answer_files, sockets = capture_files("BINANCE_FUTURES")
    if not sockets:
        return [
            Row(
                bench="socket_to_journal",
                what="no capture beside the checkout",
                value=0,
                unit="frames/s",
                note="skipped",
            )
        ]
    bodies = [body for _, body in rest_answers(listings)]
    answers, once = rest_answers(answer_files), frames(sockets)
    messages = [m for loop in binance_loops(once, 20 if quick else 80, answers) for m in loop]
    text = gzip.open(listings[0], "rt").read()
    found: dict[str, Pace] = {}
    with firehose(messages, _SERVER_CORE % (os.cpu_count() or 1)) as url:
        for _ in range(1 if quick else 3):
            for reads_top, does in _BASELINES.items():
                _keep_best(found, does, _in_child(_peer_pace, url, text, answers, len(messages), reads_top))
            for library in SocketLibrary:
                _keep_best(found, library, _in_child(_our_pace, url, library, bodies, answers, len(messages)))
    return [
        _row(library, found[library], does, found[does], len(messages))
        for library in SocketLibrary
        for does in _BASELINES.values()
    ]


def _keep_best(found: dict[str, Pace], name: str, pace: Pace) -> None:
    held = found.get(name, pace)
    found[name] = Pace(max(held.frames_per_s, pace.frames_per_s), min(held.cpu_us, pace.cpu_us))


def _row(library: SocketLibrary, ours: Pace, does: str, baseline: Pace, frames_played: int) -> Row:
    return Row(
        bench="socket_to_journal",
        what=f"{library}, {CORE_NAME} core: socket -> journal",
        value=ours.frames_per_s,
        unit="frames/s",
        baseline=baseline.frames_per_s,
        note=f"cryptofeed {does}; CPU a frame {ours.cpu_us:.2f} us against {baseline.cpu_us:.2f}: "
        f"{baseline.cpu_us / ours.cpu_us:.2f}x; {frames_played:,} frames",
    )


def _in_child(work: object, *args: object) -> Pace:
    """In a forked process on one core: each run starts with a fresh interpreter state and no thread of another run."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {_CLIENT_CORE})
        try:
            os.write(write_end, json.dumps(work(*args)).encode())  # type: ignore[operator]
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        body = answer.read()
    os.waitpid(pid, 0)
    return Pace(*json.loads(body))


def _our_pace(
    url: str, library: SocketLibrary, bodies: list[bytes], answers: list[tuple[str, bytes]], count: int
) -> Pace:
    return uvloop.run(_ours(url, library, bodies, answers, count))


async def _ours(
    url: str, library: SocketLibrary, bodies: list[bytes], answers: list[tuple[str, bytes]], count: int
) -> Pace:
    pipeline, columns, source = build_pipeline(
        "binance_futures", instruments_of(load_adapter("binance_futures", Options()), bodies, [])
    )
    load_books(pipeline, answers, 1)
    clock = ReceiveClock(time_ns)
    done = asyncio.Event()
    seen = 0
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        journal = JournalWriter(
            Path(folder) / "journal",
            meta=SegmentMeta(exchange="binance_futures", mode=Mode.REPLAY, feedset="bench", shard=0),
            budget=Budget(1 << 40, 10**18),
            clock_ns=clock,
        )
        journal.open()

        def on_frame(frame: bytes, recv_ns: int) -> None:
            nonlocal seen, watch
            pipeline.on_frame(source, frame, recv_ns)
            seen += 1
            if seen == _WARM_FRAMES:
                watch = Stopwatch()
            elif seen == count:
                done.set()

        sampler = Sampler(pipeline, {Feed.OB_TOP5: 100 * NS_PER_MS, Feed.OB_TOP20: NS_PER_S, Feed.ADVANCED: NS_PER_S})

        async def commit() -> None:
            while True:
                await asyncio.sleep(_GROUP_S)
                now_ns = clock()
                sampler.sample(now_ns, now_ns)
                await flush()

        async def flush() -> None:
            if columns.rows:
                pending = columns.detach()
                await asyncio.to_thread(_store, journal, pending)

        gc.collect()
        gc.freeze()
        gc.disable()
        transport = choose_transport(library, clock, ssl.create_default_context())
        committing = asyncio.create_task(commit())
        socket = await transport(
            url, on_frame, max_frame_bytes=1 << 24, headers={}, compression=False, ping_every_ns=None
        )
        await done.wait()
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        await flush()
        pace = watch.pace(count - _WARM_FRAMES)
        socket.abort()
        journal.close()
    pipeline.books.settle_account()
    rejected = sum(account.rejected for _, account in pipeline.accounts.items())
    assert not rejected, f"{rejected} frames were not decoded"
    return pace


def _store(journal: JournalWriter, pending: object) -> None:
    journal.append(pending.build().batches)  # type: ignore[attr-defined]
    journal.commit()


def _peer_pace(url: str, listing_text: str, answers: list[tuple[str, bytes]], count: int, reads_top: bool) -> Pace:
    return uvloop.run(_peer(url, listing_text, answers, count, reads_top=reads_top))


async def _peer(url: str, listing_text: str, answers: list[tuple[str, bytes]], count: int, *, reads_top: bool) -> Pace:
    from websockets.asyncio.client import connect

    peer = Peer(
        "BINANCE_FUTURES", listings_of(listing_text), subscription_of(listing_text), answers, reads_top=reads_top
    )
    # As cryptofeed opens and reads it (connection.py), compression off as in its Binance futures options.
    socket = await connect(url, compression=None, max_size=2**23, max_queue=None, ping_interval=10, ping_timeout=None)
    seen = 0
    watch = Stopwatch()
    async for message in socket:
        await peer.handler(message, peer.conn, time_ns() / 1e9)
        seen += 1
        if seen == _WARM_FRAMES:
            watch = Stopwatch()
        elif seen == count:
            break
    pace = watch.pace(count - _WARM_FRAMES)
    socket.transport.abort()
    return pace
