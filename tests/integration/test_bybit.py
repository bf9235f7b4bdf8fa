"""Bybit over real sockets: two markets that share a name, refused topics, restarts, pages."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import msgspec
from feedplane_core.adapter import Request, Send
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, MarketEvent, Trade
from feedplane_core.identity import identity_of
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.paging import next_page
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import connect

BYBIT = "bybit"


def simulator(**settings: int) -> Simulator:
    defaults = {"instruments": 1, "rate": 400}
    return Simulator(SimConfig(exchanges=(BYBIT,), keep_ledger=True, **(defaults | settings)))  # type: ignore[arg-type]


def client(sim: Simulator, **options: object) -> SimClient:
    return SimClient(BYBIT, sim.endpoints[BYBIT], **options)


async def settle(sim: Simulator) -> None:
    """Nothing is issued any more, and everything that was has arrived."""
    for venue in sim.venues.values():
        sim.pacer_of(venue).rate = 0
    await asyncio.sleep(0.35)
    for venue in sim.venues.values():
        for channel in venue.channels.values():
            channel.sockets.clear()
    await asyncio.sleep(0.1)


async def test_every_line_of_every_market_is_decoded_alike() -> None:
    async with simulator() as sim, client(sim, kline_intervals=("1m", "1h")) as got:
        await got.listen()
        async with asyncio.timeout(8):  # liquidations are rare
            while {e.feed for e in got.events} != set(got.adapter.offers.feeds) or len(got.events) < 1_500:
                await asyncio.sleep(0.02)
        await settle(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert issued - decoded == Counter()
    assert set(decoded - issued) <= set(issued)  # quotes that were repeated as a sign of life
    assert {e.market_type for e in got.events} == set(MarketType)
    names = {(e.market_type, e.instrument) for e in got.events}
    assert {(MarketType.SPOT, "BTCUSDT"), (MarketType.PERP_LINEAR, "BTCUSDT")} < names


def books(got: SimClient, events: list[MarketEvent]) -> dict[tuple[MarketType, str], tuple[BookSync, list[Event]]]:
    """Every book machine over what came, and what it let through."""
    found: dict[tuple[MarketType, str], tuple[BookSync, list[Event]]] = {}
    for instrument in got.instruments:
        rule = got.adapter.book_rule(instrument)
        sync = BookSync(BYBIT, instrument.market_type, instrument.instrument, rule)
        found[instrument.market_type, instrument.instrument] = sync, []
    for event in events:
        sync, kept = found[event.market_type, event.instrument]
        if isinstance(event, BookSnapshot):
            kept += sync.on_snapshot(event)
        elif isinstance(event, DepthDiff):
            kept += sync.on_diff(event)
    return found


async def test_a_restart_is_a_snapshot_and_a_jump_is_a_gap() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(40, DepthDiff)
        sim.add_fault("seq_reset:symbol=BTCUSD")
        sim.add_fault("seq_jump:n=7,symbol=linear/BTCUSDT")
        await asyncio.sleep(0.6)
        restarted = [e for e in got.events if isinstance(e, BookSnapshot) and e.last_seq == 1]
        found = books(got, got.events)

    assert [e.instrument for e in restarted] == ["BTCUSD"]
    assert found[MarketType.PERP_INVERSE, "BTCUSD"][0].is_synced
    gaps = {key: [e.reason for e in kept if isinstance(e, Gap)] for key, (_, kept) in found.items()}
    assert {key for key, reasons in gaps.items() if reasons} == {(MarketType.PERP_LINEAR, "BTCUSDT")}
    assert gaps[MarketType.PERP_LINEAR, "BTCUSDT"] == ["sequence"]


async def test_one_channel_is_had_anew_on_a_live_socket() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS, Feed.TRADES})
        await got.until(20, DepthDiff)
        (connection,) = (
            c for c in got.adapter.subscriptions(got.instruments, {Feed.OB_DIFFS, Feed.TRADES}) if "spot" in c.url
        )
        book = next(c for c in connection.channels if c.feed is Feed.OB_DIFFS)
        urls = [c.url for c in got.adapter.subscriptions(got.instruments, {Feed.OB_DIFFS, Feed.TRADES})]
        socket = got.sockets[urls.index(connection.url)]
        for frame in got.adapter.resubscribe(connection, book):
            await socket.send(frame, text=True)
        async with asyncio.timeout(3):
            while sum(isinstance(e, BookSnapshot) and e.market_type is MarketType.SPOT for e in got.events) < 2:
                await asyncio.sleep(0.01)
        sync, kept = books(got, got.events)[MarketType.SPOT, "BTCUSDT"]

    assert not got.errors
    assert sync.is_synced
    assert not [e for e in kept if isinstance(e, Gap)]


async def test_a_bad_topic_costs_only_itself() -> None:
    async with simulator() as sim, client(sim) as got:
        spot = next(i for i in got.instruments if i.market_type is MarketType.SPOT)
        gone = msgspec.structs.replace(spot, instrument="GONEUSDT")
        (connection,) = got.adapter.subscriptions([spot, gone], {Feed.TRADES, Feed.L1})
        session = got.adapter.session(connection)
        events: list[MarketEvent] = []
        errors: list[str] = []
        async with connect(connection.url) as socket, asyncio.timeout(5):
            for frame in connection.subscribe:
                await socket.send(frame, text=True)
            while {event.feed for event in events} != {Feed.TRADES, Feed.L1}:
                try:
                    events += session.decode(await socket.recv(decode=False), 1)
                except DecodeError as error:
                    errors.append(error.detail)
                for action in session.actions():
                    assert isinstance(action, Send)
                    await socket.send(action.frame, text=True)

    assert len(errors) == 3  # the frame, then each of the two topics alone
    assert all("GONEUSDT" in error for error in errors)
    assert {event.instrument for event in events} == {"BTCUSDT"}


async def test_pings_are_answered_and_a_snapshot_may_come_before_its_ack() -> None:
    async with simulator() as sim, client(sim) as got:
        (connection,) = got.adapter.subscriptions(got.instruments[:1], {Feed.OB_DIFFS})
        async with connect(connection.url) as socket:
            assert connection.ping is not None
            await socket.send(connection.ping.frame, text=True)
            pong = json.loads(await socket.recv())
            await socket.send(connection.subscribe[0], text=True)
            first, second = json.loads(await socket.recv()), json.loads(await socket.recv())

    assert (pong["op"], pong["ret_msg"]) == ("ping", "pong")
    assert (first["type"], second["op"], second["success"]) == ("snapshot", "subscribe", True)


async def test_pages_are_what_the_stream_was() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(150, Trade)
        await settle(sim)
        live = {(e.market_type, identity_of(e)): e for e in got.events if isinstance(e, Trade)}
        begin_ns = min(e.ts_event_ns or 0 for e in live.values())
        paged: dict[tuple[MarketType, str], MarketEvent] = {}
        for instrument in got.instruments:
            request = got.adapter.history_request(instrument, Feed.TRADES, begin_ns, 2**62)
            assert request is not None
            page = got.adapter.decode_page(request, await got.fetch(request), 2**62)
            assert page.reaches_back_to_ns is not None
            paged |= {(e.market_type, identity_of(e)): e for e in page.events}

    common = live.keys() & paged.keys()
    assert len(common) > 100
    for key in common:
        assert msgspec.structs.replace(paged[key], ts_recv_ns=1) == msgspec.structs.replace(live[key], ts_recv_ns=1)


async def test_listings_come_in_pages_and_candles_end() -> None:
    async with simulator(instruments=5) as sim, client(sim) as got:
        first = next(r for r in got.adapter.instruments_requests() if "category=linear" in r.url)
        request: Request | None = msgspec.structs.replace(first, url=first.url.replace("limit=1000", "limit=2"))
        bodies = []
        while request is not None:
            bodies.append(await got.fetch(request))
            request = next_page(request, bodies[-1])
        linear = {i.instrument for i in got.adapter.decode_instruments(bodies)}
        instrument = next(i for i in got.instruments if i.market_type is MarketType.PERP_INVERSE)
        now_ns = sim.venues[BYBIT].world.now_ns()
        request = got.adapter.history_request(instrument, Feed.KLINES, now_ns - 1_200 * 60 * NS_PER_S, now_ns)
        pages = []
        while request is not None:
            page = got.adapter.decode_page(request, await got.fetch(request), now_ns)
            pages.append(page.events)
            request = page.next

    assert len(bodies) == 3
    assert linear == {i.instrument for i in got.instruments if i.market_type is MarketType.PERP_LINEAR} | {
        "BTC-26MAR27"
    }
    assert len(pages) == 2
    assert pages[1]
