"""Bitfinex over real sockets: one counter a socket, checksums in frames of their own, channels by id, pages."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import msgspec
from feedplane_core.adapter import Connection, Reconnect, Send
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, Kline, MarketEvent, Trade
from feedplane_core.identity import identity_of
from feedplane_core.names import Feed, MarketType
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.collector import finish, plane
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import connect

BITFINEX = "bitfinex"


def simulator(**settings: int) -> Simulator:
    defaults = {"instruments": 1, "rate": 400}
    return Simulator(SimConfig(exchanges=(BITFINEX,), keep_ledger=True, **(defaults | settings)))  # type: ignore[arg-type]


def client(sim: Simulator, **options: object) -> SimClient:
    return SimClient(BITFINEX, sim.endpoints[BITFINEX], **options)


async def settle(sim: Simulator) -> None:
    """Nothing is issued any more, and everything that was has arrived."""
    for venue in sim.venues.values():
        sim.pacer_of(venue).rate = 0
    await asyncio.sleep(0.35)
    for venue in sim.venues.values():
        for channel in venue.channels.values():
            channel.sockets.clear()
    await asyncio.sleep(0.1)


def book_of(got: SimClient, name: str) -> tuple[BookSync, list[Event]]:
    """The book machine of one instrument over what came, and what it let through."""
    instrument = next(i for i in got.instruments if i.instrument == name)
    sync = BookSync(BITFINEX, instrument.market_type, name, got.adapter.book_rule(instrument))
    kept: list[Event] = []
    for event in got.events:
        if isinstance(event, BookSnapshot) and event.instrument == name:
            kept += sync.on_snapshot(event)
        elif isinstance(event, DepthDiff) and event.instrument == name:
            kept += sync.on_diff(event)
    return sync, kept


async def test_every_line_of_every_market_is_decoded_alike() -> None:
    async with simulator(instruments=2) as sim, client(sim, kline_intervals=("1m", "1h")) as got:
        await got.listen()
        async with asyncio.timeout(25):  # liquidations are rare
            while {e.feed for e in got.events} != set(got.adapter.offers.feeds) or len(got.events) < 1_500:
                await asyncio.sleep(0.02)
        await settle(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)
        checked = [e for e in got.events if isinstance(e, DepthDiff) and e.checksum is not None]
        books = [book_of(got, instrument.instrument) for instrument in got.instruments]

    assert not got.errors
    assert issued == decoded
    assert {e.market_type for e in got.events} == {MarketType.SPOT, MarketType.PERP_LINEAR}
    assert checked
    assert all(sync.is_synced and not sync.counts.checksum_failures for sync, _ in books)
    assert all(sync.counts.gaps == 0 for sync, _ in books)


async def test_a_checksum_that_does_not_fit_is_a_gap_of_that_book_alone() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(40, DepthDiff)
        sim.add_fault("bad_checksum:symbol=tBTCUSD")
        async with asyncio.timeout(20):
            while not (bad := [n for n, line in enumerate(sim.ledger) if line.get("fault") == "bad_checksum"]):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        (struck, kept), (other, _) = book_of(got, "tBTCUSD"), book_of(got, "tBTCF0:USTF0")

    assert len(bad) == 1
    assert [e.reason for e in kept if isinstance(e, Gap)] == ["checksum"]
    assert struck.needs_snapshot
    assert other.is_synced
    assert other.counts.gaps == 0


async def read(
    socket_of: Connection, got: SimClient, until: type[Reconnect], sim: Simulator, fault: str
) -> list[object]:
    """Events of one socket in order, and the reason why its session wants another."""
    session = got.adapter.session(socket_of)
    found: list[object] = []
    async with connect(socket_of.url) as socket, asyncio.timeout(20):
        for frame in socket_of.subscribe:
            await socket.send(frame, text=True)
        while True:
            found += session.decode(await socket.recv(decode=False), time.time_ns())
            for action in session.actions():
                if isinstance(action, until):
                    found += [action, *session.decode(await socket.recv(decode=False), time.time_ns())]
                    return found
            if fault and len(found) > 60:
                sim.add_fault(fault)
                fault = ""


async def test_a_frame_that_is_lost_ends_the_events_of_its_socket() -> None:
    async with simulator() as sim, client(sim) as got:
        (connection,) = got.adapter.subscriptions(got.instruments, {Feed.OB_DIFFS, Feed.TRADES})
        found = await read(connection, got, Reconnect, sim, "drop:feed=trades,count=1")

    assert found[-1] == Reconnect("sequence")
    assert {type(event) for event in found[:-1]} >= {BookSnapshot, DepthDiff, Trade}


async def test_a_frame_that_comes_twice_costs_nothing() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS, Feed.TRADES})
        await got.until(40)
        sim.add_fault("duplicate:count=30")
        await asyncio.sleep(0.8)
        await settle(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert issued == decoded
    assert not got.errors


async def test_one_channel_is_had_anew_on_a_live_socket() -> None:
    async with simulator() as sim, client(sim) as got:
        feeds = {Feed.OB_DIFFS, Feed.TRADES}
        await got.listen(feeds)
        await got.until(20, DepthDiff)
        (connection,) = got.adapter.subscriptions(got.instruments, feeds)
        book = next(c for c in connection.channels if (c.feed, c.instrument) == (Feed.OB_DIFFS, "tBTCUSD"))
        before = sum(isinstance(e, BookSnapshot) for e in got.events)
        for frame in got.adapter.resubscribe(connection, book):
            await got.sockets[0].send(frame, text=True)
        async with asyncio.timeout(10):
            while sum(isinstance(e, BookSnapshot) for e in got.events) == before:
                await asyncio.sleep(0.01)
        await got.until(sum(isinstance(e, Trade) for e in got.events) + 20, Trade)
        sync, kept = book_of(got, "tBTCUSD")

    assert not got.errors
    assert sync.is_synced
    assert not [e for e in kept if isinstance(e, Gap)]


async def test_refusals_leave_the_other_channels_alone() -> None:
    async with simulator() as sim, client(sim) as got:
        spot = next(i for i in got.instruments if i.market_type is MarketType.SPOT)
        gone = msgspec.structs.replace(spot, instrument="tGONE:USD")
        (connection,) = got.adapter.subscriptions([spot, gone], {Feed.TRADES, Feed.OB_DIFFS})
        session = got.adapter.session(connection)
        events: list[MarketEvent] = []
        errors: list[str] = []
        async with connect(connection.url) as socket, asyncio.timeout(15):
            for frame in (*connection.subscribe, connection.subscribe[-1], b"no json"):
                await socket.send(frame, text=True)
            while {event.feed for event in events} != {Feed.TRADES, Feed.OB_DIFFS} or len(errors) < 3:
                try:
                    events += session.decode(await socket.recv(decode=False), time.time_ns())
                except DecodeError as error:
                    errors.append(error.detail)
                assert not [a for a in session.actions() if isinstance(a, Send | Reconnect)]

    assert Counter(error.split()[0] for error in errors) <= Counter({"10300": 3, "10301": 1})
    assert {event.instrument for event in events} == {"tBTCUSD"}


async def test_pages_are_what_the_stream_was() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES, Feed.KLINES})
        await got.until(150, Trade)
        await settle(sim)
        live = {(e.instrument, identity_of(e)): e for e in got.events if isinstance(e, Trade)}
        begin_ns = min(e.ts_event_ns or 0 for e in live.values())
        paged: dict[tuple[str, str], MarketEvent] = {}
        candles: list[Kline] = []
        for instrument in got.instruments:
            request = got.adapter.history_request(instrument, Feed.TRADES, begin_ns, time.time_ns())
            while request is not None:
                request = msgspec.structs.replace(request, url=request.url.replace("limit=10000", "limit=70"))
                page = got.adapter.decode_page(request, await got.fetch(request), 2**62)
                paged |= {(e.instrument, identity_of(e)): e for e in page.events}
                request = page.next
            request = got.adapter.history_request(instrument, Feed.KLINES, begin_ns - 10**12, time.time_ns())
            assert request is not None
            page = got.adapter.decode_page(request, await got.fetch(request), time.time_ns())
            candles += [e for e in page.events if isinstance(e, Kline)]

    assert live.keys() <= paged.keys()
    for key, trade in live.items():
        assert msgspec.structs.replace(paged[key], ts_recv_ns=1) == msgspec.structs.replace(trade, ts_recv_ns=1)
    assert {candle.instrument for candle in candles} == {i.instrument for i in got.instruments}


async def test_the_venue_speaks_first_and_answers_pings() -> None:
    async with simulator() as sim, client(sim) as got:
        (connection,) = got.adapter.subscriptions(got.instruments[:1], {Feed.TRADES})
        async with connect(connection.url) as socket:
            await socket.send('{"event":"ping","cid":7}')
            info, pong = json.loads(await socket.recv()), json.loads(await socket.recv())

    assert (info["event"], info["version"]) == ("info", 2)
    assert (pong["event"], pong["cid"]) == ("pong", 7)


async def test_what_is_lost_lies_in_declared_holes(tmp_path: Path) -> None:
    """The collector over it all: a wrong checksum costs one book, a lost frame the socket, and both are told."""
    async with plane(tmp_path, BITFINEX) as (sim, collector):
        await collector.when(lambda s: s["books"] == {"synced": 4, "total": 4})
        await sim.fault("bad_checksum:symbol=tETHUSD")
        await collector.when(lambda s: s["feeds"]["ob_diffs"]["gaps"] >= 1)
        before = (await collector.status())["sockets"]["disconnects"]
        await collector.when(lambda s: s["books"] == {"synced": 4, "total": 4})
        await sim.fault("drop:feed=ob_diffs,count=1")
        await collector.when(lambda s: s["sockets"]["disconnects"] == 1)
        await collector.when(lambda s: s["books"] == {"synced": 4, "total": 4})
        verdict = await finish(sim, collector)
    holes = verdict.holes_told_before(sim.stopped_ns)

    assert verdict.is_clean, verdict.text()
    assert before == 0
    assert [hole.instrument for hole in holes if hole.reason == "checksum"] == ["tETHUSD"]
    assert {hole.feed for hole in holes if hole.reason == "disconnect"} >= {"ob_diffs", "trades"}
