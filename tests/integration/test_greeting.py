"""A venue that speaks first: nothing is sent to it before it has, and a socket on which it never does is given up."""

from __future__ import annotations

import asyncio
import ssl
import time
from types import SimpleNamespace
from typing import Any

import pytest
from feedplane_collector import runner as running
from feedplane_collector.runner import Parts, SocketRunner
from feedplane_collector.sockets import SocketCounts, SocketSettings
from feedplane_collector.transport import SocketLibrary, choose_transport
from feedplane_core.adapter import Connection
from feedplane_core.names import NS_PER_S
from feedplane_ops.ratelimit import TokenBucket
from websockets.asyncio.server import ServerConnection, serve

GREETING_AFTER_S = 0.3


class Venue:
    """Takes sockets, greets after a while (or never), and notes what came before and after."""

    def __init__(self, *, greets: bool) -> None:
        self.greets = greets
        self.early: list[bytes | str] = []
        self.late: list[bytes | str] = []
        self.sockets = 0

    async def __call__(self, socket: ServerConnection) -> None:
        self.sockets += 1
        try:
            async with asyncio.timeout(GREETING_AFTER_S):
                async for frame in socket:
                    self.early.append(frame)
        except TimeoutError:
            pass
        if self.greets:
            await socket.send('{"type":"welcome"}')
        async for frame in socket:
            self.late.append(frame)


def runner_of(url: str, *, awaits_greeting: bool) -> SocketRunner:
    """The collector's own runner and transport over a pipeline that only listens."""
    adapter: Any = SimpleNamespace(session=lambda connection: SimpleNamespace(actions=list))
    books = SimpleNamespace(leave=lambda *_: None, awaits=lambda _: False)
    pipeline: Any = SimpleNamespace(adapter=adapter, on_frame=lambda *_: None, halted=frozenset(), books=books)
    connection = Connection(
        key="one",
        url=url,
        channels=(),
        subscribe=(b"first", b"second"),
        protocol_ping_every_ns=None,
        awaits_greeting=awaits_greeting,
    )
    parts = Parts(
        pipeline=pipeline,
        transport=choose_transport(SocketLibrary.WEBSOCKETS, time.time_ns, ssl.create_default_context()),
        rest=SimpleNamespace(),  # type: ignore[arg-type]
        clock=time.time_ns,
        timer=time.monotonic_ns,
        settings=SocketSettings(stale_after_ns=60 * NS_PER_S, rotate_before_ns=3_600 * NS_PER_S, overlap_ns=NS_PER_S),
        connects=TokenBucket(10, 1_000),
        counts=SocketCounts(),
    )
    return SocketRunner(connection, parts)


async def run_for(venue: Venue, seconds: float, *, awaits_greeting: bool) -> None:
    async with serve(venue, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        runner = runner_of(f"ws://127.0.0.1:{port}", awaits_greeting=awaits_greeting)
        task = asyncio.create_task(runner.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_sent_before_the_greeting() -> None:
    venue = Venue(greets=True)
    await run_for(venue, 1.0, awaits_greeting=True)

    assert venue.early == []
    assert venue.late == ["first", "second"]


async def test_other_venues_are_spoken_to_at_once() -> None:
    venue = Venue(greets=False)
    await run_for(venue, 0.6, awaits_greeting=False)

    assert venue.early == ["first", "second"]


async def test_a_socket_without_a_greeting_is_given_up_and_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GREETING_WITHIN_NS", NS_PER_S // 10)
    venue = Venue(greets=False)
    await run_for(venue, 2.0, awaits_greeting=True)

    assert venue.sockets >= 2
    assert venue.early == venue.late == []
