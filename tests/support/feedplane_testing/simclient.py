"""A client of a simulated venue that uses the real adapter: sockets, REST calls, decoded events. No supervision: a socket that ends stays ended."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from feedplane_core.adapter import Adapter, Connection, Options, Reconnect, Request, Send
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent, type_name
from feedplane_core.identity import identity_of
from feedplane_core.instruments import Instrument
from feedplane_core.jsonlines import event_dict
from feedplane_core.names import Feed
from feedplane_core.sending import stamped
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


def installed_adapter(exchange: str) -> type[Adapter] | None:
    """The adapter class of an exchange, if its folder is installed and whole."""
    for entry in entry_points(group="feedplane.adapters"):
        if entry.name == exchange:
            try:
                loaded: type[Adapter] = entry.load()
            except (ImportError, AttributeError):
                return None
            return loaded
    return None


def value_of(kind: str, identity: str, event: dict[str, Any]) -> str:
    """An event as one comparable text: everything but our own receive time."""
    kept = {key: value for key, value in event.items() if key != "ts_recv_ns"}
    return orjson.dumps([kind, identity, kept], option=orjson.OPT_SORT_KEYS).decode()


def values_of(events: Iterable[MarketEvent]) -> Counter[str]:
    return Counter(value_of(type_name(event), identity_of(event), event_dict(event)) for event in events)


def values_issued(lines: Iterable[dict[str, Any]]) -> Counter[str]:
    """Of the ledger lines that were sent."""
    return Counter(value_of(line["type"], line["identity"], line["event"]) for line in lines if line["sent"])


class SimClient:
    """Everything that one adapter gets from one simulated venue."""

    def __init__(self, exchange: str, endpoints: dict[str, str], **options: Any) -> None:
        adapter = installed_adapter(exchange)
        assert adapter is not None, f"no adapter for {exchange}"
        self.adapter = adapter(Options(endpoints=endpoints, **options))
        self.instruments: list[Instrument] = []
        self.events: list[MarketEvent] = []
        self.errors: list[DecodeError] = []
        self.frames: list[bytes] = []
        self.given_up: list[str] = []
        """Why sessions have asked for a new socket; this client gives them none."""
        self.closed: list[ConnectionClosed] = []
        self.sockets: list[ClientConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._http = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        bodies = [await self.fetch(request) for request in self.adapter.instruments_requests()]
        self.instruments = self.adapter.decode_instruments(bodies)
        self.adapter.use_instruments(self.instruments)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in self.sockets:
            await socket.close()
        await self._http.close()

    async def fetch(self, request: Request) -> bytes:
        async with self._http.request(request.method, request.url, data=request.body, headers=request.headers) as reply:
            return await reply.read()

    async def listen(self, feeds: Iterable[Feed] | None = None) -> None:
        """Open every socket of the plan and subscribe."""
        wanted = set(feeds if feeds is not None else self.adapter.offers.feeds)
        for connection in self.adapter.subscriptions(self.instruments, wanted):
            await self.open(connection)

    async def open(self, connection: Connection) -> ClientConnection:
        if connection.token is not None:
            connection = self.adapter.connection_with_token(connection, await self.fetch(connection.token))
        socket = await connect(
            connection.url,
            max_size=connection.max_frame_bytes,
            compression="deflate" if connection.compression else None,
            additional_headers=dict(connection.headers),
            ping_interval=None,
            close_timeout=0.2,
        )
        self.sockets.append(socket)
        self._tasks += [
            asyncio.create_task(self._read(socket, connection)),
            asyncio.create_task(_say(socket, connection)),
        ]
        return socket

    async def _read(self, socket: ClientConnection, connection: Connection) -> None:
        session = self.adapter.session(connection)
        try:
            while True:
                frame = await socket.recv(decode=False)
                self.frames.append(frame)
                try:
                    self.events += session.decode(frame, time.time_ns())
                except DecodeError as error:
                    self.errors.append(error)
                for action in session.actions():
                    if isinstance(action, Send):  # pongs, and books that are asked for on the socket
                        await socket.send(stamped(action.frame, time.time_ns()), text=True)
                    elif isinstance(action, Reconnect):
                        self.given_up.append(action.reason)
        except ConnectionClosed as closed:
            self.closed.append(closed)

    async def snapshots(self) -> None:
        """A REST snapshot of every book, where books come by REST."""
        for instrument in self.instruments:
            request = self.adapter.book_snapshot_request(instrument)
            if request is not None:
                self.events += self.adapter.decode_body(request.tag, await self.fetch(request), time.time_ns())

    async def poll(self) -> None:
        """Each REST feed once."""
        for poll in self.adapter.polls(self.instruments, set(self.adapter.offers.feeds)):
            body = await self.fetch(poll.request)
            self.events += self.adapter.decode_body(poll.request.tag, body, time.time_ns())

    async def until(self, count: int, kind: type[MarketEvent] | None = None, within_s: float = 20.0) -> None:
        """Wait for so many events (of a kind), or until a session gives its socket up."""
        async with asyncio.timeout(within_s):
            while not self.given_up and sum(kind is None or isinstance(e, kind) for e in self.events) < count:
                await asyncio.sleep(0.01)


async def _say(socket: ClientConnection, connection: Connection) -> None:
    try:
        for frame in connection.subscribe:
            await socket.send(stamped(frame, time.time_ns()), text=True)
            await asyncio.sleep(connection.min_send_gap_ns / 1e9)
        while connection.ping is not None:
            await asyncio.sleep(connection.ping.every_ns / 1e9)
            await socket.send(stamped(connection.ping.frame, time.time_ns()), text=True)
    except ConnectionClosed:
        return
