"""Gate over real sockets: two markets that share a name, sizes with and without decimals, frames refused whole, both kinds of books, pages."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import msgspec
import pytest
from feedplane_core.adapter import Request, Send
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap, Kline, MarketEvent, Trade
from feedplane_core.identity import identity_of
from feedplane_core.names import NS_PER_S, Feed, MarketType
from feedplane_core.sending import stamped
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import ClientConnection, connect

GATE = "gateio"
ALL_MARKETS = {MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE}


def simulator(**settings: Any) -> Simulator:
    return Simulator(SimConfig(exchanges=(GATE,), keep_ledger=True, **({"instruments": 1, "rate": 400} | settings)))


def client(sim: Simulator, **options: Any) -> SimClient:
    return SimClient(GATE, sim.endpoints[GATE], **options)


async def settle(sim: Simulator) -> None:
    """Nothing is issued any more, and everything that was has arrived."""
    for venue in sim.venues.values():
        sim.pacer_of(venue).rate = 0
    await asyncio.sleep(0.35)
    for venue in sim.venues.values():
        for channel in venue.channels.values():
            channel.sockets.clear()
    await asyncio.sleep(0.1)


async def say(socket: ClientConnection, frame: bytes) -> None:
    await socket.send(stamped(frame, time.time_ns()), text=True)


async def test_every_line_of_every_market_is_decoded_alike() -> None:
    async with simulator() as sim, client(sim, kline_intervals=("1m", "1h")) as got:
        await got.listen()
        async with asyncio.timeout(8):  # liquidations are rare
            while {e.feed for e in got.events} != set(got.adapter.offers.feeds) or len(got.events) < 1_500:
                await asyncio.sleep(0.02)
        await settle(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert issued == decoded
    assert {e.market_type for e in got.events} == ALL_MARKETS
    names = {(e.market_type, e.instrument) for e in got.events}
    assert {(MarketType.SPOT, "BTC_USDT"), (MarketType.PERP_LINEAR, "BTC_USDT")} < names


def books(got: SimClient, events: list[MarketEvent]) -> dict[tuple[MarketType, str], tuple[BookSync, list[Event]]]:
    """Every book machine over what came, and what it let through."""
    found: dict[tuple[MarketType, str], tuple[BookSync, list[Event]]] = {}
    for instrument in got.instruments:
        rule = got.adapter.book_rule(instrument)
        sync = BookSync(GATE, instrument.market_type, instrument.instrument, rule)
        found[instrument.market_type, instrument.instrument] = sync, []
    for event in events:
        sync, kept = found[event.market_type, event.instrument]
        if isinstance(event, BookSnapshot):
            kept += sync.on_snapshot(event)
        elif isinstance(event, DepthDiff):
            kept += sync.on_diff(event)
    return found


@pytest.mark.parametrize("switches", [{}, {"book_depth": "50"}, {"book_channel": "order_book_update"}])
async def test_books_hold_until_numbers_jump(switches: dict[str, str]) -> None:
    async with simulator() as sim, client(sim, switches=switches) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(20, DepthDiff)
        await got.snapshots()
        await got.until(40, DepthDiff)
        before = books(got, got.events)
        sim.add_fault("seq_jump:n=7,symbol=usdt/BTC_USDT")
        await asyncio.sleep(0.5)
        after = books(got, got.events)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert not decoded - issued
    assert all(sync.is_synced and not sync.book.is_crossed() for sync, _ in before.values())
    broken = {
        key: [e.reason for e in kept if isinstance(e, Gap) and e.reason != "start"] for key, (_, kept) in after.items()
    }
    assert {key: reasons for key, reasons in broken.items() if reasons} == {
        (MarketType.PERP_LINEAR, "BTC_USDT"): ["sequence"]
    }


async def test_a_stream_is_had_anew_on_a_live_socket_and_not_twice() -> None:
    async with simulator() as sim, client(sim) as got:
        spot = next(i for i in got.instruments if i.market_type is MarketType.SPOT)
        (connection,) = got.adapter.subscriptions([spot], {Feed.OB_DIFFS})
        session = got.adapter.session(connection)
        events: list[MarketEvent] = []
        async with connect(connection.url) as socket, asyncio.timeout(5):
            for frame in (connection.subscribe[0], connection.subscribe[0]):  # the second is refused as held
                await say(socket, frame)
            asked = False
            while sum(isinstance(event, BookSnapshot) for event in events) < 2:
                events += session.decode(await socket.recv(decode=False), 1)
                if not asked and sum(isinstance(event, DepthDiff) for event in events) > 3:
                    asked = True
                    for frame in got.adapter.resubscribe(connection, connection.channels[0]):
                        await say(socket, frame)
        sync, kept = books(got, events)[MarketType.SPOT, "BTC_USDT"]

    assert sync.is_synced
    assert not [e for e in kept if isinstance(e, Gap)]


async def test_a_bad_symbol_costs_only_itself() -> None:
    async with simulator() as sim, client(sim) as got:
        spot = next(i for i in got.instruments if i.market_type is MarketType.SPOT)
        gone = msgspec.structs.replace(spot, instrument="GONE_USDT")
        (connection,) = got.adapter.subscriptions([spot, gone], {Feed.TRADES, Feed.L1})
        session = got.adapter.session(connection)
        events: list[MarketEvent] = []
        errors: list[str] = []
        async with connect(connection.url) as socket, asyncio.timeout(5):
            for frame in connection.subscribe:
                await say(socket, frame)
            while {event.feed for event in events} != {Feed.TRADES, Feed.L1} or len(errors) < 4:
                try:
                    events += session.decode(await socket.recv(decode=False), 1)
                except DecodeError as error:
                    errors.append(error.detail)
                for action in session.actions():
                    assert isinstance(action, Send)
                    await say(socket, action.frame)

    assert errors == ["2 unknown currency pair GONE_USDT"] * 4  # two frames, then each symbol of it alone
    assert {event.instrument for event in events} == {"BTC_USDT"}


async def test_pings_are_answered_and_a_frame_without_its_time_is_refused() -> None:
    async with simulator() as sim, client(sim) as got:
        (connection,) = got.adapter.subscriptions([i for i in got.instruments if i.settle == "BTC"], {Feed.OB_DIFFS})
        async with connect(connection.url) as socket, asyncio.timeout(5):
            assert connection.ping is not None
            await say(socket, connection.ping.frame)
            pong = json.loads(await socket.recv())
            await socket.send(stamped(connection.subscribe[0], time.time_ns() - 61 * NS_PER_S), text=True)
            refused = json.loads(await socket.recv())

    assert pong["channel"] == "futures.pong"
    assert refused["error"]["code"] == 2


async def test_sizes_are_integers_without_the_header() -> None:
    async with simulator() as sim, client(sim) as got:
        linear = next(i for i in got.instruments if i.market_type is MarketType.PERP_LINEAR)
        (connection,) = got.adapter.subscriptions([linear], {Feed.TRADES})
        sizes: list[Any] = []
        for headers in ({}, dict(connection.headers)):
            async with connect(connection.url, additional_headers=headers) as socket, asyncio.timeout(5):
                await say(socket, connection.subscribe[0])
                while "id" in (body := json.loads(await socket.recv())):
                    pass
                sizes.append(body["result"][0]["size"])

    assert [type(size) for size in sizes] == [int, str]


async def test_pages_are_what_the_stream_was() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(250, Trade)
        await settle(sim)
        live = {(e.market_type, identity_of(e)): e for e in got.events if isinstance(e, Trade)}
        begin_ns = min(e.ts_event_ns or 0 for e in live.values())
        paged: dict[tuple[MarketType, str], MarketEvent] = {}
        for instrument in got.instruments:
            request = got.adapter.history_request(instrument, Feed.TRADES, begin_ns, begin_ns + 60 * NS_PER_S)
            assert request is not None
            small = request.url.replace(
                "limit=1000", "limit=40" if instrument.market_type is MarketType.SPOT else "limit=900"
            )
            following: Request | None = msgspec.structs.replace(request, url=small)
            while following is not None:
                page = got.adapter.decode_page(following, await got.fetch(following), 1)
                paged |= {(e.market_type, identity_of(e)): e for e in page.events}
                following = page.next

    assert live.keys() <= paged.keys()
    for key, event in live.items():
        assert msgspec.structs.replace(paged[key], ts_recv_ns=1) == msgspec.structs.replace(event, ts_recv_ns=1)


async def test_candles_and_rates_come_in_windows() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(60, Trade)
        now_ns = sim.venues[GATE].world.now_ns()
        candles: Counter[MarketType] = Counter()
        for instrument in got.instruments:
            request = got.adapter.history_request(instrument, Feed.KLINES, now_ns - 1_200 * 60 * NS_PER_S, now_ns)
            while request is not None:
                page = got.adapter.decode_page(request, await got.fetch(request), now_ns)
                candles.update(e.market_type for e in page.events if isinstance(e, Kline))
                request = page.next
        inverse = next(i for i in got.instruments if i.market_type is MarketType.PERP_INVERSE)
        asked = got.adapter.history_request(inverse, Feed.FUNDING, now_ns - 3 * 86_400 * NS_PER_S, now_ns)
        assert asked is not None
        rates = got.adapter.decode_page(asked, await got.fetch(asked), now_ns).events

    assert set(candles) == ALL_MARKETS
    assert len(rates) == 9
    times = [rate.ts_event_ns or 0 for rate in rates]
    assert times == sorted(times)
