"""MEXC over real sockets: protobuf and JSON side by side, books by REST, refusals that say code 0."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap
from feedplane_core.frames import answer_line, frame_line
from feedplane_core.names import Feed, MarketType
from feedplane_core.sync import BookSync
from feedplane_simex import SimConfig, Simulator
from feedplane_testing.simclient import SimClient, values_issued, values_of
from websockets.asyncio.client import connect

MEXC = "mexc"


def simulator(**settings: int) -> Simulator:
    defaults = {"instruments": 1, "rate": 400}
    return Simulator(SimConfig(exchanges=(MEXC,), keep_ledger=True, **(defaults | settings)))  # type: ignore[arg-type]


def client(sim: Simulator, **options: object) -> SimClient:
    return SimClient(MEXC, sim.endpoints[MEXC], **options)


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
        await got.snapshots()
        async with asyncio.timeout(9):
            while {e.feed for e in got.events} != set(got.adapter.offers.feeds) or len(got.events) < 1_500:
                await asyncio.sleep(0.02)
        await settle(sim)
        issued, decoded = values_issued(sim.ledger), values_of(got.events)

    assert not got.errors
    assert issued == decoded
    assert {e.market_type for e in got.events} == {MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE}


async def books_of(got: SimClient) -> dict[str, tuple[BookSync, list[Event]]]:
    found: dict[str, tuple[BookSync, list[Event]]] = {}
    for instrument in got.instruments:
        rule = got.adapter.book_rule(instrument)
        found[instrument.instrument] = BookSync(MEXC, instrument.market_type, instrument.instrument, rule), []
    for event in got.events:
        sync, kept = found[event.instrument]
        if isinstance(event, BookSnapshot):
            kept += sync.on_snapshot(event)
        elif isinstance(event, DepthDiff):
            kept += sync.on_diff(event)
    return found


async def test_books_join_their_snapshots_and_a_jump_is_a_gap() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.OB_DIFFS})
        await got.until(30, DepthDiff)
        await got.snapshots()
        await asyncio.sleep(0.5)
        joined = await books_of(got)
        sim.add_fault("seq_jump:n=7,symbol=BTC_USDT")
        await asyncio.sleep(0.6)
        found = await books_of(got)

    assert all(sync.is_synced for sync, _ in joined.values())
    assert not [e for _, kept in joined.values() for e in kept if isinstance(e, Gap) and e.reason == "sequence"]
    gaps = {name: [e.reason for e in kept if isinstance(e, Gap)] for name, (_, kept) in found.items()}
    assert "sequence" in gaps["BTC_USDT"]
    assert "sequence" not in gaps["BTCUSDT"] + gaps["BTC_USD"]


async def test_a_stream_that_does_not_exist_is_refused_though_the_code_says_success() -> None:
    async with simulator() as sim:
        base = sim.endpoints[MEXC]["spot_ws"]
        adapter = SimClient(MEXC, sim.endpoints[MEXC])
        async with adapter as got, connect(f"{base}/ws") as socket, asyncio.timeout(5):
            session = got.adapter.session()
            await socket.send('{"method":"SUBSCRIPTION","params":["spot@public.deals.v3.api@BTCUSDT"],"id":7}')
            reply = await socket.recv(decode=False)
            await socket.send('{"method":"PING"}')
            pong = await socket.recv(decode=False)

            assert b'"code":0' in reply
            assert session.decode(pong, 1) == []
            with pytest.raises(DecodeError, match="venue_error"):
                session.decode(reply, 1)


async def test_pages_of_history_are_what_the_stream_said() -> None:
    async with simulator() as sim, client(sim) as got:
        await got.listen({Feed.TRADES})
        await got.until(60)
        live = Counter(values_of(got.events))
        contract = next(i for i in got.instruments if i.market_type is MarketType.PERP_LINEAR)
        newest = max(e.ts_recv_ns for e in got.events)
        request = got.adapter.history_request(contract, Feed.TRADES, 1, newest)
        assert request is not None
        page = got.adapter.decode_page(request, await got.fetch(request), newest)
        await asyncio.sleep(0.2)
        live = values_of(got.events)

    seen = values_of(page.events)
    mine = Counter({value: count for value, count in live.items() if '"BTC_USDT"' in value})
    assert seen & mine
    oldest = min(e.ts_event_ns or 0 for e in got.events if e.instrument == "BTC_USDT")
    assert not [e for e in page.events if (e.ts_event_ns or 0) > oldest and not values_of([e]) & mine]


async def test_recorded_frames_of_both_kinds_are_played_again(tmp_path: Path) -> None:
    path = tmp_path / "frames.txt"
    feeds = {Feed.TRADES, Feed.OB_DIFFS, Feed.KLINES}
    async with simulator() as sim, client(sim) as live:
        await live.listen(feeds)
        bodies = [(r.url, await live.fetch(r)) for r in live.adapter.instruments_requests()]
        await live.until(80)
    lines = [answer_line(1, url, body) for url, body in bodies]
    lines += [frame_line(10**9 + n * 10**6, frame) for n, frame in enumerate(live.frames)]
    path.write_bytes(b"".join(lines))

    config = SimConfig(exchanges=(MEXC,), keep_ledger=True, play=(str(path),), play_wait_s=5.0)
    async with Simulator(config) as sim, client(sim) as got:
        await got.listen(feeds)
        async with asyncio.timeout(8):
            while not sim.replays[MEXC].is_done:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)

    assert sim.replays[MEXC].played.unheard == 0
    assert not got.errors
    assert values_of(got.events) == values_of(live.events)
