"""`feedplane record`: frames as they came, in the format that `decode` and `simex --play` read."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import time_ns
from typing import Any, BinaryIO, cast

from feedplane_collector.clock import ReceiveClock
from feedplane_collector.rest import RestClient
from feedplane_collector.transport import Socket, SocketLibrary, choose_transport
from feedplane_core.adapter import Adapter, Connection, Fetch, Request, Send
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.frames import answer_line, frame_line
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed
from feedplane_core.paging import MAX_PAGES, next_page
from feedplane_core.sending import stamped
from feedplane_ops.counts import Tally

OnProgress = Callable[[int, int], None]
"""(frames, bytes) so far."""


class Recorder:
    """Subscribes like a collector, but keeps what came instead of what it means."""

    def __init__(self, adapter: Adapter, out: BinaryIO, on_progress: OnProgress) -> None:
        self._adapter = adapter
        self._out = out
        self._on_progress = on_progress
        self._clock = ReceiveClock(time_ns)
        self._tls = ssl.create_default_context()
        self._rest = RestClient(adapter.limits, self._clock, self._tls, Tally())
        self._pending: set[asyncio.Task[None]] = set()
        self.frames = self.bytes = 0

    async def run(self, symbols: list[str], feeds: frozenset[Feed], seconds: float) -> None:
        """Record for so long. Raises: UsageError for an unknown symbol; RestFailed, ConnectFailed where the venue cannot be had."""
        async with self._rest:
            instruments = await self._instruments(symbols)
            self._adapter.use_instruments(instruments)
            sockets = [await self._open(c) for c in self._adapter.subscriptions(instruments, feeds)]
            for instrument in instruments:
                request = self._adapter.book_snapshot_request(instrument)
                if request is not None and Feed.OB_DIFFS in feeds:
                    self._spawn(self._fetch(request))
            for poll in self._adapter.polls(instruments, feeds):
                self._spawn(self._fetch(poll.request))
            await asyncio.sleep(seconds)
            for socket in sockets:
                await socket.close()
            for task in self._pending:
                task.cancel()

    async def _instruments(self, symbols: list[str]) -> list[Instrument]:
        bodies = []
        for first in self._adapter.instruments_requests():
            request: Request | None = first
            for _ in range(MAX_PAGES):
                if request is None:
                    break
                body, recv_ns = await self._rest.fetch(request)
                self._write(answer_line(recv_ns, request.url, body))
                bodies.append(body)
                request = next_page(request, body)
        known = {i.instrument: i for i in self._adapter.decode_instruments(bodies)}
        unknown = [name for name in symbols if name not in known]
        if unknown:
            raise UsageError("--symbols", f"{self._adapter.exchange} does not list {', '.join(unknown)}")
        return [known[name] for name in symbols]

    async def _open(self, connection: Connection) -> _Recorded:
        if connection.token is not None:
            body, _ = await self._rest.fetch(connection.token)
            connection = self._adapter.connection_with_token(connection, body)
        transport = choose_transport(SocketLibrary.WEBSOCKETS, self._clock, self._tls)
        recorded = _Recorded(self, self._adapter, connection)
        recorded.socket = await transport(
            connection.url,
            recorded.on_frame,
            max_frame_bytes=connection.max_frame_bytes,
            headers=connection.headers,
            compression=connection.compression,
            ping_every_ns=connection.protocol_ping_every_ns,
        )
        self._spawn(recorded.subscribe())
        return recorded

    def on_frame(self, frame: bytes, recv_ns: int) -> None:
        self._write(frame_line(recv_ns, frame))
        self.frames += 1
        self.bytes += len(frame)
        self._on_progress(self.frames, self.bytes)

    async def _fetch(self, request: Request) -> None:
        await asyncio.sleep(1.0)  # after the first diffs: a snapshot that is older than they are joins nothing
        body, recv_ns = await self._rest.fetch(request)
        self._write(answer_line(recv_ns, request.url, body))

    def fetch_soon(self, request: Request) -> None:
        self._spawn(self._fetch(request))

    def spawn_send(self, recorded: _Recorded, frame: bytes) -> None:
        self._spawn(recorded.send(frame))

    def _write(self, line: bytes) -> None:
        self._out.write(line)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)


class _Recorded:
    """One socket of a recording; its session answers what the venue asks, its events are not kept."""

    def __init__(self, recorder: Recorder, adapter: Adapter, connection: Connection) -> None:
        self._recorder = recorder
        self._connection = connection
        self._session = adapter.session(connection)
        self.socket: Socket | None = None

    def on_frame(self, frame: bytes, recv_ns: int) -> None:
        self._recorder.on_frame(frame, recv_ns)
        try:
            self._session.decode(frame, recv_ns)
        except DecodeError:
            return  # recorded all the same: what cannot be decoded is the most interesting of all
        for action in self._session.actions():
            if isinstance(action, Send):
                self._recorder.spawn_send(self, action.frame)
            elif isinstance(action, Fetch):
                self._recorder.fetch_soon(action.request)

    async def subscribe(self) -> None:
        for frame in self._connection.subscribe:
            await self.send(frame)
            await asyncio.sleep(self._connection.min_send_gap_ns / NS_PER_S)
        while self._connection.ping is not None:
            await asyncio.sleep(self._connection.ping.every_ns / NS_PER_S)
            await self.send(self._connection.ping.frame)

    async def send(self, frame: bytes) -> None:
        assert self.socket is not None
        await self.socket.send(stamped(frame, time_ns()))

    async def close(self) -> None:
        assert self.socket is not None
        await self.socket.close()


def open_output(path: Path) -> BinaryIO:
    """Gzipped where the name ends in `.gz`. Raises: UsageError."""
    try:
        if path.suffix == ".gz":
            return cast(BinaryIO, gzip.open(path, "wb"))
        return path.open("wb")
    except OSError as e:
        raise UsageError("-o", f"{path} cannot be written: {e.strerror}") from e
