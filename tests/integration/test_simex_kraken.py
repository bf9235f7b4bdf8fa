"""Kraken's two systems over real sockets: what one knows by checksum and the other by number, and pages that agree with the stream."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import msgspec
import orjson
import pytest
from feedplane_core.adapter import Channel, Connection, Request
from feedplane_core.events import (
    BookSnapshot,
    DepthDiff,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarketEvent,
    Trade,
)
from feedplane_core.identity import identity_of
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import ClientConnection, connect

KRAKEN = "kraken"


def simulator(**settings: Any) -> Simulator:
    return Simulator(SimConfig(exchanges=(KRAKEN,), instruments=1, rate=400, keep_ledger=True, **settings))


def client(sim: Simulator, **options: Any) -> SimClient:
    return SimClient(KRAKEN, sim.endpoints[KRAKEN], **options)


async def mute(sim: Simulator) -> None:
    """Nothing is issued any more, and all that was has arrived."""
    for venue in sim.venues.values():
        sim.pacer_of(venue).rate = 0
        await asyncio.sleep(0.1)
        for channel in list(venue.channels.values()):
            channel.sockets.clear()
        venue.channels.clear()
        venue._routes.clear()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("depth", ["10", "1000"])
async def test_every_sent_line_of_all_markets_is_decoded_alike(depth: str) -> None:
    async with simulator() as sim, client(sim, switches={"book_depth": depth}) as got:
        await got.listen()
        await got.until(1, Liquidation)
        await got.until(2, FundingRate)
        await got.until(600)
        await got.poll()
        await mute(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert (issued - decoded, decoded - issued) == (Counter(), Counter())
    assert {line["feed"] for line in sim.ledger} == {feed.value for feed in got.adapter.offers.feeds}
    assert {event.market_type for event in got.events} == set(got.adapter.offers.markets)


def book_of(got: SimClient, name: str) -> tuple[BookSync, list[Event]]:
    instrument = next(i for i in got.instruments if i.instrument == name)
    sync = BookSync(KRAKEN, instrument.market_type, name, got.adapter.book_rule(instrument))
    kept: list[Event] = []
    for event in got.events:
        if isinstance(event, BookSnapshot) and event.instrument == name:
            kept += sync.on_snapshot(event)
        elif isinstance(event, DepthDiff) and event.instrument == name:
            kept += sync.on_diff(event)
    return sync, kept


def place_of(got: SimClient, name: str) -> tuple[ClientConnection, Connection, Channel]:
    """Socket, connection and book channel of an instrument."""
    plan = got.adapter.subscriptions(got.instruments, {Feed.OB_DIFFS})
    for socket, connection in zip(got.sockets, plan, strict=True):
        for channel in connection.channels:
            if channel.instrument == name:
                return socket, connection, channel
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "fault", "reason"),
    [
        ("BTC/USD", "bad_checksum:symbol=BTC/USD", "checksum"),
        ("BTC/USD", "drop:symbol=BTC/USD,count=5", "checksum"),
        ("PF_XBTUSD", "drop:symbol=PF_XBTUSD,count=1", "sequence"),
        ("PI_XBTUSD", "seq_jump:symbol=PI_XBTUSD", "sequence"),
    ],
)
async def test_a_broken_book_is_noticed_and_its_channel_alone_started_anew(name: str, fault: str, reason: str) -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(5, BookSnapshot)
        sim.add_fault(fault)
        async with asyncio.timeout(8):  # a loss below the best ten shows when it comes among them
            while not book_of(got, name)[0].needs_snapshot:
                await asyncio.sleep(0.1)
        broken, told = book_of(got, name)
        socket, connection, channel = place_of(got, name)
        for frame in got.adapter.resubscribe(connection, channel):
            await socket.send(frame, text=True)
        await asyncio.sleep(0.5)
        mended, kept = book_of(got, name)

    assert broken.needs_snapshot
    assert [gap.reason for gap in told if isinstance(gap, Gap)] == [reason]
    assert mended.is_synced
    assert [gap.state for gap in kept if isinstance(gap, Gap)] == ["open", "closed"]
    snapshots = Counter(e.instrument for e in got.events if isinstance(e, BookSnapshot))
    assert snapshots == {**dict.fromkeys(snapshots, 1), name: 2}


async def test_pages_agree_with_the_stream() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES, Feed.KLINES})
        await got.until(150, Trade)
        await mute(sim)
        paged = await pages_of(got)
    forced = {e.order_id for e in got.events if isinstance(e, Liquidation)}  # which the simulation does not remember
    live = {key_of(e): e for e in got.events if not isinstance(e, Kline) or e.is_closed}
    live = {key: event for key, event in live.items() if key[2] not in forced}
    common = live.keys() & paged.keys()

    assert Counter(kind for kind, *_ in common).keys() == {"Trade", "Kline"}
    assert {key for key in live if key[0] == "Trade"} <= paged.keys()
    for key in common:
        assert without_clocks(live[key]) == without_clocks(paged[key])


async def pages_of(got: SimClient) -> dict[tuple[str, str, str], MarketEvent]:
    """All pages of the last quarter of an hour, by identity."""
    now_ns, paged = time.time_ns(), {}
    for instrument in got.instruments:
        for feed in (Feed.TRADES, Feed.KLINES, Feed.FUNDING):
            request: Request | None = got.adapter.history_request(
                instrument, feed, now_ns - 900 * NS_PER_S, now_ns + NS_PER_S, detail="1m"
            )
            while request is not None:
                page = got.adapter.decode_page(request, await got.fetch(request), now_ns)
                paged.update({key_of(event): event for event in page.events})
                request = page.next
    assert paged
    return paged


def key_of(event: MarketEvent) -> tuple[str, str, str]:
    return type(event).__name__, event.instrument, identity_of(event)


def without_clocks(event: MarketEvent) -> dict[str, Any]:
    """Numbers as values: the socket prints `740.0` where a page, its zeros cut, says `740`."""
    clocks = {"ts_recv_ns", "ts_event_ns"} if isinstance(event, Kline) else {"ts_recv_ns"}
    shown = {key: value for key, value in msgspec.to_builtins(event).items() if key not in clocks}
    return {key: value.removesuffix(".0") if isinstance(value, str) else value for key, value in shown.items()}


async def test_the_venue_answers_symbol_by_symbol() -> None:
    async with simulator() as sim, connect(sim.endpoints[KRAKEN]["ws"]) as socket:

        async def answered(body: dict[str, Any]) -> dict[str, Any]:
            await socket.send(orjson.dumps(body), text=True)
            while True:
                answer: dict[str, Any] = orjson.loads(await asyncio.wait_for(socket.recv(), 5))
                if "method" in answer:
                    return answer

        keyed = await answered({"method": "subscribe", "params": {"channel": "level3", "symbol": ["BTC/USD"]}})
        old = await answered(
            {"method": "subscribe", "params": {"channel": "trade", "symbol": ["XBT/USD"]}, "req_id": 3}
        )
        pong = await answered({"method": "ping", "req_id": 101})

    assert keyed["success"] is False
    assert (old["error"], old["symbol"], old["req_id"]) == ("Currency pair not supported XBT/USD", "XBT/USD", 3)
    assert (pong["method"], pong["req_id"]) == ("pong", 101)


async def test_what_the_venue_drops_is_asked_for_again() -> None:
    """A burst above the rate loses requests; the session knows which symbols were never acknowledged."""
    async with simulator() as sim, client(sim) as got:
        (connection,) = (
            c
            for c in got.adapter.subscriptions(got.instruments, {Feed.TRADES})
            if MarketType.SPOT in {i.market_type for i in got.instruments if i.instrument == c.channels[0].instrument}
        )
        session = got.adapter.session(connection)
        async with connect(connection.url) as socket:
            for _ in range(60):
                await socket.send('{"method":"ping"}')
            for frame in connection.subscribe:
                await socket.send(frame, text=True)
            dropped = [f async for f in _until(socket, 0.3) if b"Exceeded msg rate" in f]
            now_ns = time.time_ns()
            session.decode(b'{"channel":"heartbeat"}', now_ns)
            session.decode(b'{"channel":"heartbeat"}', now_ns + 11 * NS_PER_S)
            await asyncio.sleep(1)
            for action in session.actions():
                await socket.send(action.frame, text=True)  # type: ignore[union-attr]
            answers = [f async for f in _until(socket, 0.5)]

    assert dropped
    assert any(b'"channel":"trade","type":"snapshot"' in frame for frame in answers)


async def _until(socket: ClientConnection, seconds: float) -> Any:
    """Frames that come within so long."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                yield await socket.recv(decode=False)
    except TimeoutError:
        return
